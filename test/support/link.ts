import type { Instant } from '../../src/base/brand.ts';
import type { SeededRandom } from './seeded-random.ts';

/** How bad a direction of a path is. Probabilities in 0 … 1, times in milliseconds. */
export interface LinkQuality {
  readonly delay?: number;
  /** Uniform extra delay: more than the gap between datagrams reorders them. */
  readonly jitter?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  /** Chance of being held back by `jitter` + ten times the delay. */
  readonly reorder?: number;
  /** Chance that one octet is changed. */
  readonly corrupt?: number;
  /** Larger datagrams vanish. */
  readonly mtu?: number;
}

/** What is picked out by its place or by what it is; counting from 1. */
export type Pick = { readonly nth: number } | ((datagram: Uint8Array, nth: number) => boolean);

/** One direction of a path between two engines: loses, duplicates, delays, reorders, corrupts, by a seed. */
export class LinkDirection {
  quality: LinkQuality;
  readonly #random: SeededRandom;
  readonly #drops: Pick[] = [];
  readonly #inFlight: { readonly at: number; readonly order: number; readonly datagram: Uint8Array }[] = [];
  #sent = 0;
  /** Everything that was sent, also what got lost: copies. */
  readonly log: Uint8Array[] = [];
  /** Sees each datagram before the link does; what it returns is sent instead. */
  tamper: ((datagram: Uint8Array, nth: number) => readonly Uint8Array[]) | undefined;

  constructor(quality: LinkQuality, random: SeededRandom) {
    this.quality = quality;
    this.#random = random;
  }

  /** Loses what is picked. */
  drop(pick: Pick): void {
    this.#drops.push(pick);
  }

  /** Sends a datagram at `now`. */
  send(datagram: Uint8Array, now: Instant): void {
    const nth = ++this.#sent;
    this.log.push(datagram.slice());
    if (this.#drops.some((pick) => (typeof pick === 'function' ? pick(datagram, nth) : pick.nth === nth))) return;
    for (const sent of this.tamper?.(datagram, nth) ?? [datagram]) this.#carry(sent, now);
  }

  /** When the next datagram arrives; undefined while none is under way. */
  get deadline(): Instant | undefined {
    let first: number | undefined;
    for (const { at } of this.#inFlight) first = first === undefined ? at : Math.min(first, at);
    return first as Instant | undefined;
  }

  /** Takes the next datagram that has arrived by `now`, in order of arrival. */
  take(now: Instant): Uint8Array | undefined {
    let best: number | undefined;
    this.#inFlight.forEach((item, i) => {
      const current = best === undefined ? undefined : this.#inFlight[best];
      if (item.at > now) return;
      if (current === undefined || item.at < current.at || (item.at === current.at && item.order < current.order)) {
        best = i;
      }
    });
    return best === undefined ? undefined : this.#inFlight.splice(best, 1)[0]?.datagram;
  }

  #carry(datagram: Uint8Array, now: Instant): void {
    const { loss = 0, duplicate = 0, corrupt = 0, mtu = Number.POSITIVE_INFINITY } = this.quality;
    if (datagram.length > mtu || this.#random.chance(loss)) return;
    const copies = this.#random.chance(duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const copy = datagram.slice();
      if (this.#random.chance(corrupt)) {
        const at = this.#random.below(copy.length);
        copy[at] = (copy[at] ?? 0) ^ (1 + this.#random.below(255));
      }
      this.#inFlight.push({ at: now + this.#latency(), order: this.#inFlight.length + this.#sent * 4, datagram: copy });
    }
  }

  #latency(): number {
    const { delay = 10, jitter = 0, reorder = 0 } = this.quality;
    const held = this.#random.chance(reorder) ? jitter + delay * 10 : 0;
    return delay + held + (jitter > 0 ? this.#random.unit() * jitter : 0);
  }
}
