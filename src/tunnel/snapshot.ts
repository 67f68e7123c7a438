import type { Fingerprint, Instant } from '../base/brand.ts';
import { invariant } from '../base/invariant.ts';
import type { Settings } from '../config/settings.ts';
import type { AssociationSnapshot, PeerGlance, PeerSnapshot } from './effects.ts';
import type { Peer } from './peer.ts';
import { keyUsage, rekeyAfterBytes } from './rekey.ts';
import type { Session } from './session.ts';

/** What is known of `peer` at `now`: the source of status and metrics. */
export function snapshotOf(peer: Peer, settings: Settings, now: Instant): PeerSnapshot {
  const { current, sessions } = peer;
  const others = sessions.filter((session) => session !== current);
  for (const session of sessions) session.refresh();
  return {
    id: peer.id,
    name: peer.name,
    state: peer.state,
    since: peer.since,
    up: peer.reachable,
    fingerprint: fingerprintOf(peer),
    association: current === undefined ? undefined : snapshotOfSession(peer, current, settings),
    others: others.map((session) => snapshotOfSession(peer, session, settings)),
    endpoints: peer.legs.map((leg) => ({ ...leg.target, addresses: leg.addresses })),
    lastReceive: peer.lastReceive,
    rtt: current?.memory.quality.rtt,
    loss: current?.memory.quality.loss ?? 0,
    lastFailure: peer.lastFailure,
    nextAttempt: nextAttempt(peer, now),
    lastKnown: peer.lastKnown,
  };
}

/** The little that is known of `peer` without counters. */
export function glanceAt(peer: Peer, settings: Settings): PeerGlance {
  const { current } = peer;
  return {
    name: peer.name,
    state: peer.state,
    up: peer.reachable,
    fingerprint: fingerprintOf(peer),
    lastKnown: peer.lastKnown,
    association:
      current === undefined
        ? undefined
        : {
            innerMtu: innerMtuOf(peer, current, settings),
            peerCertificateNotAfter: current.certificateNotAfter,
          },
  };
}

function fingerprintOf(peer: Peer): Fingerprint {
  const fingerprint = peer.current?.association.fingerprint ?? peer.settings.fingerprints[0];
  invariant(fingerprint !== undefined, 'a peer is named by a fingerprint');
  return fingerprint;
}

function innerMtuOf(peer: Peer, session: Session, settings: Settings): number {
  let least: number = session.pathMtu - session.overhead;
  for (const ceiling of [settings.interface.mtu, peer.settings.mtu])
    if (ceiling !== 'auto') least = Math.min(least, ceiling);
  return least;
}

function snapshotOfSession(peer: Peer, session: Session, settings: Settings): AssociationSnapshot {
  const { association, established, leg } = session;
  const aead = association.protection?.aead ?? 'aes-128-gcm';
  return {
    slot: association.lease.slot,
    role: association.role,
    path: association.path,
    endpointIndex: leg?.index,
    suite: established.suite,
    group: established.group,
    protocol: established.protocol,
    connectionIds: established.connectionIds,
    establishedAt: session.establishedAt,
    handshakeDuration: session.handshakeDuration,
    rekeyAt: session.rekeyAt,
    rekeyAfterBytes: rekeyAfterBytes(settings.interface.rekeyAfterData, aead),
    keyUsage: keyUsage(session.readings, aead),
    pathMtu: session.pathMtu,
    innerMtu: innerMtuOf(peer, session, settings),
    peerCertificateNotAfter: session.certificateNotAfter,
  };
}

function nextAttempt(peer: Peer, now: Instant): Instant | undefined {
  let next: Instant | undefined;
  for (const leg of peer.legs) {
    if (leg.nextAt !== undefined && leg.nextAt > now && (next === undefined || leg.nextAt < next)) next = leg.nextAt;
  }
  return next;
}
