/** Days before the end at which it is told. */
const NOTICES = [30, 14, 3, 0] as const;

/** Seconds. */
const DAY = 86_400;

/** Tells of a certificate that runs out, once per notice: dates cut nothing off, but somebody should know. */
export class ExpiryNotice {
  #notAfter = 0;
  #told: number | undefined;

  /** Days left when it is time to say so again; undefined when there is nothing new. Times are epoch seconds. */
  due(notAfter: number, now: number): number | undefined {
    if (notAfter !== this.#notAfter) {
      this.#notAfter = notAfter;
      this.#told = undefined;
    }
    const days = Math.floor((notAfter - now) / DAY);
    const notice = NOTICES.findLast((at) => days <= at);
    if (notice === undefined || notice === this.#told) return undefined;
    this.#told = notice;
    return days;
  }
}
