import type { Duration, Fingerprint, Instant, PathMtu, PeerId, SessionSlot } from '../../src/base/brand.ts';
import type { Address } from '../../src/net/address.ts';
import type { DropCounters, DropReason, PeerStats, PlaneStats } from '../../src/plane/plane.ts';
import type { AssociationSnapshot, PeerSnapshot } from '../../src/tunnel/effects.ts';

/** Values as data plane and tunnel report them, all plausible and all distinct where it matters. */

/** An instant. */
export const at = (ms: number): Instant => ms as Instant;

/** A peer's number. */
export const peerId = (n: number): PeerId => n as PeerId;

/** Drop counters: zero but for what is named. */
export function drops(
  over: { in?: Partial<Record<DropReason, bigint>>; out?: Partial<Record<DropReason, bigint>> } = {},
): DropCounters {
  const zero: Record<DropReason, bigint> = {
    replay: 0n,
    bad_mac: 0n,
    not_allowed: 0n,
    no_route: 0n,
    too_big: 0n,
    malformed: 0n,
    queue_full: 0n,
    rate_limited: 0n,
    peer_down: 0n,
    no_key: 0n,
    send_error: 0n,
    loop: 0n,
  };
  return { in: { ...zero, ...over.in }, out: { ...zero, ...over.out } };
}

/** Counters of a peer. */
export function peerStats(over: Partial<PeerStats> = {}): PeerStats {
  return {
    receivePackets: 100n,
    receiveBytes: 100_000n,
    transmitPackets: 50n,
    transmitBytes: 40_000n,
    drops: drops({ in: { not_allowed: 41n } }),
    sequenceGaps: 2n,
    reordered: 3n,
    duplicates: 1n,
    ...over,
  };
}

/** Counters of a plane with one peer, number 0; they obey the conservation law. */
export function planeStats(over: Partial<PlaneStats> = {}): PlaneStats {
  return {
    at: at(10_000),
    udp: {
      receiveDatagrams: 100n + 7n + 41n + 6n + 4n - 1n,
      receiveBytes: 160_000n,
      transmitDatagrams: 70n,
      transmitBytes: 50_000n,
      receiveOverflows: 5n,
      extraRecords: 1n,
    },
    handedUp: 4n,
    control: 7n,
    unattributed: { unknown_session: 1n, short: 2n, bad_version: 0n, not_dtls: 3n, flood: 0n },
    drops: drops(),
    tun: { readPackets: 60n, readCalls: 6n, writePackets: 100n, writeCalls: 20n },
    udpCalls: { receive: 16n, transmit: 7n },
    packetTooBig: { v4: 1n, v6: 2n },
    mssClamped: { v4: 3n, v6: 4n },
    threads: [{ name: 'tx0', userSeconds: 1.5, systemSeconds: 0.5 }],
    memory: { sessions: 4096, buffers: 1_000_000 },
    peers: new Map([[peerId(0), peerStats()]]),
    peerDrops: peerStats().drops,
    sessions: new Map(),
    ...over,
  };
}

/** An association over IPv4. */
export function association(over: Partial<AssociationSnapshot> = {}): AssociationSnapshot {
  return {
    slot: 3 as SessionSlot,
    role: 'client',
    path: { remote: { address: '203.0.113.10' as Address, port: 4433 }, local: undefined },
    endpointIndex: 0,
    suite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    group: 'x25519',
    protocol: 'dtunnel/1',
    connectionIds: true,
    establishedAt: at(5_000),
    handshakeDuration: 31 as Duration,
    rekeyAt: at(3_605_000),
    rekeyAfterBytes: 259_845_521_408,
    keyUsage: { transmit: 0.004, receive: 0.002 },
    pathMtu: 1472 as PathMtu,
    innerMtu: 1430,
    peerCertificateNotAfter: 2_110_838_400,
    ...over,
  };
}

/** A peer that is up; number 0, named berlin. */
export function peerSnapshot(over: Partial<PeerSnapshot> = {}): PeerSnapshot {
  return {
    id: peerId(0),
    name: 'berlin',
    state: 'up',
    since: at(5_000),
    up: true,
    fingerprint: 'cb'.repeat(32) as Fingerprint,
    association: association(),
    others: [],
    endpoints: [{ host: 'vpn.berlin.example.net', port: 4433, addresses: ['203.0.113.10' as Address] }],
    lastReceive: at(9_900),
    rtt: { smoothed: 14.1 as Duration, variation: 0.6 as Duration },
    loss: 0,
    lastFailure: undefined,
    nextAttempt: undefined,
    lastKnown: undefined,
    ...over,
  };
}

/** A peer that has never been up. */
export function downPeer(over: Partial<PeerSnapshot> = {}): PeerSnapshot {
  return peerSnapshot({
    state: 'connecting',
    up: false,
    association: undefined,
    lastReceive: undefined,
    rtt: undefined,
    ...over,
  });
}
