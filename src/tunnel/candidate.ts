import { type Duration, type Instant, later } from '../base/brand.ts';
import { CONFIRM_WAIT } from './limits.ts';
import type { Candidate } from './selection.ts';
import type { Session } from './session.ts';

/** `session` as far as it matters to whether it should carry the traffic of a peer with this Failback. */
export function candidateOf(
  session: Session,
  failback: Duration,
  now: Instant,
): Candidate & { readonly session: Session } {
  const { association, leg } = session;
  const waited = now >= later(session.establishedAt, CONFIRM_WAIT);
  return {
    session,
    role: association.role,
    endpointIndex: leg === undefined ? undefined : (leg.index ?? UNCONFIGURED),
    startedAt: association.startedAt,
    establishedAt: session.establishedAt,
    health: session.health,
    draining: session.draining,
    announces: session.speaks,
    peerUse: session.peerUse,
    peerUseAt: session.peerUseAt,
    confirmed: association.role === 'client' || session.confirmed || waited,
    heldDown: leg?.failedAt !== undefined && now < later(leg.failedAt, failback),
  };
}

/** Comes after every configured endpoint. */
const UNCONFIGURED = 500;
