import { type Duration, type Instant, ms } from '../base/brand.ts';

/** The probes of one session that may still be answered. */
export class Probes {
  /** Id to when it was sent, oldest first. */
  readonly #sent = new Map<number, Instant>();

  /** Whether an answer may come. */
  get pending(): boolean {
    return this.#sent.size > 0;
  }

  /** One was sent. */
  sent(id: number, now: Instant): void {
    this.#sent.set(id, now);
  }

  /** An answer came. Yields how long it took; undefined when it is to none of these, or too late. */
  answered(id: number, now: Instant): Duration | undefined {
    const sentAt = this.#sent.get(id);
    if (sentAt === undefined) return undefined;
    this.#sent.delete(id);
    return ms(now - sentAt);
  }

  /** Gives up those that have waited for `patience`. Yields how many. */
  expire(patience: Duration, now: Instant): number {
    let lost = 0;
    for (const [id, sentAt] of this.#sent) {
      if (now - sentAt < patience) break;
      this.#sent.delete(id);
      lost++;
    }
    return lost;
  }
}
