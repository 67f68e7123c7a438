import type { Duration, Instant, PathMtu, PeerId, SequenceNumber, SessionSlot, TunMtu } from '../base/brand.ts';
import type { RecordKeys } from '../crypto/aead.ts';
import type { Address } from '../net/address.ts';
import type { Endpoint, Path } from '../net/endpoint.ts';
import type { Prefix } from '../net/prefix.ts';

/**
 * The data plane as the daemon sees it: TUN ⇄ seal/open ⇄ UDP on threads of its own. All calls come from the event
 * loop, are coarse and cheap, and take effect at the next batch boundary of the data threads. Implemented by
 * `native-plane.ts`, and by `test/support/memory-plane.ts` for tests.
 */
export interface Plane {
  /** The TUN device's name as the kernel gave it. */
  readonly deviceName: string;
  /** Bound local endpoints, lane 0 first; a port asked for as 0 is here the real one. */
  readonly listening: readonly Endpoint[];
  /** What was probed and chosen at start: offloads, AEAD back end, for logs and `dtunnel_build_info`. */
  readonly features: PlaneFeatures;

  /** Puts keys into `slot`: readable at once, used for sending only after `activate`. The slot must be free. */
  install(session: SessionKeys): void;
  /** From now on inner packets to `peer` are sealed under `slot`; undefined: they are dropped as peer_down. */
  activate(peer: PeerId, slot: SessionSlot | undefined): void;
  /** Datagrams of `slot` go along `path` from now on. */
  move(slot: SessionSlot, path: Path): void;
  /** Largest UDP payload for `slot`; inner packets that do not fit are answered with packet-too-big. */
  setPathMtu(slot: SessionSlot, mtu: PathMtu): void;
  /** Forgets the keys of `slot` (zeroed once no thread can be using them). Its final counters stay in the peer's. */
  retire(slot: SessionSlot): void;

  /** Replaces the whole routing table at once. */
  setRoutes(routes: readonly Route[]): void;
  /** Per-peer switches; also declares a peer, whose counters exist from then on. */
  setPeer(peer: PeerId, options: PeerOptions): void;
  /** Forgets a peer and its counters. Its sessions must have been retired. */
  removePeer(peer: PeerId): void;

  /** Sends a datagram as it is (handshake). Best effort: a full socket drops it, as the network might. */
  sendDatagram(path: Path, datagram: Uint8Array): void;
  /**
   * Seals `fragment` as the next record of `slot` and sends it, along `path` if given (path probes), else the
   * session's, whatever the known path MTU. Best effort. False: the datagram is larger than what the device takes that
   * it would leave by; no more than this machine's own set-up has a say in that.
   */
  sealAndSend(slot: SessionSlot, contentType: number, fragment: Uint8Array, path?: Path): boolean;
  /** Hands an inner IP packet to the TUN device as if it had arrived from `peer` (source check included). */
  inject(peer: PeerId, packet: Uint8Array): void;

  /** Binds further or other UDP sockets; the old ones are read for `overlap` more. Throws like `open`. */
  rebind(listen: readonly ListenSpec[], overlap: Duration): void;

  /**
   * Descriptors that a successor needs, in the order that the state of `freeze` counts on: those of the TUN device, then UDP sockets
   * (old ones of a rebind included). They stay this plane's; valid until `rebind`, the end of its overlap, or `close`.
   */
  descriptors(): readonly number[];
  /**
   * Stops the data threads between two batches: what arrives from now on waits in the kernel. Then every event already
   * taken from the wire is delivered through `onEvent`, whose handlers may still call every method, and the whole state
   * is yielded as one versioned document, keys included: whoever takes it zeroes it. Throws DT_HANDOVER when a thread
   * does not stop within a second: the plane then goes on. Afterwards only `descriptors`, `session`, `stats`, `thaw` and
   * `close` may be called: another process may be going on from the state.
   */
  freeze(): Uint8Array;
  /**
   * Goes on where `freeze` stopped, as if nothing had been, or starts an adopted plane. Of all the planes with one state only
   * one is ever thawed: the old one while no new one was or can be, or else a new one. A number used twice under one key
   * gives the key away (RFC 5288 §3).
   */
  thaw(): void;
  /** Marks the datagrams of all sockets from now on (SO_MARK); undefined: unmarked. Throws DT_UDP_MARK with none changed. */
  setMark(mark: number | undefined): void;

  /** Counters of one session, cheap enough to ask at every timer; undefined when the slot is free. */
  session(slot: SessionSlot): SessionStats | undefined;
  /**
   * Of the sessions whose slot divided by `parts` leaves `part`, those that have sealed or opened records since this was last
   * asked of them.
   */
  changedSessions(part: number, parts: number): Iterable<SessionSlot>;
  /** A consistent copy of all counters. */
  stats(): PlaneStats;
  /** Stops the threads, zeroes all keys, closes device and sockets. Idempotent; events stop before it returns. */
  close(): void;
}

