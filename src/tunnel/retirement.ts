import { earliest, type Instant, later, ms } from '../base/brand.ts';
import { GRACE_MAX, GRACE_MIN, GRACE_RTTS, MAX_ASSOCIATIONS_PER_PEER, RETIRE_HARD, RETIRE_QUIET } from './limits.ts';
import type { PathMemory } from './path-memory.ts';
import type { Session } from './session.ts';

/** A session as far as its end matters. */
export interface Retiring {
  /** Since when another has taken its place; undefined: it is wanted. */
  readonly supersededAt: Instant | undefined;
  readonly lastReceive: Instant;
  readonly memory: PathMemory;
}

/**
 * When a replaced session is closed: after a grace period for what is under way, once the far end has been silent on it
 * (it has moved its traffic too), and at the latest after a minute. Undefined while it is wanted.
 */
export function retireAt(
  session: Retiring,
  successor: { readonly confirmed: boolean } | undefined,
): Instant | undefined {
  const { supersededAt } = session;
  if (supersededAt === undefined) return undefined;
  const hard = later(supersededAt, RETIRE_HARD);
  // The far end may still be sending here as long as nothing has come on the new one.
  if (successor?.confirmed !== true) return hard;
  const rtt = session.memory.quality.rtt?.smoothed ?? 0;
  const grace = later(supersededAt, ms(Math.min(Math.max(GRACE_RTTS * rtt, GRACE_MIN), GRACE_MAX)));
  const quiet = later(session.lastReceive, RETIRE_QUIET);
  return earliest(hard, later(grace, ms(Math.max(quiet - grace, 0))));
}

/** Closes sessions of a peer that has too many: replaced ones first, the current one never. */
export function limitSessions(
  peer: { readonly sessions: readonly Session[]; readonly current: Session | undefined },
  now: Instant,
): void {
  while (peer.sessions.length > MAX_ASSOCIATIONS_PER_PEER) {
    const victim =
      peer.sessions.find((s) => s.supersededAt !== undefined) ?? peer.sessions.find((s) => s !== peer.current);
    if (victim === undefined) return;
    victim.association.close('closed', now);
  }
}
