import type { SeededRandom } from '../support/seeded-random.ts';

/** One thing that eats hostile input, and the laws that must hold whatever the input is. */
export interface Target {
  readonly name: string;
  /** Sources whose coverage guides the search and is reported: a pattern for their paths below src/. */
  readonly covers: RegExp;
  /** Valid inputs to begin with. */
  readonly seeds: readonly Uint8Array[];
  /** Throws when a law is broken, or when the code under test throws. */
  run(input: Uint8Array): void;
  /** A change that respects the structure of the input; used for half of all mutants. */
  readonly mutate?: (input: Uint8Array, random: SeededRandom) => Uint8Array;
  /** Mutants in the bounded run of the tests: a few seconds' worth. */
  readonly executions: number;
}

/** Fails with `law` unless it holds. */
export function holds(condition: boolean, law: string): asserts condition {
  if (!condition) throw new Error(`does not hold: ${law}`);
}

/** Reads a script of decisions from an input; past its end everything is zero, so that every input means something. */
export class Script {
  readonly #input: Uint8Array;
  #at = 0;

  constructor(input: Uint8Array) {
    this.#input = input;
  }

  get over(): boolean {
    return this.#at >= this.#input.length;
  }

  /** The next `width` octets as a number. */
  uint(width: number): number {
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + (this.#input[this.#at++] ?? 0);
    return value;
  }

  /** A number below `limit`. */
  below(limit: number): number {
    return limit <= 1 ? 0 : this.uint(limit > 256 ? 2 : 1) % limit;
  }

  /** At most `limit` of the next octets. */
  take(limit: number): Uint8Array {
    const taken = this.#input.slice(this.#at, this.#at + limit);
    this.#at += limit;
    return taken;
  }
}
