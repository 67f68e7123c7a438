import { deserialize, serialize } from 'node:v8';
import type { Duration, Epoch, Instant, PathMtu, PeerId, SequenceNumber, SessionSlot } from '../../src/base/brand.ts';
import { DtunnelError } from '../../src/base/errors.ts';
import { invariant } from '../../src/base/invariant.ts';
import { RecordKeys } from '../../src/crypto/aead.ts';
import { type Opened, openRecord, sealRecord } from '../../src/dtls/protection.ts';
import { CONTENT, type RecordView, recordsIn } from '../../src/dtls/record.ts';
import { sumDrops } from '../../src/metrics/snapshot-metrics.ts';
import { type Address, addressFromBytes } from '../../src/net/address.ts';
import { type Endpoint, type EndpointKey, endpointKey, type Path, sameEndpoint } from '../../src/net/endpoint.ts';
import { contains } from '../../src/net/prefix.ts';
import type {
  DropReason,
  ListenSpec,
  PeerOptions,
  PeerStats,
  Plane,
  PlaneEvent,
  PlaneFeatures,
  PlaneStats,
  Route,
  SessionKeys,
  SessionStats,
  UnattributedReason,
} from '../../src/plane/plane.ts';
import { PATH_MTU_MIN } from '../../src/tunnel/limits.ts';
import { equalBytes, toHex } from '../../src/wire/bytes.ts';

/** Protects records; the real one by default, a cheap one where thousands of worlds are run. */
export interface RecordCipher {
  seal(
    keys: RecordKeys,
    epoch: Epoch,
    sequence: SequenceNumber,
    connectionId: Uint8Array,
    contentType: number,
    fragment: Uint8Array,
  ): Uint8Array;
  open(keys: RecordKeys, record: RecordView): Opened | undefined;
}

/** The engine's own record protection. */
export const REAL_CIPHER: RecordCipher = { seal: sealRecord, open: openRecord };

/** What a memory plane stands on. */
export interface MemoryPlaneOptions {
  readonly clock: () => Instant;
  readonly local: Endpoint;
  /** Puts a datagram on the wire. */
  readonly transmit: (path: Path, datagram: Uint8Array) => void;
  /** The largest that the device behind the socket takes. Default: any. */
  readonly largest?: number | undefined;
  /** An inner packet comes out of the device. */
  readonly deliver: (packet: Uint8Array, peer: PeerId) => void;
  readonly onEvent: (event: PlaneEvent) => void;
  readonly cipher?: RecordCipher;
  /** As in PlaneOptions. The descriptors are those of the frozen plane, whose kernel hands over what waits. */
  readonly adopt?: { readonly descriptors: readonly number[]; readonly state: Uint8Array };
}

/** Version of the state that `freeze` yields. */
const STATE_VERSION = 1;

/** What `freeze` yields, serialized. */
interface MemoryState {
  readonly version: number;
  readonly descriptors: readonly number[];
  readonly sessions: readonly MemorySession[];
  readonly peers: readonly (readonly [PeerId, MemoryPeer])[];
  readonly routes: readonly Route[];
  readonly totals: MemoryTotals;
}

/** Width of the replay window, as in the native plane. */
const WINDOW = 8192;

/** How often `moved` is repeated. */
const MOVED_EVERY = 200;

interface MemorySession {
  readonly keys: SessionKeys;
  path: Path;
  pathMtu: PathMtu;
  next: number;
  newest: number;
  readonly seen: Set<number>;
  confirmed: boolean;
  movedAt: number;
  sealedRecords: bigint;
  sealedBytes: bigint;
  sealedLarge: bigint;
  openedRecords: bigint;
  openedBytes: bigint;
  failedOpens: bigint;
  lastReceive: Instant | undefined;
}

interface MemoryPeer {
  readonly in: Record<DropReason, bigint>;
  readonly out: Record<DropReason, bigint>;
  receivePackets: bigint;
  receiveBytes: bigint;
  transmitPackets: bigint;
  transmitBytes: bigint;
  active: SessionSlot | undefined;
  sessions: MemorySession[];
}

