import type { Instant } from '../base/brand.ts';
import { family as addressFamily } from '../net/address.ts';
import { endpointKey } from '../net/endpoint.ts';
import type { DropCounters, DropReason, PeerStats, PlaneStats } from '../plane/plane.ts';
import type { AssociationSnapshot, PeerSnapshot, PeerState } from '../tunnel/effects.ts';
import type { MetricsDetail } from './event-metrics.ts';
import type { Family, MetricKind, Sample } from './exposition.ts';

/** What one scrape is made from. Everything is read at the same moment. */
export interface MetricsInput {
  readonly tunnel: string;
  readonly detail: MetricsDetail;
  readonly build: {
    readonly version: string;
    readonly commit: string;
    readonly node: string;
    readonly dataplane: string;
  };
  readonly config: {
    /** SHA-256, hex. */
    readonly hash: string;
    readonly lastReloadSuccessful: boolean;
    /** Epoch seconds; the start counts as a reload. */
    readonly lastSuccess: number;
  };
  readonly draining: boolean;
  /** notAfter of our certificate, epoch seconds. */
  readonly localCertificateNotAfter: number;
  readonly peers: readonly PeerSnapshot[];
  readonly plane: PlaneStats;
  /** Half-open handshakes now. */
  readonly handshakesInProgress: number;
  /** Packets the kernel could not queue on the device; undefined when it does not say. */
  readonly tunOverflows: number | undefined;
  /** Octets the JavaScript heap holds. */
  readonly controlMemory: number;
  /** Epoch seconds of a monotonic instant. */
  readonly wall: (at: Instant) => number;
}

const STATES: readonly PeerState[] = ['disabled', 'resolving', 'connecting', 'up', 'degraded', 'down'];

/** IP and UDP headers around a datagram, octets: path MTUs are told as the size of the IP packet. */
const OUTER_HEADERS = { 4: 28, 6: 48 } as const;

/** Reasons that can occur per direction: their series exist from the start, others once they are not zero. */
const USUAL_DROPS: Readonly<Record<'in' | 'out', readonly DropReason[]>> = {
  in: ['replay', 'bad_mac', 'not_allowed', 'malformed', 'queue_full', 'rate_limited', 'no_key', 'send_error'],
  out: ['no_route', 'too_big', 'malformed', 'queue_full', 'rate_limited', 'peer_down', 'no_key', 'send_error', 'loop'],
};

/** Largest IP packet outside for an association. */
export function outerMtu(association: Pick<AssociationSnapshot, 'path' | 'pathMtu'>): number {
  return association.pathMtu + OUTER_HEADERS[addressFamily(association.path.remote.address)];
}

/** All families that are read off state, in a fixed order. */
export function* snapshotFamilies(input: MetricsInput): Generator<Family> {
  yield* daemonFamilies(input);
  yield* peerFamilies(input);
  yield* planeFamilies(input);
}

function daemonFamilies(input: MetricsInput): readonly Family[] {
  const { tunnel, build, config } = input;
  const one = (value: number): readonly Sample[] => [{ labels: { tunnel }, value }];
  const anyUp = input.peers.some((peer) => peer.up);
  return [
    gauge('dtunnel_build_info', 'What is running; the value is 1.', [{ labels: { tunnel, ...build }, value: 1 }]),
    // 13 hex digits are 52 bits: exact in a double.
    gauge(
      'dtunnel_config_hash',
      'First 52 bits of the hash of the settings in force.',
      one(Number.parseInt(config.hash.slice(0, 13), 16)),
    ),
    gauge(
      'dtunnel_config_last_reload_successful',
      'Whether the last attempt to load the settings succeeded.',
      one(Number(config.lastReloadSuccessful)),
    ),
    gauge(
      'dtunnel_config_last_reload_success_timestamp_seconds',
      'When the settings in force were loaded.',
      one(config.lastSuccess),
    ),
    gauge('dtunnel_tunnel_up', 'Whether the device is up and at least one peer is.', one(Number(anyUp))),
    gauge(
      'dtunnel_draining',
      'Whether the tunnel is about to stop and takes no new handshakes.',
      one(Number(input.draining)),
    ),
    gauge('dtunnel_handshakes_in_progress', 'Handshakes under way.', one(input.handshakesInProgress)),
    gauge('dtunnel_keylog_enabled', 'Whether session secrets are written out.', one(0)),
    gauge('dtunnel_capture_active', 'Whether packets are captured.', one(0)),
  ];
}

