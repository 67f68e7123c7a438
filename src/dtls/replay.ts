import type { SequenceNumber } from '../base/brand.ts';
import { REPLAY_WINDOW } from './limits.ts';

/**
 * Sliding window of accepted record numbers of one epoch (RFC 6347 §4.1.2.6).
 *
 * `check` has no effect and runs before decryption; `commit` runs only after the record authenticated, so that a forged
 * number can never move the window. Works on distances from the newest number: bitwise operators would cut the 48-bit
 * numbers themselves to 32 bits.
 */
export class ReplayWindow {
  /** The highest number accepted; −1 before the first. */
  #newest = -1;
  /** Bit d of (high, low) says whether `newest − d` was accepted; low holds distances 0 … 31. */
  #low = 0;
  #high = 0;

  /** Whether `n` is new: ahead of the window, or inside it and not accepted yet. */
  check(n: SequenceNumber): boolean {
    const distance = this.#newest - n;
    if (distance < 0) return true;
    if (distance >= REPLAY_WINDOW) return false;
    return distance < 32 ? ((this.#low >>> distance) & 1) === 0 : ((this.#high >>> (distance - 32)) & 1) === 0;
  }

  /** Marks `n` as accepted. Call it only for a number that `check` passed and whose record authenticated. */
  commit(n: SequenceNumber): void {
    if (n > this.#newest) {
      this.#advance(this.#newest < 0 ? REPLAY_WINDOW : n - this.#newest);
      this.#newest = n;
    }
    const distance = this.#newest - n;
    if (distance < 32) this.#low = (this.#low | (1 << distance)) >>> 0;
    else if (distance < REPLAY_WINDOW) this.#high = (this.#high | (1 << (distance - 32))) >>> 0;
  }

  /** The accepted numbers that are still in the window, newest first. */
  accepted(): SequenceNumber[] {
    const numbers: SequenceNumber[] = [];
    for (let n = this.#newest; n >= 0 && this.#newest - n < REPLAY_WINDOW; n--) {
      if (!this.check(n as SequenceNumber)) numbers.push(n as SequenceNumber);
    }
    return numbers;
  }

  #advance(by: number): void {
    if (by >= REPLAY_WINDOW) {
      this.#high = 0;
      this.#low = 0;
    } else if (by >= 32) {
      this.#high = (this.#low << (by - 32)) >>> 0;
      this.#low = 0;
    } else if (by > 0) {
      this.#high = ((this.#high << by) | (this.#low >>> (32 - by))) >>> 0;
      this.#low = (this.#low << by) >>> 0;
    }
  }
}