/** Counters of the plane as a whole. */
interface MemoryTotals {
  readonly drops: Record<DropReason, bigint>;
  readonly unattributed: Record<UnattributedReason, bigint>;
  handedUp: bigint;
  control: bigint;
  received: bigint;
  receivedBytes: bigint;
  extra: bigint;
  tooBigReports: number;
}

/** Descriptors of one device and one socket, and what waits behind them while nobody reads: the kernel, as it were. */
const waiting = new Map<number, ((plane: MemoryPlane) => void)[]>();
let nextDescriptor = 100;

/** The data plane without kernel and threads: same rules, one packet at a time, on the caller's clock. */
export class MemoryPlane implements Plane {
  readonly deviceName = 'dt-memory';
  readonly listening: readonly Endpoint[];
  readonly features: PlaneFeatures = { offloads: [], aead: 'memory', realtime: false };
  readonly #options: MemoryPlaneOptions;
  readonly #cipher: RecordCipher;
  readonly #sessions = new Map<SessionSlot, MemorySession>();
  readonly #byRemote = new Map<EndpointKey, MemorySession[]>();
  /** Records sealed and opened when changes were last asked for. */
  readonly #recordsSeen = new Map<SessionSlot, bigint>();
  readonly #peers = new Map<PeerId, MemoryPeer>();
  #routes: readonly Route[] = [];
  #lookups = new Map<Address, Route | undefined>();
  #totals: MemoryTotals = noTotals();
  readonly #descriptors: readonly number[];
  #frozen = false;

  constructor(options: MemoryPlaneOptions) {
    this.#options = options;
    this.#cipher = options.cipher ?? REAL_CIPHER;
    this.listening = [options.local];
    if (options.adopt === undefined) {
      this.#descriptors = [nextDescriptor++, nextDescriptor++];
    } else {
      this.#descriptors = options.adopt.descriptors;
      this.#adopt(options.adopt.state);
    }
  }

