import type { Instant } from '../base/brand.ts';
import { UNHEARD_FOR } from './limits.ts';

/**
 * Whether the far end hears us. A path may fail in one direction: then records keep coming and prove nothing about what we
 * send. The far end says so by its questions: one that is repeated was not answered, so our answers are lost. From then on,
 * until it falls silent on that, only an answer to a probe of ours counts.
 */
export class Hearing {
  #unheardAt: Instant | undefined;
  #repliedAt: Instant | undefined;
  #answeredAt: Instant | undefined;
  #questionedAt: Instant | undefined;

  /** When the far end last asked something that repeats nothing: it had heard us since it asked before. */
  get questionedAt(): Instant | undefined {
    return this.#questionedAt;
  }

  /** The far end asks, and had an answer to all that it asked before. */
  questioned(now: Instant): void {
    this.#questionedAt = now;
  }

  /** A probe of ours was answered. */
  answered(now: Instant): void {
    this.#answeredAt = now;
  }

  /** A question of the far end is being answered. */
  replied(now: Instant): void {
    this.#repliedAt = now;
  }

  /** The far end has repeated a question. Yields since when it does not hear us: it has missed our last reply. */
  unheard(now: Instant): Instant {
    this.#unheardAt = now;
    this.#questionedAt = undefined;
    const since = Math.max(this.#repliedAt ?? NEVER, this.#answeredAt ?? NEVER) as Instant;
    return now - since < UNHEARD_FOR ? since : now;
  }

  /** When what came last that can be taken for an answer, given when anything did. */
  lastAnswer(lastReceive: Instant, now: Instant): Instant {
    if (this.#unheardAt === undefined || now - this.#unheardAt >= UNHEARD_FOR) return lastReceive;
    return this.#answeredAt ?? NEVER;
  }
}

const NEVER = Number.NEGATIVE_INFINITY as Instant;
