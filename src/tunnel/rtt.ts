import { type Duration, ms } from '../base/brand.ts';
import type { MemoryExport, MemoryState } from './handover.ts';
import { LOSS_WINDOW, RTO_MAX, RTO_MIN, RTO_UNKNOWN } from './limits.ts';

/** Round-trip time of one path, smoothed (RFC 6298 §2), and the share of probes that were lost. */
export class PathQuality {
  #smoothed: number | undefined;
  #variation = 0;
  /** Outcomes of the latest probes, true = answered, as a ring. */
  readonly #outcomes: boolean[] = [];
  #next = 0;
  #lost = 0;

  /** The smoothed RTT and its variation; undefined before the first answer. */
  get rtt(): { readonly smoothed: Duration; readonly variation: Duration } | undefined {
    if (this.#smoothed === undefined) return undefined;
    return { smoothed: ms(this.#smoothed), variation: ms(this.#variation) };
  }

  /** When an answer is overdue (RFC 6298 §2.3, with our own bounds). */
  get timeout(): Duration {
    if (this.#smoothed === undefined) return RTO_UNKNOWN;
    return ms(Math.min(Math.max(this.#smoothed + Math.max(4 * this.#variation, 5), RTO_MIN), RTO_MAX));
  }

  /** Share of the latest probes that were lost, 0 … 1; 0 before the first. */
  get loss(): number {
    return this.#outcomes.length === 0 ? 0 : this.#lost / this.#outcomes.length;
  }

  /** A probe was answered after `rtt`. */
  answered(rtt: Duration): void {
    if (this.#smoothed === undefined) {
      this.#smoothed = rtt;
      this.#variation = rtt / 2;
    } else {
      this.#variation = 0.75 * this.#variation + 0.25 * Math.abs(this.#smoothed - rtt);
      this.#smoothed = 0.875 * this.#smoothed + 0.125 * rtt;
    }
    this.#record(true);
  }

  /** A probe was not answered in time. */
  lost(): void {
    this.#record(false);
  }

  /** For another process to go on with. */
  export(): Pick<MemoryExport, 'smoothed' | 'variation' | 'outcomes'> {
    const outcomes = [...this.#outcomes.slice(this.#next), ...this.#outcomes.slice(0, this.#next)];
    return { smoothed: this.#smoothed, variation: this.#variation, outcomes };
  }

  /** Goes on with what another process measured. */
  continueFrom({ smoothed, variation, outcomes }: Pick<MemoryState, 'smoothed' | 'variation' | 'outcomes'>): void {
    this.#smoothed = smoothed;
    this.#variation = variation;
    for (const answered of outcomes) this.#record(answered);
  }

  #record(answered: boolean): void {
    if (this.#outcomes[this.#next] === false) this.#lost--;
    this.#outcomes[this.#next] = answered;
    if (!answered) this.#lost++;
    this.#next = (this.#next + 1) % LOSS_WINDOW;
  }
}
