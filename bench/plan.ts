import type { Test } from './measurements.ts';
import { OUTER_PATHS, type OuterPath } from './outer-path.ts';
import { BARE } from './peers/bare.ts';
import { dtunnel } from './peers/dtunnel.ts';
import { fastd } from './peers/fastd.ts';
import { OCSERV } from './peers/ocserv.ts';
import { OPENVPN } from './peers/openvpn.ts';
import { plane } from './peers/plane.ts';
import type { Peer, Role } from './peers/support.ts';
import { wireguardGo } from './peers/wireguard-go.ts';

/** Everyone who can take part, in the order of the table. */
export const PEERS: readonly Peer[] = [
  BARE,
  dtunnel('dtunnel', 'this checkout, default settings'),
  dtunnel('dtunnel-openssl', "the same with OpenSSL's ciphers (Crypto = openssl)", 'limit', ['Crypto = openssl']),
  plane('null-cipher', 'null', 'our data plane copying where a cipher would work, fixed keys; not part of the product'),
  wireguardGo('wireguard-go', 'wireguard-go', "the distribution's wireguard-go, MTU 1420"),
  wireguardGo('wireguard-go-new', process.env['WIREGUARD_GO'], 'the wireguard-go that WIREGUARD_GO names, MTU 1420'),
  OPENVPN,
  OCSERV,
  fastd('fastd', 'salsa2012+umac', 'TUN mode, salsa2012+umac, MTU 1440'),
  fastd('fastd-null', 'null', 'TUN mode without any encryption, MTU 1440: what per-packet cost alone allows'),
];

/** Debian packages that every peer and test needs. wireguard-go with segmentation offloads (2023 on) is not among them. */
export const PACKAGES =
  'iproute2 iperf3 ethtool iputils-ping gcc g++ make libssl-dev openvpn wireguard-go wireguard-tools ocserv openconnect fastd';

/** What a run does. */
export interface Plan {
  readonly rounds: number;
  readonly paths: readonly OuterPath[];
  /** The tests of a peer over an outer path, in order; none: it is not even started. */
  readonly tests: (path: OuterPath, role: Role) => readonly Test[];
  /**
   * Rounds of idle round trips after the others: short visits, so that a slow minute of the machine falls on several peers. In
   * the long rounds it would fall on one, and the best peers lie within a tenth of each other.
   */
  readonly idleRounds: number;
  /** Whether handshakes are measured too (handshake.ts). */
  readonly handshakes: boolean;
}

/** One peer on a fresh rig. */
export interface Visit {
  readonly round: number;
  readonly path: OuterPath;
  readonly peer: Peer;
  readonly tests: readonly Test[];
}

/** All that `plan` does with `peers`, in order. */
export function visitsOf(plan: Plan, peers: readonly Peer[]): readonly Visit[] {
  const rounds = (count: number, paths: readonly OuterPath[], tests: Plan['tests']): readonly Visit[] =>
    Array.from({ length: count }, (_, round) =>
      paths.flatMap((path) =>
        // Every other round backwards: what one peer leaves behind (heat, caches, neighbours) falls on another.
        (round % 2 === 0 ? peers : peers.toReversed())
          .map((peer) => ({ round, path, peer, tests: tests(path, peer.role) }))
          .filter((visit) => visit.tests.length > 0),
      ),
    ).flat();
  return [
    ...rounds(plan.rounds, plan.paths, plan.tests),
    ...rounds(plan.idleRounds, [IDLE_PATH], (_, role) => (role === 'limit' ? [] : [IDLE])),
  ];
}

const IDLE: Test = { kind: 'rtt', name: 'rtt', loaded: false, seconds: 4 };
/** Packets that come alone are segmented nowhere. */
const IDLE_PATH: OuterPath = 'pass';

/** About thirteen minutes a round with every peer, and one and a half for each of idle round trips. */
export const FULL: Plan = {
  rounds: 3,
  paths: OUTER_PATHS,
  tests: (path, role) => {
    if (path === 'pass') return role === 'limit' ? THROUGHPUT : EVERYTHING;
    return role === 'limit' ? THROUGHPUT.filter((test) => test.kind !== 'tcp' || !test.reverse) : THROUGHPUT;
  },
  idleRounds: 7,
  handshakes: true,
};

/** About a minute: one round, one path, the four figures that tell most. */
export const QUICK: Plan = {
  rounds: 1,
  paths: ['pass'],
  tests: (_, role) => [
    tcp('tcp1', 1, false, 2),
    tcp('tcp4', 4, false, 2),
    ...(role === 'limit' ? [] : QUICK_PACKETS),
    MEMORY,
  ],
  idleRounds: 0,
  handshakes: false,
};

const MEMORY: Test = { kind: 'memory', name: 'memory' };

const QUICK_PACKETS: readonly Test[] = [
  { kind: 'udp', name: 'udp64', sizes: '64', tries: 4, seconds: 0.5 },
  { kind: 'rtt', name: 'rtt', loaded: false, seconds: 1 },
];

function tcp(name: string, streams: number, reverse: boolean, seconds: number, traffic: 'lan' | 'local' = 'lan'): Test {
  return { kind: 'tcp', name, streams, reverse, traffic, seconds };
}

/** Where the scheduler puts six busy threads on two cores decides a third of the rate, and changes every few seconds. */
const TCP_SECONDS = 4;

const TCP: readonly Test[] = [
  tcp('tcp1', 1, false, TCP_SECONDS),
  tcp('tcp1-reverse', 1, true, TCP_SECONDS),
  tcp('tcp4', 4, false, TCP_SECONDS),
  tcp('tcp4-reverse', 4, true, TCP_SECONDS),
];

const THROUGHPUT: readonly Test[] = [...TCP, MEMORY];

const EVERYTHING: readonly Test[] = [
  ...TCP,
  tcp('tcp1-local', 1, false, TCP_SECONDS, 'local'),
  { kind: 'udp', name: 'udp64', sizes: '64', tries: 5, seconds: 0.5 },
  { kind: 'udp', name: 'udp1300', sizes: '1300', tries: 5, seconds: 0.5 },
  // The usual 7:4:1 mixture of 64-, 576- and full-size packets; 1328 octets is the largest every peer carries whole.
  { kind: 'udp', name: 'imix', sizes: '36x7,548x4,1300x1', tries: 4, seconds: 0.5 },
  { kind: 'rtt', name: 'rtt-loaded', loaded: true, seconds: 2.5 },
  MEMORY,
];
