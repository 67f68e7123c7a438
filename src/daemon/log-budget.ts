import type { Instant } from '../base/brand.ts';

/** Lines per second and event in the long run. */
const RATE = 5;

/** Lines of one event at once. */
const BURST = 20;

interface Bucket {
  tokens: number;
  filledAt: Instant;
  suppressed: number;
}

/**
 * How often each event may be logged: a token bucket per event id, so that a flood of one kind never hides another and
 * never fills a disk. What was left out is counted and told with the next line of that event, or by a summary.
 */
export class LogBudget {
  readonly #buckets = new Map<string, Bucket>();

  /** Whether `event` may be logged at `now`, and how many before it were not. */
  take(event: string, now: Instant): { readonly allowed: boolean; readonly suppressed: number } {
    const bucket = this.#refilled(event, now);
    if (bucket.tokens < 1) {
      bucket.suppressed += 1;
      return { allowed: false, suppressed: bucket.suppressed };
    }
    bucket.tokens -= 1;
    const { suppressed } = bucket;
    bucket.suppressed = 0;
    return { allowed: true, suppressed };
  }

  /** Events of which lines were left out and not told yet, with their number; counts start again. */
  takeSuppressed(): readonly (readonly [event: string, suppressed: number])[] {
    const told: [string, number][] = [];
    for (const [event, bucket] of this.#buckets) {
      if (bucket.suppressed === 0) continue;
      told.push([event, bucket.suppressed]);
      bucket.suppressed = 0;
    }
    return told;
  }

  #refilled(event: string, now: Instant): Bucket {
    const bucket = this.#buckets.get(event) ?? { tokens: BURST, filledAt: now, suppressed: 0 };
    this.#buckets.set(event, bucket);
    bucket.tokens = Math.min(BURST, bucket.tokens + ((now - bucket.filledAt) / 1000) * RATE);
    bucket.filledAt = now;
    return bucket;
  }
}
