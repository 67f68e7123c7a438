import { type Instant, later } from '../base/brand.ts';
import type { Path } from '../net/endpoint.ts';
import { RECALL_BURST, RECALL_INTERVAL, RECALL_LATENESS, RECALL_RATE } from './limits.ts';

/** A peer as far as it matters to whether it is called. */
interface Recallable {
  readonly reachable: boolean;
  readonly settings: { readonly enabled: boolean };
  callAt(path: Path, at: Instant): void;
}

/** A peer and where it was last met. */
export interface Recall<P> {
  readonly peer: P;
  readonly path: Path;
}

/**
 * Whom a daemon that has just started calls where they were last met: at a bounded rate, and only while it keeps up.
 * Thousands that have noticed by themselves take all the time there is: a call to one of them would cross its own and be a
 * handshake for nothing.
 */
export class Recalls<P extends Recallable> {
  /** In the order of their turns. */
  #waiting: readonly Recall<P>[] = [];
  #next = 0;
  #due: Instant | undefined;

  /** Calls the first at once and the others later. */
  begin(waiting: readonly Recall<P>[], now: Instant): readonly P[] {
    this.#waiting = waiting;
    this.#next = 0;
    return this.#call(RECALL_BURST, now);
  }

  get deadline(): Instant | undefined {
    return this.#due;
  }

  /** Calls those whose turn it is, unless it comes late; yields them. */
  tick(now: Instant): readonly P[] {
    if (this.#due === undefined || now < this.#due) return [];
    const isLate = now - this.#due > RECALL_LATENESS;
    return this.#call(isLate ? 0 : (RECALL_RATE * RECALL_INTERVAL) / 1000, now);
  }

  stop(): void {
    this.#waiting = [];
    this.#due = undefined;
  }

  #call(most: number, now: Instant): readonly P[] {
    const called: P[] = [];
    for (let turn = this.#waiting[this.#next]; turn !== undefined && called.length < most; ) {
      const { peer, path } = turn;
      // Who has called meanwhile is not called.
      if (!peer.reachable && peer.settings.enabled) {
        peer.callAt(path, now);
        called.push(peer);
      }
      turn = this.#waiting[++this.#next];
    }
    if (this.#next < this.#waiting.length) this.#due = later(now, RECALL_INTERVAL);
    else this.stop();
    return called;
  }
}
