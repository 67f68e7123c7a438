import { seededRandom } from './pattern.ts';

/** What a bad path does to datagrams in one direction. Everything left out is left undone. */
export interface Impairment {
  /** Share of datagrams lost, 0 … 1. */
  readonly loss?: number;
  /** Losses in bursts (Gilbert–Elliott): chance to enter a burst, to leave it, and the loss within. */
  readonly burst?: { readonly enter: number; readonly leave: number; readonly loss: number };
  /** Share of datagrams held back by `byMs` beyond the delay, so that later ones overtake them. */
  readonly reorder?: { readonly share: number; readonly byMs: number };
  /** Share of datagrams that arrive twice. */
  readonly duplicate?: number;
  /** Share of datagrams in which one bit is flipped. */
  readonly corrupt?: number;
  readonly delayMs?: number;
  /** Added to the delay, evenly spread over 0 … this; order is kept. */
  readonly jitterMs?: number;
  /** Bits a second; what would wait longer than `queueMs` (default 100) is lost. */
  readonly rate?: number;
  readonly queueMs?: number;
  /** Largest UDP payload; larger ones vanish (a path-MTU black hole). */
  readonly maxPayload?: number;
}

/** One arrival: when, and with which bit flipped. */
export interface Arrival {
  /** Milliseconds from now. */
  readonly inMs: number;
  /** Bit index to flip; undefined: intact. */
  readonly flipBit: number | undefined;
}

/** What an impairment did so far. */
export interface ImpairmentCounts {
  passed: number;
  lost: number;
  duplicated: number;
  corrupted: number;
  reordered: number;
  tooLarge: number;
}

/**
 * Decides the fate of each datagram in one direction. Pure and seeded: the same datagrams at the same times meet the
 * same fate.
 */
export class ImpairedPath {
  readonly counts: ImpairmentCounts = { passed: 0, lost: 0, duplicated: 0, corrupted: 0, reordered: 0, tooLarge: 0 };
  #impairment: Impairment;
  readonly #random: () => number;
  #inBurst = false;
  /** When the link has sent what was accepted so far. */
  #busyUntil = 0;
  /** The latest arrival so far of what was not held back: jitter does not reorder. */
  #lastArrival = 0;

  constructor(impairment: Impairment, seed: number) {
    this.#impairment = impairment;
    const random = seededRandom(seed);
    this.#random = () => random() / 2 ** 32;
  }

  /** Behaves differently from now on; what is under way stays so. */
  become(impairment: Impairment): void {
    this.#impairment = impairment;
  }

  /** The arrivals of a datagram of `length` octets sent at `now` (milliseconds): none, one or two. */
  send(length: number, now: number): readonly Arrival[] {
    const { delayMs = 0, jitterMs = 0, reorder, duplicate, corrupt, maxPayload } = this.#impairment;
    if (maxPayload !== undefined && length > maxPayload) {
      this.counts.tooLarge++;
      return [];
    }
    const queued = this.#queue(length, now);
    if (this.#isLost() || queued === undefined) {
      this.counts.lost++;
      return [];
    }
    let at = now + queued + delayMs + jitterMs * this.#random();
    if (this.#chance(reorder?.share)) {
      this.counts.reordered++;
      at += reorder?.byMs ?? 0;
    } else {
      at = Math.max(at, this.#lastArrival);
      this.#lastArrival = at;
    }
    this.counts.passed++;
    let flipBit: number | undefined;
    if (length > 0 && this.#chance(corrupt)) {
      this.counts.corrupted++;
      flipBit = Math.floor(this.#random() * length * 8);
    }
    const arrival = { inMs: at - now, flipBit };
    if (!this.#chance(duplicate)) return [arrival];
    this.counts.duplicated++;
    return [arrival, { inMs: at - now, flipBit: undefined }];
  }

  #isLost(): boolean {
    const { loss, burst } = this.#impairment;
    if (burst !== undefined) {
      this.#inBurst = this.#inBurst ? !this.#chance(burst.leave) : this.#chance(burst.enter);
      if (this.#inBurst && this.#chance(burst.loss)) return true;
    }
    return this.#chance(loss);
  }

  /** How long the datagram waits for the link and takes to leave; undefined when the queue is full. */
  #queue(length: number, now: number): number | undefined {
    const { rate, queueMs = 100 } = this.#impairment;
    if (rate === undefined) return 0;
    const starts = Math.max(now, this.#busyUntil);
    if (starts - now > queueMs) return undefined;
    this.#busyUntil = starts + ((length + OVERHEAD) * 8000) / rate;
    return this.#busyUntil - now;
  }

  /** Draws only when there is something to decide, so that adding one impairment leaves the others' fate alone. */
  #chance(share: number | undefined): boolean {
    return share !== undefined && share > 0 && this.#random() < share;
  }
}

/** IPv4 and UDP headers, octets. */
const OVERHEAD = 28;