  install(session: SessionKeys): void {
    this.#mustRun();
    invariant(!this.#sessions.has(session.slot), `slot ${session.slot} is free`);
    const peer = this.#peers.get(session.peer);
    invariant(peer !== undefined, 'sessions belong to declared peers');
    const entry: MemorySession = {
      keys: plainKeys(session),
      path: session.path,
      pathMtu: session.pathMtu,
      next: session.nextWrite,
      newest: Math.max(-1, ...session.accepted),
      seen: new Set(session.accepted),
      confirmed: false,
      movedAt: Number.NEGATIVE_INFINITY,
      sealedRecords: 0n,
      sealedBytes: 0n,
      sealedLarge: 0n,
      openedRecords: 0n,
      openedBytes: 0n,
      failedOpens: 0n,
      lastReceive: undefined,
    };
    this.#sessions.set(session.slot, entry);
    peer.sessions.push(entry);
    this.#enter(entry);
  }

  activate(peer: PeerId, slot: SessionSlot | undefined): void {
    this.#mustRun();
    const entry = this.#peers.get(peer);
    invariant(entry !== undefined, 'only declared peers are activated');
    invariant(slot === undefined || this.#sessions.get(slot)?.keys.peer === peer, "the session is the peer's");
    entry.active = slot;
  }

  move(slot: SessionSlot, path: Path): void {
    this.#mustRun();
    const session = this.#at(slot);
    this.#leave(session);
    session.path = path;
    this.#enter(session);
  }

  setPathMtu(slot: SessionSlot, mtu: PathMtu): void {
    this.#mustRun();
    this.#at(slot).pathMtu = mtu;
  }

  retire(slot: SessionSlot): void {
    this.#recordsSeen.delete(slot);
    this.#mustRun();
    const session = this.#at(slot);
    this.#sessions.delete(slot);
    this.#leave(session);
    const peer = this.#peers.get(session.keys.peer);
    if (peer === undefined) return;
    peer.sessions = peer.sessions.filter((s) => s !== session);
    if (peer.active === slot) peer.active = undefined;
  }

  setRoutes(routes: readonly Route[]): void {
    this.#mustRun();
    this.#routes = [...routes].sort((a, b) => b.prefix.length - a.prefix.length);
    this.#lookups = new Map();
  }

  setPeer(peer: PeerId, _options: PeerOptions): void {
    this.#mustRun();
    if (this.#peers.has(peer)) return;
    this.#peers.set(peer, {
      in: noDrops(),
      out: noDrops(),
      receivePackets: 0n,
      receiveBytes: 0n,
      transmitPackets: 0n,
      transmitBytes: 0n,
      active: undefined,
      sessions: [],
    });
  }

  removePeer(peer: PeerId): void {
    this.#mustRun();
    invariant((this.#peers.get(peer)?.sessions.length ?? 0) === 0, 'a removed peer has no sessions');
    this.#peers.delete(peer);
  }

  sendDatagram(path: Path, datagram: Uint8Array): void {
    this.#mustRun();
    this.#options.transmit(path, datagram);
  }

  sealAndSend(slot: SessionSlot, contentType: number, fragment: Uint8Array, path?: Path): boolean {
    this.#mustRun();
    const session = this.#at(slot);
    const record = this.#seal(session, contentType, fragment);
    if (record.length > (this.#options.largest ?? record.length)) return false;
    this.#options.transmit(path ?? session.path, record);
    return true;
  }

  inject(peer: PeerId, packet: Uint8Array): void {
    this.#mustRun();
    this.#fromPeer(peer, packet);
  }

  /** What sockets are marked with. */
  mark: number | undefined;

  setMark(mark: number | undefined): void {
    this.#mustRun();
    this.mark = mark;
  }

  rebind(_listen: readonly ListenSpec[], _overlap: Duration): void {
    this.#mustRun();
  }

  descriptors(): readonly number[] {
    return this.#descriptors;
  }

  freeze(): Uint8Array {
    this.#frozen = true;
    const state: MemoryState = {
      version: STATE_VERSION,
      descriptors: this.#descriptors,
      sessions: [...this.#sessions.values()].map((session) => ({ ...session, keys: plainKeys(session.keys) })),
      peers: [...this.#peers].map(([id, peer]) => [id, { ...peer, sessions: [] }]),
      routes: this.#routes,
      totals: this.#totals,
    };
    return Uint8Array.from(serialize(state));
  }

  thaw(): void {
    this.#frozen = false;
    this.#takeWaiting();
  }

  /** What `freeze` of another plane yielded, and what has been waiting behind the descriptors since. */
  #adopt(octets: Uint8Array): void {
    const state = readState(octets);
    if (state === undefined || String(state.descriptors) !== String(this.#descriptors)) {
      throw new DtunnelError('S040', 'the state of the running data plane is damaged');
    }
    this.#totals = state.totals;
    this.#routes = state.routes;
    this.#frozen = true;
    for (const [id, peer] of state.peers) this.#peers.set(id, peer);
    for (const plain of state.sessions) {
      const session = { ...plain, keys: plainKeys(plain.keys) };
      this.#sessions.set(session.keys.slot, session);
      this.#peerOf(session).sessions.push(session);
      this.#enter(session);
    }
  }

  #takeWaiting(): void {
    const [first = 0] = this.#descriptors;
    const arrived = waiting.get(first) ?? [];
    waiting.delete(first);
    for (const arrive of arrived) arrive(this);
  }

  /** True when nobody reads now: `arrive` is done later by who goes on. */
  #waits(arrive: (plane: MemoryPlane) => void): boolean {
    const [first = 0] = this.#descriptors;
    if (this.#frozen) waiting.set(first, [...(waiting.get(first) ?? []), arrive]);
    return this.#frozen;
  }

  #mustRun(): void {
    invariant(!this.#frozen, 'a frozen plane is only asked, thawed or closed');
  }

  changedSessions(part: number, parts: number): readonly SessionSlot[] {
    const changed: SessionSlot[] = [];
    for (const [slot, { sealedRecords, openedRecords }] of this.#sessions) {
      if (slot % parts !== part) continue;
      const records = sealedRecords + openedRecords;
      if ((this.#recordsSeen.get(slot) ?? 0n) !== records) changed.push(slot);
      this.#recordsSeen.set(slot, records);
    }
    return changed;
  }

  session(slot: SessionSlot): SessionStats | undefined {
    return this.#sessions.get(slot);
  }

  /** An inner packet enters the device. */
  sendPacket(packet: Uint8Array): void {
    if (this.#waits((plane) => plane.sendPacket(packet))) return;
    const route = this.#route(destinationOf(packet));
    if (route === undefined) {
      this.#totals.drops.no_route++;
      return;
    }
    const peer = route.outbound === undefined ? undefined : this.#peers.get(route.outbound);
    if (peer?.active === undefined) {
      (peer?.out ?? this.#totals.drops).peer_down++;
      return;
    }
    const session = this.#at(peer.active);
    const record = this.#seal(session, CONTENT.applicationData, packet);
    if (record.length > PATH_MTU_MIN) session.sealedLarge++;
    if (record.length > session.pathMtu) {
      peer.out.too_big++;
      this.#totals.tooBigReports++;
      return;
    }
    peer.transmitPackets++;
    peer.transmitBytes += BigInt(packet.length);
    this.#options.transmit(session.path, record);
  }

  /** A datagram arrives from the wire. */
  receive(path: Path, datagram: Uint8Array): void {
    if (this.#waits((plane) => plane.receive(path, datagram))) return;
    this.#totals.received++;
    this.#totals.receivedBytes += BigInt(datagram.length);
    let at = 0;
    let outcomes = 0;
    while (at < datagram.length || outcomes === 0) {
      if (outcomes++ > 0) this.#totals.extra++;
      const used = this.#record(path, datagram.subarray(at));
      if (used === 0) return;
      at += used;
    }
  }

  stats(): PlaneStats {
    const peers = new Map<PeerId, PeerStats>();
    for (const [id, peer] of this.#peers) {
      peers.set(id, { ...peer, drops: peer, sequenceGaps: 0n, reordered: 0n, duplicates: peer.in.replay });
    }
    return {
      at: this.#options.clock(),
      udp: {
        receiveDatagrams: this.#totals.received,
        receiveBytes: this.#totals.receivedBytes,
        transmitDatagrams: 0n,
        transmitBytes: 0n,
        receiveOverflows: 0n,
        extraRecords: this.#totals.extra,
      },
      handedUp: this.#totals.handedUp,
      control: this.#totals.control,
      unattributed: this.#totals.unattributed,
      drops: { in: noDrops(), out: this.#totals.drops },
      tun: { readPackets: 0n, readCalls: 0n, writePackets: 0n, writeCalls: 0n },
      udpCalls: { receive: 0n, transmit: 0n },
      packetTooBig: { v4: BigInt(this.#totals.tooBigReports), v6: 0n },
      mssClamped: { v4: 0n, v6: 0n },
      threads: [],
      memory: { sessions: 0, buffers: 0 },
      peers,
      peerDrops: sumDrops([...peers.values()].map(({ drops }) => drops)),
      sessions: this.#sessions,
    };
  }

  close(): void {
    this.#sessions.clear();
    this.#byRemote.clear();
    this.#peers.clear();
  }

  /** All keys in hex: what must not be found elsewhere. */
  keyMaterial(): readonly string[] {
    return [...this.#sessions.values()].flatMap(({ keys }) => [toHex(keys.read.key), toHex(keys.write.key)]);
  }

  /** Slots in use. */
  get installed(): number {
    return this.#sessions.size;
  }

  /** Whether small packets of the session may share a datagram. */
  packs(slot: SessionSlot): boolean {
    return this.#at(slot).keys.packs;
  }

  #at(slot: SessionSlot): MemorySession {
    const session = this.#sessions.get(slot);
    invariant(session !== undefined, `slot ${slot} is installed`);
    return session;
  }

  #seal(session: MemorySession, contentType: number, fragment: Uint8Array): Uint8Array {
    const { keys } = session;
    const sequence = session.next++ as SequenceNumber;
    session.sealedRecords++;
    session.sealedBytes += BigInt(fragment.length);
    return this.#cipher.seal(keys.write, keys.epoch as Epoch, sequence, keys.peerConnectionId, contentType, fragment);
  }

  /** Handles the record at the front of `rest`; yields its length, 0 when nothing behind it can be read. */
  #record(path: Path, rest: Uint8Array): number {
    const [record] = recordsIn(rest, CONNECTION_ID);
    if (record === undefined) {
      this.#totals.unattributed.short++;
      return 0;
    }
    const size = 13 + record.connectionId.length + record.fragment.length;
    if (record.type === CONTENT.withConnectionId) this.#byId(path, record, rest.subarray(0, size));
    else if (record.epoch === 0) return this.#epochZero(path, rest);
    else this.#byEndpoint(path, record, rest.subarray(0, size));
    return size;
  }

  /** A run of plaintext records goes up as one; what follows is a session's if one is known here. */
  #epochZero(path: Path, rest: Uint8Array): number {
    let run = 0;
    for (const record of recordsIn(rest, CONNECTION_ID)) {
      if (record === undefined || record.epoch !== 0 || record.type === CONTENT.withConnectionId) break;
      run += 13 + record.fragment.length;
    }
    if (!this.#byRemote.has(endpointKey(path.remote))) run = rest.length;
    this.#handUp(path, rest.subarray(0, run));
    return run;
  }

  #byId(path: Path, record: RecordView, datagram: Uint8Array): void {
    const [a = 0, b = 0, c = 0] = record.connectionId;
    const session = this.#sessions.get((a * 65536 + b * 256 + c) as SessionSlot);
    if (session === undefined || !equalBytes(session.keys.ourConnectionId, record.connectionId)) {
      this.#handUp(path, datagram);
      return;
    }
    if (!this.#open(session, path, record)) this.#peerOf(session).in.bad_mac++;
  }

  #byEndpoint(path: Path, record: RecordView, datagram: Uint8Array): void {
    const here = this.#byRemote.get(endpointKey(path.remote)) ?? [];
    const candidates = here.filter((s) => s.keys.ourConnectionId.length === 0 && s.keys.epoch === record.epoch);
    // Numbers start again with every handshake: what one session has seen may be new to another.
    const fresh = candidates.filter((s) => !hasSeen(s, record.sequence));
    for (const session of fresh) if (this.#open(session, path, record)) return;
    const [first] = candidates;
    if (record.type !== CONTENT.applicationData || first === undefined) this.#handUp(path, datagram);
    else if (fresh.length < candidates.length) this.#peerOf(first).in.replay++;
    else this.#peerOf(first).in.bad_mac++;
  }

  /** True when the record was the session's, whatever became of it. */
  #open(session: MemorySession, path: Path, record: RecordView): boolean {
    const { sequence } = record;
    const peer = this.#peerOf(session);
    if (hasSeen(session, sequence)) {
      peer.in.replay++;
      return true;
    }
    const opened = this.#cipher.open(session.keys.read, record);
    if (opened === undefined) {
      session.failedOpens++;
      return false;
    }
    const now = this.#options.clock();
    const newest = sequence > session.newest;
    session.seen.add(sequence);
    if (newest) session.newest = sequence;
    if (session.seen.size > 2 * WINDOW) {
      for (const n of session.seen) if (n <= session.newest - WINDOW) session.seen.delete(n);
    }
    session.openedRecords++;
    session.openedBytes += BigInt(opened.fragment.length);
    session.lastReceive = now;
    if (!session.confirmed) {
      session.confirmed = true;
      this.#options.onEvent({ kind: 'confirmed', slot: session.keys.slot, at: now });
    }
    if (newest) this.#noticePath(session, path, now);
    const [first = 0] = opened.fragment;
    if (opened.contentType === CONTENT.applicationData && first >= 0x10) {
      this.#fromPeer(session.keys.peer, opened.fragment);
    } else {
      this.#totals.control++;
      const { slot } = session.keys;
      const { contentType, fragment } = opened;
      this.#options.onEvent({ kind: 'record', slot, contentType, fragment: fragment.slice(), path, newest, at: now });
    }
    return true;
  }

  #noticePath(session: MemorySession, path: Path, now: Instant): void {
    const same =
      sameEndpoint(path.remote, session.path.remote) &&
      (session.path.local === undefined || session.path.local === path.local);
    if (same || now - session.movedAt < MOVED_EVERY) return;
    session.movedAt = now;
    this.#options.onEvent({ kind: 'moved', slot: session.keys.slot, path, at: now });
  }

  #fromPeer(id: PeerId, packet: Uint8Array): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    const route = this.#route(sourceOf(packet));
    if (route?.inbound.includes(id) !== true) {
      peer.in.not_allowed++;
      return;
    }
    peer.receivePackets++;
    peer.receiveBytes += BigInt(packet.length);
    this.#options.deliver(packet, id);
  }

  #handUp(path: Path, datagram: Uint8Array): void {
    this.#totals.handedUp++;
    this.#options.onEvent({ kind: 'datagram', path, datagram: datagram.slice(), at: this.#options.clock() });
  }

  #route(address: Address | undefined): Route | undefined {
    if (address === undefined) return undefined;
    if (this.#lookups.has(address)) return this.#lookups.get(address);
    const route = this.#routes.find((r) => contains(r.prefix, address));
    this.#lookups.set(address, route);
    return route;
  }

  #peerOf(session: MemorySession): MemoryPeer {
    const peer = this.#peers.get(session.keys.peer);
    invariant(peer !== undefined, 'a session has a peer');
    return peer;
  }

  #enter(session: MemorySession): void {
    const key = endpointKey(session.path.remote);
    this.#byRemote.set(key, [...(this.#byRemote.get(key) ?? []), session]);
  }

  #leave(session: MemorySession): void {
    const key = endpointKey(session.path.remote);
    const rest = (this.#byRemote.get(key) ?? []).filter((s) => s !== session);
    if (rest.length > 0) this.#byRemote.set(key, rest);
    else this.#byRemote.delete(key);
  }
}

/** Whether a record with this number was opened before, or is too old to tell. */
function hasSeen(session: MemorySession, sequence: number): boolean {
  return sequence <= session.newest - WINDOW || session.seen.has(sequence);
}

/** Octets of the ids that records to us carry. */
const CONNECTION_ID = 8;

function sourceOf(packet: Uint8Array): Address | undefined {
  return (packet[0] ?? 0) >> 4 === 4
    ? addressFromBytes(packet.subarray(12, 16))
    : addressFromBytes(packet.subarray(8, 24));
}

function destinationOf(packet: Uint8Array): Address | undefined {
  return (packet[0] ?? 0) >> 4 === 4
    ? addressFromBytes(packet.subarray(16, 20))
    : addressFromBytes(packet.subarray(24, 40));
}

/** Copies of the octets: the driver may wipe what it handed over. */
function copyKeys(keys: RecordKeys): RecordKeys {
  return new RecordKeys(keys.aead, keys.key.slice(), keys.iv.slice());
}

function plainKeys(keys: SessionKeys): SessionKeys {
  return { ...keys, read: copyKeys(keys.read), write: copyKeys(keys.write) };
}

function readState(octets: Uint8Array): MemoryState | undefined {
  try {
    const state = deserialize(octets) as MemoryState;
    return state.version === STATE_VERSION ? state : undefined;
  } catch {
    return undefined;
  }
}

function noTotals(): MemoryTotals {
  return {
    drops: noDrops(),
    unattributed: { unknown_session: 0n, short: 0n, bad_version: 0n, not_dtls: 0n, flood: 0n },
    handedUp: 0n,
    control: 0n,
    received: 0n,
    receivedBytes: 0n,
    extra: 0n,
    tooBigReports: 0,
  };
}

function noDrops(): Record<DropReason, bigint> {
  return {
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
}