function* peerFamilies(input: MetricsInput): Generator<Family> {
  const { tunnel, peers, plane, wall } = input;
  const full = input.detail === 'full';
  /** One sample per peer for which `value` knows one. */
  const each = (value: (peer: PeerSnapshot) => number | undefined): readonly Sample[] =>
    peers.flatMap((peer) => {
      const known = value(peer);
      return known === undefined ? [] : [{ labels: { tunnel, peer: peer.name }, value: known }];
    });
  const counted = (value: (stats: PeerStats) => bigint): readonly Sample[] =>
    each((peer) => {
      const stats = plane.peers.get(peer.id);
      return stats === undefined ? undefined : Number(value(stats));
    });
  const current = (value: (association: AssociationSnapshot) => number): readonly Sample[] =>
    each((peer) => (peer.association === undefined ? undefined : value(peer.association)));
  const instant = (at: Instant | undefined): number | undefined => (at === undefined ? undefined : wall(at));

  // Six series a peer: what alerts on links, traffic and loss need.
  yield gauge(
    'dtunnel_peer_up',
    'Whether an authenticated record came within DeadAfter.',
    each((peer) => Number(peer.up)),
  );
  yield gauge(
    'dtunnel_peer_last_receive_timestamp_seconds',
    'When the last authenticated record came.',
    each((peer) => instant(peer.lastReceive)),
  );
  yield counter(
    'dtunnel_peer_receive_bytes_total',
    'Inner IP octets from the peer.',
    counted((stats) => stats.receiveBytes),
  );
  yield counter(
    'dtunnel_peer_transmit_bytes_total',
    'Inner IP octets to the peer.',
    counted((stats) => stats.transmitBytes),
  );
  yield counter(
    'dtunnel_peer_receive_packets_total',
    'Inner packets from the peer.',
    counted((stats) => stats.receivePackets),
  );
  yield counter(
    'dtunnel_peer_sequence_gap_packets_total',
    'Records the peer sent that never came; those by which it seeks a larger path MTU, and those sent before a session could be read, are among them.',
    counted((stats) => stats.sequenceGaps),
  );
  if (!full) return;
  yield gauge(
    'dtunnel_peer_info',
    'What a peer is reached by; the value is 1.',
    peers.map((peer) => peerInfo(tunnel, peer)),
  );
  yield gauge(
    'dtunnel_peer_state',
    'The state of a peer: exactly one of the states is 1.',
    peers.flatMap((peer) =>
      STATES.map((state) => ({ labels: { tunnel, peer: peer.name, state }, value: Number(peer.state === state) })),
    ),
  );
  yield counter(
    'dtunnel_peer_transmit_packets_total',
    'Inner packets to the peer.',
    counted((stats) => stats.transmitPackets),
  );
  yield counter(
    'dtunnel_peer_reordered_packets_total',
    'Records that came late.',
    counted((stats) => stats.reordered),
  );
  yield counter(
    'dtunnel_peer_duplicate_packets_total',
    'Records that came twice.',
    counted((stats) => stats.duplicates),
  );
  yield gauge(
    'dtunnel_peer_last_handshake_timestamp_seconds',
    'When the current association was established.',
    current((a) => wall(a.establishedAt)),
  );
  yield gauge(
    'dtunnel_key_installed_timestamp_seconds',
    'When the keys in use were installed.',
    current((a) => wall(a.establishedAt)),
  );
  yield gauge(
    'dtunnel_key_usage_ratio',
    'Share of the AEAD limit that the keys in use have reached.',
    peers.flatMap(keyUsage(tunnel)),
  );
  yield gauge('dtunnel_peer_path_mtu_bytes', 'Largest IP packet outside on the path to the peer.', current(outerMtu));
  yield gauge(
    'dtunnel_peer_inner_mtu_bytes',
    'Largest IP packet inside to the peer.',
    current((a) => a.innerMtu),
  );
  yield gauge('dtunnel_certificate_not_after_timestamp_seconds', 'When a certificate expires.', [
    { labels: { tunnel, owner: 'local' }, value: input.localCertificateNotAfter },
    ...peers.flatMap(({ name, association }) =>
      association === undefined
        ? []
        : [{ labels: { tunnel, peer: name, owner: 'peer' }, value: association.peerCertificateNotAfter }],
    ),
  ]);
}

