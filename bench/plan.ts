import type { Test } from './measurements.ts';
import { OUTER_PATHS, type OuterPath } from './outer-path.ts';
import { BARE } from './peers/bare.ts';
import { dtunnel } from './peers/dtunnel.ts';
import { fastd } from './peers/fastd.ts';
import { OCSERV } from './peers/ocserv.ts';
import { OPENVPN } from './peers/openvpn.ts';
import type { Peer } from './peers/support.ts';
import { wireguardGo } from './peers/wireguard-go.ts';

/** Everyone who can take part, in the order of the table. */
export const PEERS: readonly Peer[] = [
  BARE,
  dtunnel('dtunnel', 'this checkout, default settings'),
  wireguardGo('wireguard-go', 'wireguard-go', "the distribution's wireguard-go, MTU 1420"),
  wireguardGo('wireguard-go-new', process.env['WIREGUARD_GO'], 'the wireguard-go that WIREGUARD_GO names, MTU 1420'),
  OPENVPN,
  OCSERV,
  fastd('fastd', 'salsa2012+umac', 'TUN mode, salsa2012+umac, MTU 1440'),
  fastd('fastd-null', 'null', 'TUN mode without any encryption, MTU 1440: what per-packet cost alone allows'),
];

/** What a run does. */
export interface Plan {
  readonly rounds: number;
  readonly paths: readonly OuterPath[];
  /** The tests over an outer path, in order. */
  readonly tests: (path: OuterPath) => readonly Test[];
}

/** About ten minutes a round with every peer. */
export const FULL: Plan = {
  rounds: 3,
  paths: OUTER_PATHS,
  tests: (path) => (path === 'pass' ? EVERYTHING : THROUGHPUT),
};

/** About a minute: one round, one path, the four figures that tell most. */
export const QUICK: Plan = {
  rounds: 1,
  paths: ['pass'],
  tests: () => [
    tcp('tcp1', 1, false, 2),
    tcp('tcp4', 4, false, 2),
    { kind: 'udp', name: 'udp64', sizes: '64', tries: 4, seconds: 0.5 },
    { kind: 'rtt', name: 'rtt', loaded: false, seconds: 1 },
  ],
};

function tcp(name: string, streams: number, reverse: boolean, seconds: number, traffic: 'lan' | 'local' = 'lan'): Test {
  return { kind: 'tcp', name, streams, reverse, traffic, seconds };
}

const THROUGHPUT: readonly Test[] = [
  tcp('tcp1', 1, false, 4),
  tcp('tcp1-reverse', 1, true, 4),
  tcp('tcp4', 4, false, 4),
  tcp('tcp4-reverse', 4, true, 4),
];

const EVERYTHING: readonly Test[] = [
  ...THROUGHPUT,
  tcp('tcp1-local', 1, false, 3, 'local'),
  { kind: 'udp', name: 'udp64', sizes: '64', tries: 7, seconds: 0.8 },
  { kind: 'udp', name: 'udp1300', sizes: '1300', tries: 7, seconds: 0.8 },
  // The usual 7:4:1 mixture of 64-, 576- and full-size packets; 1328 octets is the largest every peer carries whole.
  { kind: 'udp', name: 'imix', sizes: '36x7,548x4,1300x1', tries: 5, seconds: 0.8 },
  { kind: 'rtt', name: 'rtt', loaded: false, seconds: 3 },
  { kind: 'rtt', name: 'rtt-loaded', loaded: true, seconds: 3 },
];
