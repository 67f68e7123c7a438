import { type Duration, type Instant, later } from '../../base/brand.ts';
import type { TimerConfig } from './config.ts';

/**
 * When the flight in the air is sent again (RFC 6347 §4.2.4): by the timer, which doubles, and when the peer repeats the
 * flight that ours answers. Each flight starts from the initial timeout: a reply to it proves that the path works, and
 * carrying a doubled timeout over to the next would make one loss cost twice.
 */
export class Retransmission {
  readonly #timers: TimerConfig;
  #timeout: Duration;
  #sentAt: Instant | undefined;
  #deadline: Instant | undefined;
  /** Flights sent again because of the timer, over the whole handshake. */
  #count = 0;
  #unanswered = false;

  constructor(timers: TimerConfig) {
    this.#timers = timers;
    this.#timeout = timers.initial;
  }

  /** When `due` will be true; undefined while nothing waits for an answer. */
  get deadline(): Instant | undefined {
    return this.#deadline;
  }

  /** Flights sent again because of the timer. */
  get count(): number {
    return this.#count;
  }

  /** The flight in the air has been sent again because of the timer. */
  get unanswered(): boolean {
    return this.#unanswered;
  }

  /** A flight that awaits an answer was sent for the first time. */
  sent(now: Instant): void {
    this.#unanswered = false;
    this.#timeout = this.#timers.initial;
    this.#sentAt = now;
    this.#deadline = later(now, this.#timeout);
  }

  /** The awaited answer is complete, or none is awaited: the timer rests. */
  stop(): void {
    this.#deadline = undefined;
  }

  /** Whether the timer asks for the flight to be sent again; if so it is taken to be sent now. */
  takeDue(now: Instant): boolean {
    if (this.#deadline === undefined || now < this.#deadline) return false;
    this.#timeout = Math.min(this.#timeout * 2, this.#timers.max) as Duration;
    this.#sentAt = now;
    this.#deadline = later(now, this.#timeout);
    this.#count++;
    this.#unanswered = true;
    return true;
  }

  /**
   * Whether a repetition by the peer is to be answered by repeating ours; if so it is taken to be sent now. Not when
   * ours went out less than half an initial timeout ago: the repetition is a duplicate, or crossed it. This also bounds
   * what a forged repetition costs, since it is not authenticated.
   */
  takeRepeat(now: Instant): boolean {
    if (this.#sentAt === undefined || now < later(this.#sentAt, (this.#timers.initial / 2) as Duration)) return false;
    this.#sentAt = now;
    if (this.#deadline !== undefined) this.#deadline = later(now, this.#timeout);
    return true;
  }
}