function peerInfo(tunnel: string, peer: PeerSnapshot): Sample {
  const { association } = peer;
  const detail =
    association === undefined
      ? {}
      : {
          endpoint: endpointKey(association.path.remote),
          endpoint_index: association.endpointIndex ?? '',
          role: association.role,
          cipher: association.suite,
        };
  return { labels: { tunnel, peer: peer.name, fingerprint: peer.fingerprint, ...detail }, value: 1 };
}

function keyUsage(tunnel: string): (peer: PeerSnapshot) => readonly Sample[] {
  return ({ name, association }) =>
    association === undefined
      ? []
      : (['transmit', 'receive'] as const).map((direction) => ({
          labels: { tunnel, peer: name, direction },
          value: association.keyUsage[direction],
        }));
}

function planeFamilies(input: MetricsInput): readonly Family[] {
  const { tunnel, plane } = input;
  const one = (value: bigint | number): readonly Sample[] => [{ labels: { tunnel }, value: Number(value) }];
  const by = (name: string, values: Readonly<Record<string, bigint | number>>): readonly Sample[] =>
    Object.entries(values).map(([key, value]) => ({ labels: { tunnel, [name]: key }, value: Number(value) }));
  return [
    counter(
      'dtunnel_udp_receive_bytes_total',
      'Octets of UDP payload that came in, rubbish included.',
      one(plane.udp.receiveBytes),
    ),
    counter('dtunnel_udp_transmit_bytes_total', 'Octets of UDP payload sent.', one(plane.udp.transmitBytes)),
    counter(
      'dtunnel_udp_receive_datagrams_total',
      'Datagrams that came in, rubbish included.',
      one(plane.udp.receiveDatagrams),
    ),
    counter('dtunnel_udp_transmit_datagrams_total', 'Datagrams sent.', one(plane.udp.transmitDatagrams)),
    counter(
      'dtunnel_udp_extra_records_total',
      'Records beyond the first of a datagram, and packets that came inside a handshake.',
      one(plane.udp.extraRecords),
    ),
    counter('dtunnel_control_records_total', 'Authenticated records that carried no IP packet.', one(plane.control)),
    counter('dtunnel_handshake_datagrams_total', 'Datagrams handed to the handshake engine.', one(plane.handedUp)),
    counter(
      'dtunnel_dropped_packets_total',
      'Packets and records dropped, by direction and reason.',
      dropSamples(input),
    ),
    counter(
      'dtunnel_unattributed_datagrams_total',
      'Datagrams that belonged to nobody, by reason.',
      by('reason', plane.unattributed),
    ),
    counter(
      'dtunnel_packet_too_big_sent_total',
      'ICMP packet-too-big messages sent to inner hosts.',
      by('family', ipNames(plane.packetTooBig)),
    ),
    counter(
      'dtunnel_tcp_mss_clamped_total',
      'TCP SYNs whose MSS was lowered.',
      by('family', ipNames(plane.mssClamped)),
    ),
    histogramOfSums('dtunnel_io_batch_packets', 'Packets per system call.', tunnel, {
      tun_read: [plane.tun.readPackets, plane.tun.readCalls],
      tun_write: [plane.tun.writePackets, plane.tun.writeCalls],
      udp_receive: [plane.udp.receiveDatagrams, plane.udpCalls.receive],
      udp_transmit: [plane.udp.transmitDatagrams, plane.udpCalls.transmit],
    }),
    counter(
      'dtunnel_worker_cpu_seconds_total',
      'CPU time of the data plane threads.',
      plane.threads.flatMap(({ name, userSeconds, systemSeconds }) => [
        { labels: { tunnel, worker: name, mode: 'user' }, value: userSeconds },
        { labels: { tunnel, worker: name, mode: 'system' }, value: systemSeconds },
      ]),
    ),
    counter(
      'dtunnel_socket_receive_overflows_total',
      'Datagrams the kernel dropped because a socket was full.',
      by('socket', { udp: plane.udp.receiveOverflows }),
    ),
    counter(
      'dtunnel_tun_queue_overflows_total',
      'Packets the kernel dropped because the device queue was full.',
      input.tunOverflows === undefined ? [] : by('queue', { all: input.tunOverflows }),
    ),
    gauge('dtunnel_memory_bytes', 'Memory by use.', by('area', { ...plane.memory, control: input.controlMemory })),
  ];
}

