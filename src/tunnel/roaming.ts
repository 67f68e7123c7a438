import { type Instant, between, later } from '../base/brand.ts';
import { type Path, sameEndpoint } from '../net/endpoint.ts';
import { equalBytes } from '../wire/bytes.ts';
import { CHALLENGES_PER_REPORT, CHALLENGE_TIMEOUT } from './limits.ts';

/**
 * A path that an association might move to. RFC 9146 §6 asks for three things before the address changes: the record
 * is authentic and newer (the data plane reports only such), and the new address is shown to receive, which is what
 * the challenge does. Until then traffic keeps to the old path.
 */
export interface RoamingState {
  readonly path: Path;
  readonly token: Uint8Array;
  readonly since: Instant;
  /** Challenges that may still be sent for the latest report. */
  readonly budget: number;
  readonly sentAt: Instant;
}

/** The next state and whether its challenge goes out now. */
export interface RoamingDecision {
  readonly state: RoamingState | undefined;
  readonly challenge: boolean;
}

/** A newer record came along `path`, which is not the association's. `token` is used when a new challenge begins. */
export function decideMove(
  before: RoamingState | undefined,
  path: Path,
  token: Uint8Array,
  now: Instant,
): RoamingDecision {
  const same = before !== undefined && samePath(before.path, path) && !expired(before, now);
  const state: RoamingState = {
    path,
    token: same ? before.token : token,
    since: same ? before.since : now,
    budget: CHALLENGES_PER_REPORT - 1,
    sentAt: now,
  };
  return { state, challenge: true };
}

/** What time brings: one repetition, then the end of the attempt. */
export function decideRoaming(before: RoamingState | undefined, repeatAfter: number, now: Instant): RoamingDecision {
  if (before === undefined || expired(before, now)) return { state: undefined, challenge: false };
  if (before.budget > 0 && between(before.sentAt, now) >= repeatAfter) {
    return { state: { ...before, budget: before.budget - 1, sentAt: now }, challenge: true };
  }
  return { state: before, challenge: false };
}

/** Whether `token` answers the challenge under way. */
export function provesPath(state: RoamingState | undefined, token: Uint8Array, now: Instant): state is RoamingState {
  return state !== undefined && !expired(state, now) && equalBytes(state.token, token);
}

/** Whether both paths have the same far and near end. */
export function samePath(a: Path, b: Path): boolean {
  return a.local === b.local && sameEndpoint(a.remote, b.remote);
}

function expired(state: RoamingState, now: Instant): boolean {
  return now >= later(state.since, CHALLENGE_TIMEOUT);
}
