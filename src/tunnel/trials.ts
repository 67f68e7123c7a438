import { earliest, type Instant, later, type PathMtu } from '../base/brand.ts';
import type { Identity } from '../crypto/identity.ts';
import type { CloseReason } from '../dtls/effects.ts';
import type { Path } from '../net/endpoint.ts';
import { Association, type AssociationOwner } from './association.ts';
import type { Context } from './context.ts';
import { CALL_TIMER_UNKNOWN, TRIAL_TIMEOUT } from './limits.ts';
import { newPathMtu } from './path-mtu.ts';
import type { Peer } from './peer.ts';

/**
 * What a peer makes of a certificate of ours that is not in force: it knows it, it refuses it, nobody answered, or it
 * cannot be asked (a plain DTLS peer, for which a second association would displace the first).
 */
export type TrialResult = 'known' | 'refused' | 'silent' | 'unable';

/**
 * Handshakes beside the current association that only ask whether a peer would accept another identity of ours. One that
 * completes is closed at once: nothing was sent on it, so neither end has moved any traffic there.
 */
export class Trials implements AssociationOwner {
  readonly #context: Context;
  readonly #running = new Map<
    Association,
    { readonly peer: string; readonly identity: Identity; readonly end: Instant }
  >();

  constructor(context: Context) {
    this.#context = context;
  }

  get deadline(): Instant | undefined {
    let due: Instant | undefined;
    for (const [association, { end }] of this.#running) due = earliest(due, earliest(end, association.deadline));
    return due;
  }

  /** Asks `peer`; what it makes of `identity` comes as an event. */
  begin(peer: Peer, identity: Identity, now: Instant): void {
    const answer = (result: TrialResult): void => this.#tell(peer.name, identity, result);
    if (peer.current?.speaks === false) {
      answer('unable');
      return;
    }
    const path = placeOf(peer);
    // One handshake along a path at a time: those of two could not be told apart.
    const busy = path !== undefined && this.#context.registry.along(path).some((other) => !other.installed);
    const lease = path === undefined || busy ? undefined : this.#context.slots.take(now);
    if (path === undefined || lease === undefined) {
      answer('silent');
      return;
    }
    const { settings } = peer;
    const known = peer.memories.get(path.remote.address);
    const association = new Association(
      this.#context,
      {
        owner: this,
        lease,
        role: 'client',
        path,
        trigger: 'manual',
        peer: peer.id,
        identity,
        authorize: (fingerprint) =>
          settings.fingerprints.includes(fingerprint) ? { allowLegacyPeer: settings.allowLegacyPeer } : undefined,
        expected: settings.fingerprints.join(' or '),
        handshakeTimeout: TRIAL_TIMEOUT,
        initialTimeout: CALL_TIMER_UNKNOWN,
        pathMtu: (known?.pathMtu ?? newPathMtu(now)).mtu as PathMtu,
      },
      now,
    );
    this.#running.set(association, { peer: peer.name, identity, end: later(now, TRIAL_TIMEOUT) });
    association.start(now);
  }

  tick(now: Instant): void {
    for (const [association, { end }] of this.#running) {
      if (association.deadline !== undefined && association.deadline <= now) association.tick(now);
      // It may have been given up for a call of the far end's, without a word.
      if (!this.#running.has(association) || (now < end && !association.closed)) continue;
      this.#end(association, 'silent');
      association.abandon(now);
    }
  }

  /** Ends all of them without a word. */
  stop(now: Instant): void {
    for (const association of this.#running.keys()) association.abandon(now);
    this.#running.clear();
  }

  // --- AssociationOwner ------------------------------------------------------------------------------------------

  established(association: Association, _established: unknown, now: Instant): void {
    this.#end(association, 'known');
    association.close('closed', now);
  }

  data(): void {
    // It is closed as soon as it is complete: there is nobody to hand anything to.
  }

  closed(association: Association, reason: CloseReason): void {
    this.#end(association, reason.by === 'peer' ? 'refused' : 'silent');
  }

  #end(association: Association, result: TrialResult): void {
    const trial = this.#running.get(association);
    if (trial === undefined) return;
    this.#running.delete(association);
    this.#tell(trial.peer, trial.identity, result);
  }

  #tell(peer: string, { fingerprint }: Identity, result: TrialResult): void {
    this.#context.event({ kind: 'trial', peer, fingerprint, result });
  }
}

/** Where a peer can be asked: where it is, else where it was, else where it is configured. */
function placeOf(peer: Peer): Path | undefined {
  const known = peer.current?.association.path ?? peer.lastKnown;
  if (known !== undefined) return known;
  for (const { target, addresses } of peer.legs) {
    const [address] = addresses;
    if (address !== undefined) return { remote: { address, port: target.port }, local: undefined };
  }
  return undefined;
}