/** How to open a plane. Failures throw DtunnelError: DT_TUN_PERMISSION, DT_TUN_UNAVAILABLE, DT_UDP_IN_USE, … */
export interface PlaneOptions {
  readonly device: { readonly name: string; readonly mtu: TunMtu };
  readonly listen: readonly ListenSpec[];
  /** Pairs of threads; 1 … 16. */
  readonly lanes: number;
  /** `auto` takes the fastest that passes its self-test. */
  readonly crypto: 'auto' | 'openssl';
  readonly fwMark: number | undefined;
  /** Offloads to leave off even if the kernel has them (tests, known-bad kernels). */
  readonly disable: readonly Offload[];
  /** SCHED_FIFO for the data threads (needs CAP_SYS_NICE); falls back silently with `features.realtime` false. */
  readonly realtime: boolean;
  /**
   * Goes on where a frozen plane of another process stopped: its `descriptors` as inherited (same order, any numbers from
   * 3 on) and its state. Device and sockets are taken as they are; of the other options only `crypto`, `realtime` and
   * `onEvent` count. The plane is frozen until `thaw`: its threads wait, nothing was read or sealed, and closing it
   * leaves the other one free to thaw. Throws
   * DT_HANDOVER when the state is of another version, damaged, or does not fit the descriptors: these are then closed in
   * this process, and nothing was read from them.
   */
  readonly adopt?: { readonly descriptors: readonly number[]; readonly state: Uint8Array };
  /** Called on the event loop, never while a Plane method other than `freeze` runs. */
  readonly onEvent: (event: PlaneEvent) => void;
}

/** A local UDP endpoint to bind; without address: any address of both families. Port 0: the kernel chooses. */
export interface ListenSpec {
  readonly address: Address | undefined;
  readonly port: number;
}

/** Keys and addresses of a new session. Byte arrays are copied during the call. */
export interface SessionKeys {
  readonly slot: SessionSlot;
  readonly peer: PeerId;
  readonly epoch: number;
  readonly read: RecordKeys;
  readonly write: RecordKeys;
  readonly nextWrite: SequenceNumber;
  readonly accepted: readonly SequenceNumber[];
  /** Id on records to us: empty, or 8 octets whose first 3 are the slot (big endian). */
  readonly ourConnectionId: Uint8Array;
  readonly peerConnectionId: Uint8Array;
  readonly path: Path;
  readonly pathMtu: PathMtu;
  /**
   * Whether small packets that are there together share a datagram, which RFC 6347 §4.1.1 allows and not every program on a
   * DTLS library expects.
   */
  readonly packs: boolean;
}

/** One prefix of the routing table. Outbound: longest match wins. Inbound: the source must match with the sender allowed. */
export interface Route {
  readonly prefix: Prefix;
  /** Who gets packets to this prefix; undefined: nobody (dropped as peer_down). */
  readonly outbound: PeerId | undefined;
  /** Who may send from this prefix. */
  readonly inbound: readonly PeerId[];
}

/** Per-peer data-plane behaviour. */
export interface PeerOptions {
  /** Outer DSCP: a copy of the inner one, 0, or a fixed value (RFC 2983). */
  readonly dscp: 'copy' | 'clear' | number;
  /** Propagate ECN marks by RFC 6040; false clears them outside. */
  readonly ecn: boolean;
  /** Bits per second in each direction; undefined: no limit. */
  readonly rateLimit: number | undefined;
  /** Clamp the MSS of TCP SYNs both ways to what fits the path MTU. */
  readonly clampMss: boolean;
}

/** What comes up from the data plane. Byte arrays are owned by the receiver. */
export type PlaneEvent =
  /** A datagram no session claims: epoch-0 handshake, or protected records of an unknown session. Token-bucketed. */
  | { readonly kind: 'datagram'; readonly path: Path; readonly datagram: Uint8Array; readonly at: Instant }
  /**
   * An authenticated record that is not an IP packet: content types 20 … 22, and application data whose first octet is
   * below 0x10 (our control messages). `path` is where it came from; `newest`: its number is the highest of the session.
   */
  | {
      readonly kind: 'record';
      readonly slot: SessionSlot;
      readonly contentType: number;
      readonly fragment: Uint8Array;
      readonly path: Path;
      readonly newest: boolean;
      readonly at: Instant;
    }
  /** The first authenticated record of a session arrived. */
  | { readonly kind: 'confirmed'; readonly slot: SessionSlot; readonly at: Instant }
  /** An authenticated newest record came from another path than the session's. Repeated five times a second at most. */
  | { readonly kind: 'moved'; readonly slot: SessionSlot; readonly path: Path; readonly at: Instant }
  /** An offload failed at run time and was switched off. */
  | { readonly kind: 'offload-disabled'; readonly offload: Offload; readonly error: string }
  /** The device or a socket failed for good: the daemon must stop. */
  | { readonly kind: 'failed'; readonly error: string };

