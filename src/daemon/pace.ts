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
