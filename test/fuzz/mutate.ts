import type { SeededRandom } from '../support/seeded-random.ts';

/** Longest input that mutation makes. */
export const MAX_INPUT = 4096;

/** `input` with one to four blind changes; `other` is another input to splice with. */
export function mutateBlindly(input: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array {
  let current: Uint8Array = input.slice();
  for (let changes = 1 + random.below(4); changes > 0; changes--) current = changeOnce(current, other, random);
  return current.subarray(0, MAX_INPUT);
}

function changeOnce(input: Uint8Array, other: Uint8Array, random: SeededRandom): Uint8Array {
  const at = random.below(input.length + 1);
  const span = 1 + random.below(random.chance(0.8) ? 4 : 64);
  switch (random.below(8)) {
    case 0: // one bit
      return input.map((octet, i) => (i === at ? octet ^ (1 << random.below(8)) : octet));
    case 1: // one octet, often a telling one
      return input.map((octet, i) => (i === at ? pick(TELLING, random, octet) : octet));
    case 2: // a number up or down by a little
      return input.map((octet, i) => (i === at ? octet + random.below(9) - 4 : octet));
    case 3: // cut out
      return join(input.subarray(0, at), input.subarray(at + span));
    case 4: // cut off
      return input.slice(0, at);
    case 5: // something new
      return join(input.subarray(0, at), random.random(span), input.subarray(at));
    case 6: // something again
      return join(input.subarray(0, at), input.subarray(Math.max(0, at - span), at), input.subarray(at));
    default: {
      // something of another input
      const from = random.below(other.length + 1);
      return join(input.subarray(0, at), other.subarray(from, from + span * 4), input.subarray(at + span));
    }
  }
}

/** Lengths and codes around which parsers go wrong. */
const TELLING = [0, 1, 2, 3, 4, 12, 13, 16, 20, 21, 22, 23, 25, 31, 32, 48, 64, 127, 128, 253, 254, 255];

function pick(list: readonly number[], random: SeededRandom, otherwise: number): number {
  return list[random.below(list.length)] ?? otherwise;
}

/** The parts in one array. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
