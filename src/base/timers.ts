import { type Instant, earliest } from './brand.ts';

/**
 * One slot per named timer of a sans-IO object: deadlines are data. Arming a timer that is armed replaces its
 * deadline. The owner asks for `deadline`, sleeps, and takes what is due.
 */
export class Timers<Name extends string> {
  readonly #due = new Map<Name, Instant>();

  /** Arms `name` for `at`, replacing an earlier arming. */
  arm(name: Name, at: Instant): void {
    this.#due.set(name, at);
  }

  /** Disarms `name`; harmless when it is not armed. */
  disarm(name: Name): void {
    this.#due.delete(name);
  }

  /** Disarms every timer. */
  clear(): void {
    this.#due.clear();
  }

  /** When `name` is due; undefined while it is not armed. */
  at(name: Name): Instant | undefined {
    return this.#due.get(name);
  }

  /** The earliest deadline of all; undefined while none is armed. */
  get deadline(): Instant | undefined {
    let first: Instant | undefined;
    for (const at of this.#due.values()) first = earliest(first, at);
    return first;
  }

  /** Disarms and yields the timer that is most overdue at `now`; undefined when none is due. */
  takeDue(now: Instant): Name | undefined {
    let name: Name | undefined;
    let first: Instant | undefined;
    for (const [candidate, at] of this.#due) {
      if (at <= now && (first === undefined || at < first)) {
        name = candidate;
        first = at;
      }
    }
    if (name !== undefined) this.#due.delete(name);
    return name;
  }
}
