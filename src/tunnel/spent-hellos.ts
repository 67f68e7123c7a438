import { type Instant, later } from '../base/brand.ts';
import { CALL_TIMEOUT, MAX_SPENT_HELLOS } from './limits.ts';

/**
 * Randoms of accepted hellos whose handshake is over: completed, or given up by the client for a newer one. Copies of
 * such a hello still arrive, late or repeated, with a cookie that is still valid; a handshake begun for one would cost a
 * signature, and its flight would be taken for that of the client's next attempt, whose message numbers are the same.
 * Bounded: the oldest is forgotten first.
 */
export class SpentHellos {
  /** In the order of their end. */
  readonly #until = new Map<string, Instant>();

  /** Copies of the hello with this random count for nothing as long as a client may repeat it. */
  add(random: string, now: Instant): void {
    this.#until.delete(random);
    this.#until.set(random, later(now, CALL_TIMEOUT));
    for (const [oldest, until] of this.#until) {
      if (until > now && this.#until.size <= MAX_SPENT_HELLOS) break;
      this.#until.delete(oldest);
    }
  }

  /** Whether the handshake of the hello with this random is over. */
  has(random: string, now: Instant): boolean {
    const until = this.#until.get(random);
    return until !== undefined && until > now;
  }
}
