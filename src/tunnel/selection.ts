import type { Fingerprint, Instant } from '../base/brand.ts';
import type { Role } from '../dtls/effects.ts';
import type { Use } from './control-message.ts';
import type { Health } from './liveness.ts';

/** An established association as far as choosing between several matters. */
export interface Candidate {
  readonly role: Role;
  /** Place of the endpoint we called among the peer's; undefined when the peer called, or by an address not configured. */
  readonly endpointIndex: number | undefined;
  readonly startedAt: Instant;
  readonly establishedAt: Instant;
  readonly health: Health;
  /** The peer has told us that it stops soon. */
  readonly draining: boolean;
  /** The peer understands control messages, so it says what it does with the association. */
  readonly announces: boolean;
  /** What the peer said last, and when. */
  readonly peerUse: Use | undefined;
  readonly peerUseAt: Instant | undefined;
  /** The peer has shown that it can open our records: always so for a client, by a record of its own for a server. */
  readonly confirmed: boolean;
  /** Its endpoint failed so recently that going back to it must wait. */
  readonly heldDown: boolean;
}

/**
 * The association that our traffic is to use, or undefined when there is none.
 *
 * Both ends must come to the same choice without talking about it, so: what answers beats what does not; then the
 * *client* of the associations decides (it knows the endpoints and their order) and the server follows what the client
 * says in its probes; where both ends were clients the end with the smaller fingerprint decides. Until something is
 * said: the newest, or, of two that were made at the same time, the one whose client has the smaller fingerprint.
 */
export function selectAssociation<T extends Candidate>(
  candidates: readonly T[],
  current: T | undefined,
  ourName: Fingerprint,
  theirName: Fingerprint,
): T | undefined {
  const usable = candidates.filter((c) => c === current || isUsable(c));
  const pool = healthiest(usable.length > 0 ? usable : candidates);
  if (pool.length <= 1) return pool[0];

  const smaller = ourName < theirName;
  const roles = new Set(pool.map((c) => c.role));
  const weDecide = roles.size === 1 ? roles.has('client') : smaller;
  if (!weDecide) {
    const announced = pool.filter((c) => c.peerUse === 'active');
    const latest = newest(announced, (c) => c.peerUseAt);
    // What we have called since then is meant to replace it: the far end sees it as the newer one, too.
    const ours = pool.filter((c) => c.role === 'client' && latest !== undefined && c.startedAt > latest.establishedAt);
    const replacement = latest?.role === 'server' ? newest(ours, (c) => c.establishedAt) : undefined;
    if (latest !== undefined) return replacement ?? latest;
    // Nothing is said about any of them: the far end is plain, or has not spoken yet.
    if (current !== undefined && pool.includes(current) && pool.every((c) => c === current || c.announces)) {
      return current;
    }
  }
  return pool.reduce((best, c) => (better(c, best, current, smaller) ? c : best));
}

/** Whether `a` is to be preferred to `b`. `smaller`: our fingerprint is the smaller one. */
function better(a: Candidate, b: Candidate, current: Candidate | undefined, smaller: boolean): boolean {
  if (a.role !== b.role && concurrent(a, b)) return (a.role === 'client') === smaller;
  if (a.role === 'client' && b.role === 'client') {
    const [rankA, rankB] = [rank(a, current), rank(b, current)];
    if (rankA !== rankB) return rankA < rankB;
  }
  return a.establishedAt > b.establishedAt;
}

/** Order of endpoints; one that is held down comes after all others unless it is the one in use. */
function rank(c: Candidate, current: Candidate | undefined): number {
  const index = c.endpointIndex ?? -1;
  const elsewhere = current !== undefined && c.endpointIndex !== current.endpointIndex;
  return c.heldDown && elsewhere ? index + 1000 : index;
}

/** Whether neither was established when the other began: both ends called at once. */
function concurrent(a: Candidate, b: Candidate): boolean {
  return a.startedAt <= b.establishedAt && b.startedAt <= a.establishedAt;
}

/** A server waits for a sign that the client can open records; one that can speak says so itself. */
function isUsable(c: Candidate): boolean {
  if (c.role === 'client') return true;
  return c.announces ? c.peerUse === 'active' : c.confirmed;
}

function healthiest<T extends Candidate>(candidates: readonly T[]): readonly T[] {
  let best = Number.POSITIVE_INFINITY;
  for (const c of candidates) best = Math.min(best, illness(c));
  return candidates.filter((c) => illness(c) === best);
}

/** Smaller is better. Trouble alone moves nothing: it only starts a call beside. */
function illness(c: Candidate): number {
  if (c.health === 'dead') return 3;
  if (c.health === 'suspect') return 2;
  return c.draining ? 1 : 0;
}

function newest<T>(items: readonly T[], at: (item: T) => Instant | undefined): T | undefined {
  let best: T | undefined;
  for (const item of items) {
    if (best === undefined || (at(item) ?? 0) > (at(best) ?? 0)) best = item;
  }
  return best;
}