function ipNames<T>(counts: { readonly v4: T; readonly v6: T }): { readonly ipv4: T; readonly ipv6: T } {
  return { ipv4: counts.v4, ipv6: counts.v6 };
}

function dropSamples({ tunnel, detail, peers, plane }: MetricsInput): readonly Sample[] {
  const samplesOf = (drops: DropCounters, peer: string, always: boolean): readonly Sample[] =>
    (['in', 'out'] as const).flatMap((direction) =>
      Object.entries(drops[direction])
        .filter(([reason, count]) => count > 0n || (always && USUAL_DROPS[direction].some((usual) => usual === reason)))
        .map(([reason, count]) => ({ labels: { tunnel, peer, direction, reason }, value: Number(count) })),
    );
  if (detail === 'full') {
    return [
      ...samplesOf(plane.drops, '', true),
      ...peers.flatMap(({ id, name }) => {
        const stats = plane.peers.get(id);
        return stats === undefined ? [] : samplesOf(stats.drops, name, true);
      }),
    ];
  }
  return samplesOf(sumDrops([plane.drops, plane.peerDrops]), '', true);
}

/** Drops of all of `counters` together. */
export function sumDrops(counters: readonly DropCounters[]): DropCounters {
  const sum = (direction: 'in' | 'out'): DropCounters['in'] => {
    const total: Record<DropReason, bigint> = {
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
    for (const drops of counters) {
      for (const reason of DROP_REASONS) total[reason] += drops[direction][reason];
    }
    return total;
  };
  return { in: sum('in'), out: sum('out') };
}

const DROP_REASONS: readonly DropReason[] = [
  'replay',
  'bad_mac',
  'not_allowed',
  'no_route',
  'too_big',
  'malformed',
  'queue_full',
  'rate_limited',
  'peer_down',
  'no_key',
  'send_error',
  'loop',
];

/** A histogram of which only sum and count are known: enough for averages over time. */
function histogramOfSums(
  name: string,
  help: string,
  tunnel: string,
  values: Readonly<Record<string, readonly [sum: bigint, count: bigint]>>,
): Family {
  const samples = Object.entries(values).flatMap(([direction, [sum, count]]) => [
    { name: `${name}_bucket`, labels: { tunnel, direction, le: '+Inf' }, value: Number(count) },
    { name: `${name}_sum`, labels: { tunnel, direction }, value: Number(sum) },
    { name: `${name}_count`, labels: { tunnel, direction }, value: Number(count) },
  ]);
  return { name, help, kind: 'histogram', samples };
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return metric('gauge', name, help, samples);
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return metric('counter', name, help, samples);
}

function metric(kind: MetricKind, name: string, help: string, samples: readonly Sample[]): Family {
  return { name, help, kind, samples };
}
