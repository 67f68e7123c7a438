import type { Instant } from '../base/brand.ts';

/** Allows `rate` things a second on average and `burst` at once. */
export class TokenBucket {
  readonly #rate: number;
  readonly #burst: number;
  #tokens: number;
  #at: Instant | undefined;

  constructor(rate: number, burst: number) {
    this.#rate = rate;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes one token; false when there is none. */
  take(now: Instant): boolean {
    if (this.#at !== undefined && now > this.#at) {
      this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#rate);
    }
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/**
 * One bucket per key, for a bounded number of keys. The key that was used longest ago is forgotten first: an attacker
 * with more sources than that gets a fresh bucket for each, which is why a common bucket stands behind this one.
 */
export class KeyedBuckets {
  readonly #rate: number;
  readonly #burst: number;
  readonly #limit: number;
  /** In order of last use: a Map keeps insertion order. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: number, burst: number, limit: number) {
    this.#rate = rate;
    this.#burst = burst;
    this.#limit = limit;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one token of `key`; false when it has none. */
  take(key: string, now: Instant): boolean {
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#rate, this.#burst);
      if (this.#buckets.size >= this.#limit) {
        const [oldest] = this.#buckets.keys();
        if (oldest !== undefined) this.#buckets.delete(oldest);
      }
    } else {
      this.#buckets.delete(key);
    }
    this.#buckets.set(key, bucket);
    return bucket.take(now);
  }
}
