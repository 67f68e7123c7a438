import { type Instant, later } from '../base/brand.ts';
import type { HelloMark } from './hello.ts';
import { CALL_TIMEOUT, MAX_SPENT_HELLOS } from './limits.ts';

/**
 * Accepted hellos whose handshake is over: completed, or given up by the client for a newer one. Copies of such a hello
 * still arrive, late or repeated, with a cookie that is still valid; a handshake begun for one would cost a signature, and
 * its flight would be taken for that of the client's next attempt, whose message numbers are the same. Bounded: the
 * oldest is forgotten first.
 */
export class SpentHellos {
  /** By random, in the order of their end. */
  readonly #spent = new Map<string, { readonly number: number; readonly until: Instant }>();

  /** Copies of this hello, and of those that its client sent before, count for nothing as long as it may repeat them. */
  add({ random, number }: HelloMark, now: Instant): void {
    const last = Math.max(number, this.#spent.get(random)?.number ?? 0);
    this.#spent.delete(random);
    this.#spent.set(random, { number: last, until: later(now, CALL_TIMEOUT) });
    for (const [oldest, { until }] of this.#spent) {
      if (until > now && this.#spent.size <= MAX_SPENT_HELLOS) break;
      this.#spent.delete(oldest);
    }
  }

  /** Whether the handshake of this hello is over. */
  has({ random, number }: HelloMark, now: Instant): boolean {
    const spent = this.#spent.get(random);
    return spent !== undefined && number <= spent.number && spent.until > now;
  }
}
