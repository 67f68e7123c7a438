/** Up to here all peers are looked at whenever one of them has changed. */
const MANY_PEERS = 100;

/** Ms: a second for ten thousand peers, of which looking at them takes a few hundredths. */
const PAUSE_PER_PEER = 0.1;

/**
 * How long to wait, ms, between two looks at all of `peers` peers. Looking at everybody for every handshake is work by the
 * square when thousands come back at once.
 */
export function pauseBetweenLooks(peers: number): number {
  return peers > MANY_PEERS ? peers * PAUSE_PER_PEER : 0;
}

/** One look for however many requests come before it, at that pace. */
export class PacedLooks {
  readonly #look: () => void;
  #isComing = false;

  constructor(look: () => void) {
    this.#look = look;
  }

  /** Something has changed; there are so many peers to look at. */
  request(peers: number): void {
    if (this.#isComing) return;
    this.#isComing = true;
    const look = (): void => {
      this.#isComing = false;
      this.#look();
    };
    const pause = pauseBetweenLooks(peers);
    if (pause === 0) setImmediate(look);
    else setTimeout(look, pause).unref();
  }
}
