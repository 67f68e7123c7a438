import { type Duration, type Instant, later, ms, type SessionSlot } from '../base/brand.ts';
import { CHECK_GRID, CHECK_IDLE_MAX, CHECK_IDLE_PER_PEER, LOOK_PART } from './limits.ts';
import { lookInterval } from './liveness.ts';

/** Installed sessions of one part that have sealed or opened records since the part was asked for last. */
export type Changed = (part: number, parts: number) => Iterable<SessionSlot>;

/**
 * Looks at the counters of all sessions, a part of them at a time: slots that leave the same remainder. So thousands that
 * begin to send together are found over the whole round, and checked from then on at times of their own.
 */
export class Rounds {
  readonly #changed: Changed;
  readonly #found: (slot: SessionSlot, now: Instant) => void;
  /** When each part was last looked at. */
  #lookedAt: Instant[] = [NEVER];
  #part = 0;
  #pause: Duration = CHECK_IDLE_MAX;
  #nextAt: Instant | undefined;

  /** `found` is told of each session that has changed, and then `lookedAt` is still the time before. */
  constructor(changed: Changed, found: (slot: SessionSlot, now: Instant) => void) {
    this.#changed = changed;
    this.#found = found;
  }

  /** When the next part's turn is; undefined before `arrange`. */
  get deadline(): Instant | undefined {
    return this.#nextAt;
  }

  /** When `slot`'s part was last looked at. */
  lookedAt(slot: SessionSlot): Instant {
    return this.#lookedAt[slot % this.#lookedAt.length] ?? NEVER;
  }

  /** The strictest of the peers, which have these DeadAfters, says how long a round takes. */
  arrange(deadAfters: readonly Duration[], now: Instant): void {
    const strictest = ms(deadAfters.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY));
    const every = lookInterval(strictest, ms(CHECK_IDLE_PER_PEER * deadAfters.length));
    const most = Math.floor(every / CHECK_GRID);
    const parts = Math.min(Math.max(Math.ceil(deadAfters.length / LOOK_PART), 1), most);
    this.#pause = ms(Math.floor(most / parts) * CHECK_GRID);
    if (parts !== this.#lookedAt.length) this.#regroup(parts, now);
    this.#nextAt ??= onGrid(later(now, this.#pause));
  }

  /** Takes the looks that are due. */
  tick(now: Instant): void {
    const parts = this.#lookedAt.length;
    for (let looks = 0; looks < parts && this.#nextAt !== undefined && this.#nextAt <= now; looks++) {
      for (const slot of this.#changed(this.#part, parts)) this.#found(slot, now);
      this.#lookedAt[this.#part] = now;
      this.#part = (this.#part + 1) % parts;
      this.#nextAt = later(this.#nextAt, this.#pause);
    }
    // After a long absence one round is enough.
    if (this.#nextAt !== undefined && this.#nextAt <= now) this.#nextAt = onGrid(later(now, this.#pause));
  }

  /** Parts of another size: all are looked at, so that it is known of each when. */
  #regroup(parts: number, now: Instant): void {
    for (const slot of this.#changed(0, 1)) this.#found(slot, now);
    this.#part = 0;
    this.#lookedAt = Array.from({ length: parts }, () => now);
  }
}

function onGrid(at: Instant): Instant {
  return (Math.ceil(at / CHECK_GRID) * CHECK_GRID) as Instant;
}

const NEVER = Number.NEGATIVE_INFINITY as Instant;