/** Kernel offloads with a switch each. */
export type Offload = 'tun-tso' | 'tun-uso' | 'tun-coalesce-tcp' | 'tun-coalesce-udp' | 'udp-segment' | 'udp-gro';

/** Probe results. */
export interface PlaneFeatures {
  readonly offloads: readonly Offload[];
  readonly aead: string;
  readonly realtime: boolean;
}

/** Counters since start. Bytes and packets are bigint (64 bit in C++). Inner bytes are IP bytes. */
export interface PlaneStats {
  readonly at: Instant;
  readonly udp: {
    readonly receiveDatagrams: bigint;
    readonly receiveBytes: bigint;
    readonly transmitDatagrams: bigint;
    readonly transmitBytes: bigint;
    /** SO_RXQ_OVFL. */
    readonly receiveOverflows: bigint;
    /**
     * Outcomes beyond one per datagram: further records of a datagram, and injected packets. Conservation law:
     * receiveDatagrams + extraRecords = handedUp + control + Σ unattributed + Σ drops.in + Σ peers' receivePackets.
     */
    readonly extraRecords: bigint;
  };
  /** Datagrams handed up as `datagram` events. */
  readonly handedUp: bigint;
  /** Authenticated records handed up as `record` events. */
  readonly control: bigint;
  readonly unattributed: Readonly<Record<UnattributedReason, bigint>>;
  /** Packets dropped with no peer known (no_route, malformed, …). */
  readonly drops: DropCounters;
  /** Inner packets read from and written to the TUN device, and system calls, for batch sizes. */
  readonly tun: {
    readonly readPackets: bigint;
    readonly readCalls: bigint;
    readonly writePackets: bigint;
    readonly writeCalls: bigint;
  };
  readonly udpCalls: { readonly receive: bigint; readonly transmit: bigint };
  /** ICMP packet-too-big sent to inner hosts, and SYNs whose MSS was lowered. */
  readonly packetTooBig: { readonly v4: bigint; readonly v6: bigint };
  readonly mssClamped: { readonly v4: bigint; readonly v6: bigint };
  readonly threads: readonly { readonly name: string; readonly userSeconds: number; readonly systemSeconds: number }[];
  /** Octets held for sessions, and for the threads' buffers. */
  readonly memory: { readonly sessions: number; readonly buffers: number };
  readonly peers: ReadonlyMap<PeerId, PeerStats>;
  /** Drops of all peers together. */
  readonly peerDrops: DropCounters;
  readonly sessions: ReadonlyMap<SessionSlot, SessionStats>;
}

/** Why an outer datagram belonged to nobody. */
export type UnattributedReason = 'unknown_session' | 'short' | 'bad_version' | 'not_dtls' | 'flood';

/** Why an inner packet or a record was dropped. */
export type DropReason =
  | 'replay'
  | 'bad_mac'
  | 'not_allowed'
  | 'no_route'
  | 'too_big'
  | 'malformed'
  | 'queue_full'
  | 'rate_limited'
  | 'peer_down'
  | 'no_key'
  | 'send_error'
  | 'loop';

/** Drops by direction (`in`: UDP to TUN) and reason. */
export interface DropCounters {
  readonly in: Readonly<Record<DropReason, bigint>>;
  readonly out: Readonly<Record<DropReason, bigint>>;
}

/** Counters of a peer over all its sessions, retired ones included. */
export interface PeerStats {
  readonly receivePackets: bigint;
  readonly receiveBytes: bigint;
  readonly transmitPackets: bigint;
  readonly transmitBytes: bigint;
  readonly drops: DropCounters;
  /**
   * Records that never came, came late, came twice, judged by sequence numbers. What the peer sends to find out whether
   * the path carries it, and the path does not, never comes either.
   */
  readonly sequenceGaps: bigint;
  readonly reordered: bigint;
  readonly duplicates: bigint;
}

/** Counters of one session. */
export interface SessionStats {
  /** Records and plaintext octets sealed and opened under its keys. */
  readonly sealedRecords: bigint;
  readonly sealedBytes: bigint;
  /**
   * Inner packets that made their datagram one that not every path carries (more than 548 octets of UDP payload, RFC 1122
   * §3.3.3), since this process began.
   */
  readonly sealedLarge: bigint;
  readonly openedRecords: bigint;
  readonly openedBytes: bigint;
  /** Openings whose tag was wrong (RFC 9147 §4.5.3 limits these). */
  readonly failedOpens: bigint;
  /** When the last authenticated record came; undefined before the first. */
  readonly lastReceive: Instant | undefined;
}
