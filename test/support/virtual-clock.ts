import type { Instant } from '../../src/base/brand.ts';

/** Time that passes only when told to, so that a minute of retransmission takes no time to test. */
export class VirtualClock {
  #now: number;

  constructor(start = 1000) {
    this.#now = start;
  }

  get now(): Instant {
    return this.#now as Instant;
  }

  /** Jumps to `at`; never backwards. */
  advanceTo(at: Instant): void {
    if (at > this.#now) this.#now = at;
  }

  /** Lets `milliseconds` pass. */
  pass(milliseconds: number): void {
    this.#now += milliseconds;
  }
}
