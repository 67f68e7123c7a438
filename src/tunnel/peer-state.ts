import type { PeerState } from './effects.ts';
import type { Health } from './liveness.ts';

/** What a peer's state follows from. */
export interface PeerView {
  readonly enabled: boolean;
  readonly current: { readonly health: Health; readonly draining: boolean } | undefined;
  /** It has answered before. */
  readonly everUp: boolean;
  /** Code of the latest failed attempt since the last success. */
  readonly failure: string | undefined;
  /** Its endpoints; none: it calls us. */
  readonly legs: readonly { readonly resolving: boolean }[];
}

/** The state of a peer and, in a few words, why it is so. A state is what was observed last, never a hope. */
export function judgePeer(view: PeerView): { readonly state: PeerState; readonly reason: string } {
  const { current } = view;
  if (!view.enabled) return { state: 'disabled', reason: 'Enabled = no' };
  if (current !== undefined) {
    if (current.health === 'dead') return { state: 'down', reason: 'silent' };
    if (current.draining) return { state: 'degraded', reason: 'peer is draining' };
    if (current.health === 'suspect') return { state: 'degraded', reason: 'answers are missing' };
    return { state: 'up', reason: 'answers' };
  }
  if (view.failure !== undefined) return { state: 'down', reason: view.failure };
  if (view.legs.length === 0) return { state: 'down', reason: 'waiting for the peer to call' };
  if (view.everUp) return { state: 'down', reason: 'no association' };
  return view.legs.every((leg) => leg.resolving)
    ? { state: 'resolving', reason: 'looking up the endpoint' }
    : { state: 'connecting', reason: 'calling' };
}
