/** One burst of datagrams: what was sent and what came, datagrams a second. */
export interface Burst {
  readonly offered: number;
  readonly delivered: number;
}

/**
 * Looks for the highest rate at which less than 1 % is lost. Starts from what an unpaced burst delivered, goes down until
 * a burst is clean, and then halves the distance to the lowest that was not (as a ratio). The generator may not reach
 * what it is asked for: bursts are judged by what was really sent.
 */
export class RateSearch {
  /** Highest rate seen clean, and lowest seen not clean above it. */
  #clean: Burst | undefined;
  #dirty: number | undefined;
  #best: Burst;
  /** What to try while nothing was clean yet. */
  #down: number;

  /** `unpaced`: what came of sending as fast as possible. */
  constructor(unpaced: Burst) {
    this.#best = unpaced;
    this.#down = unpaced.delivered;
    if (isClean(unpaced)) this.#clean = unpaced;
    else this.#dirty = unpaced.offered;
  }

  /** The rate to try next. */
  get next(): number {
    if (this.#clean === undefined) return this.#down;
    if (this.#dirty === undefined) return this.#clean.offered * 1.3;
    return Math.sqrt(this.#clean.offered * this.#dirty);
  }

  /** What came of trying. */
  record(burst: Burst): void {
    if (burst.delivered > this.#best.delivered) this.#best = burst;
    if (!isClean(burst)) {
      this.#down = Math.min(this.#down, burst.offered) * 0.7;
      if (this.#clean === undefined || burst.offered > this.#clean.offered) this.#dirty = burst.offered;
      return;
    }
    if (this.#clean === undefined || burst.delivered > this.#clean.delivered) this.#clean = burst;
    // Cleaner than a lower rate was: that one had bad luck.
    if (this.#dirty !== undefined && this.#dirty <= burst.offered) this.#dirty = undefined;
  }

  /** The burst of which most arrived. */
  get best(): Burst {
    return this.#best;
  }

  /** Datagrams a second of the fastest clean burst; 0 when none was clean. */
  get cleanRate(): number {
    return this.#clean?.delivered ?? 0;
  }
}

function isClean({ offered, delivered }: Burst): boolean {
  return delivered > 0.99 * offered;
}
