import {
  type Duration,
  earliest,
  type Fingerprint,
  type Instant,
  later,
  ms,
  type PeerId,
  seconds,
  type SequenceNumber,
} from '../../src/base/brand.ts';
import { assertNever } from '../../src/base/invariant.ts';
import type { InterfaceSettings, PeerSettings, Settings } from '../../src/config/settings.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { type Address, addressBytes, family, parseAddress } from '../../src/net/address.ts';
import { type Endpoint, endpointKey, type HostPort, type Path, parseHostPort } from '../../src/net/endpoint.ts';
import { type Prefix, parsePrefix } from '../../src/net/prefix.ts';
import type { PlaneEvent, PlaneOptions } from '../../src/plane/plane.ts';
import type { Engines } from '../../src/tunnel/context.ts';
import type { PeerSnapshot, TunnelEffect, TunnelEvent } from '../../src/tunnel/effects.ts';
import { tunnelState } from '../../src/tunnel/handover.ts';
import { Tunnel } from '../../src/tunnel/tunnel.ts';
import { MemoryPlane, type RecordCipher } from './memory-plane.ts';
import { SeededRandom } from './seeded-random.ts';

/** How bad one direction between two addresses is. Probabilities in 0 … 1, times in milliseconds. */
export interface WireQuality {
  readonly delay?: number;
  readonly jitter?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  readonly corrupt?: number;
  /** Link MTU: larger IP packets vanish without a word. */
  readonly mtu?: number;
  readonly down?: boolean;
}

/** How a world differs from the usual. */
export interface WorldOptions {
  readonly seed?: number;
  readonly quality?: WireQuality;
  readonly engines?: Engines;
  readonly cipher?: RecordCipher;
  /** Octets of UDP payload that the sites' own devices take. Default: any. */
  readonly largest?: number;
}

/** How a site is made. */
export interface SiteOptions {
  readonly identity: Identity;
  /** Outer addresses; the first is the usual source. */
  readonly addresses: readonly string[];
  readonly port?: number;
  readonly peers: readonly PeerSettings[];
  readonly interface?: Partial<InterfaceSettings>;
  /** Behind a NAT that shows this address outside. */
  readonly nat?: string;
  /** Knows after a restart where its peers were last met. */
  readonly remembers?: boolean;
  /** Its DTLS engine, when it is not the world's. */
  readonly engines?: Engines;
}

/** A peer's settings with the usual values. */
export function peerSettings(
  over: Partial<Omit<PeerSettings, 'endpoints' | 'allowedIps' | 'fingerprints'>> & {
    readonly name: string;
    readonly fingerprints: readonly Fingerprint[];
    readonly endpoints?: readonly string[];
    readonly allowedIps: readonly string[];
  },
): PeerSettings {
  return {
    priority: 100,
    failback: seconds(60),
    persistentKeepalive: 'auto',
    deadAfter: seconds(10),
    mtu: 'auto',
    dscp: 'clear',
    rekeyAfter: seconds(3600),
    expirePolicy: 'warn',
    rateLimit: undefined,
    allowLegacyPeer: false,
    enabled: true,
    ...over,
    endpoints: (over.endpoints ?? []).map(hostPort),
    allowedIps: over.allowedIps.map(prefix),
  };
}

/** An [Interface] section with the usual values. */
export function interfaceSettings(over: Partial<InterfaceSettings> = {}): InterfaceSettings {
  return {
    name: 'test',
    addresses: [],
    certificate: '/nowhere.crt',
    privateKey: '/nowhere.key',
    listenPort: 4433,
    listenAddresses: [],
    mtu: 'auto',
    table: 'off',
    routeMetric: undefined,
    forwarding: 'off',
    failClosed: true,
    fwMark: undefined,
    dscp: 'clear',
    ecn: true,
    ciphers: 'auto',
    crypto: 'auto',
    rekeyAfter: seconds(3600),
    rekeyAfterData: 'auto',
    unknown: 'challenge',
    maxHandshakes: 'auto',
    metrics: { kind: 'off' },
    metricsToken: undefined,
    metricsDetail: 'full',
    logLevel: 'info',
    logFormat: 'auto',
    lanes: 1,
    disableOffloads: [],
    realtime: false,
    onUp: undefined,
    onDown: undefined,
    onPeerState: undefined,
    ...over,
  };
}

/** One daemon: tunnel, data plane, and a driver that performs effects, on the world's clock. */
export class Site {
  readonly name: string;
  readonly events: { readonly at: Instant; readonly event: TunnelEvent }[] = [];
  /** Numbered inner packets that came out, by number: how often. */
  readonly received = new Map<number, number>();
  /** When each number came out first. */
  readonly receivedAt = new Map<number, Instant>();
  readonly finished: number[] = [];
  settings: Settings;
  tunnel: Tunnel;
  plane: MemoryPlane;
  running = false;
  /** While stopped (SIGSTOP) nothing is processed and input waits. */
  frozen = false;
  options: SiteOptions;
  readonly #world: World;
  #lives = 0;
  /** What it wrote down before it was killed. */
  #lastKnown = new Map<Fingerprint, Path>();
  /** Events of the plane that wait for the event loop. */
  #pending: PlaneEvent[] = [];
  /** Public side of the NAT, changed by `rebind`. */
  #natPort = 20_000;

  constructor(world: World, name: string, options: SiteOptions) {
    this.#world = world;
    this.name = name;
    this.options = options;
    this.settings = { interface: interfaceSettings(options.interface), peers: options.peers };
    this.plane = this.#makePlane();
    this.tunnel = this.#makeTunnel();
  }

  get fingerprint(): Fingerprint {
    return this.options.identity.fingerprint;
  }

  /**
   * Starts the daemon, or starts it again after `kill`: nothing is remembered but, if it `remembers`, where peers were.
   * `after`: so long its socket is open already before its tunnel starts.
   */
  start(after = 0): void {
    if (this.#lives++ > 0) {
      this.plane = this.#makePlane();
      this.tunnel = this.#makeTunnel();
    }
    this.running = true;
    this.#pending = [];
    const { tunnel } = this;
    const begin = (): void => {
      if (this.running && this.tunnel === tunnel) this.do((started, now) => started.start(now));
    };
    if (after === 0) begin();
    else this.#world.after(after, begin);
  }

  /** kill -9. */
  kill(): void {
    this.running = false;
    for (const { fingerprint, lastKnown } of this.tunnel.snapshot(this.#world.now)) {
      if (lastKnown !== undefined) this.#lastKnown.set(fingerprint, lastKnown);
    }
    this.frozen = false;
    this.plane.close();
  }

  /**
   * `dtunnel upgrade`: the tunnel and its plane go on in another process after `gap`. What the tunnel knows makes the trip
   * through JSON and the strict reader, as on the way from process to process.
   */
  upgrade(gap: number = 0): void {
    this.#takeEvents();
    const state = this.plane.freeze();
    const known = JSON.stringify(this.tunnel.export(this.#world.now));
    const old = this.plane;
    this.frozen = true;
    const goOn = (): void => {
      if (!this.running || this.plane !== old) return;
      const tunnel = this.#makeTunnel();
      tunnel.continueFrom(tunnelState.parse(JSON.parse(known)), this.#world.now);
      this.plane = this.#makePlane({ descriptors: old.descriptors(), state });
      this.tunnel = tunnel;
      this.frozen = false;
      this.plane.thaw();
      this.#perform();
      this.#takeEvents();
    };
    if (gap === 0) goOn();
    else this.#world.after(gap, goOn);
  }

  /** Another source address and port outside from now on, as when a NAT forgets. */
  rebind(): void {
    this.#natPort++;
  }

  /** It has these outer addresses from now on, and is told that something changed. */
  moveTo(addresses: readonly string[]): void {
    this.options = { ...this.options, addresses };
    this.networkChanged();
  }

  /** Is told that its network changed in some way. */
  networkChanged(): void {
    const ours = this.options.addresses.map(address);
    this.do((tunnel, now) => tunnel.networkChanged(ours, now));
  }

  /** Runs `input` against the tunnel and performs what follows. */
  do<T>(input: (tunnel: Tunnel, now: Instant) => T): T {
    const result = input(this.tunnel, this.#world.now);
    this.#perform();
    return result;
  }

  /** Applies other settings. */
  reload(peers: readonly PeerSettings[], over: Partial<InterfaceSettings> = {}, identity?: Identity): void {
    this.settings = { interface: { ...this.settings.interface, ...over }, peers };
    if (identity !== undefined) this.options = { ...this.options, identity };
    this.do((tunnel, now) => tunnel.reload(this.settings, this.options.identity, now));
  }

  /** What status shows of a peer. */
  peer(name: string): PeerSnapshot {
    const found = this.tunnel.snapshot(this.#world.now).find((peer) => peer.name === name);
    if (found === undefined) throw new Error(`${this.name} has no peer ${name}`);
    return found;
  }

  /** Events of one kind, in order. */
  eventsOf<K extends TunnelEvent['kind']>(kind: K): Extract<TunnelEvent, { kind: K }>[] {
    return this.events.map(({ event }) => event).filter((e): e is Extract<TunnelEvent, { kind: K }> => e.kind === kind);
  }

  /** Sends a numbered inner packet. */
  send(from: string, to: string, number: number, size = 100): void {
    if (this.running) this.plane.sendPacket(numberedPacket(from, to, number, size));
  }

  get deadline(): Instant | undefined {
    return this.running && !this.frozen ? this.tunnel.deadline : undefined;
  }

  tick(): void {
    this.tunnel.tick(this.#world.now);
    this.#perform();
  }

  /** A datagram arrives; `destination` is where it was sent. */
  receive(from: Endpoint, destination: Endpoint, datagram: Uint8Array): void {
    if (!this.running) return;
    const local = this.options.nat === undefined ? destination.address : this.#source(destination);
    this.plane.receive({ remote: from, local }, datagram);
    if (!this.frozen) this.#takeEvents();
  }

  /** A datagram arrives whose source says `from`, whoever sent it. */
  forge(from: { readonly address: string; readonly port: number }, datagram: Uint8Array): void {
    const [local] = this.options.addresses.map(address);
    if (local === undefined) return;
    this.receive({ address: address(from.address), port: from.port }, { address: local, port: 4433 }, datagram);
  }

  /** Goes on after being frozen. */
  thaw(): void {
    this.frozen = false;
    this.tick();
    this.#takeEvents();
  }

  /** The endpoint that others see a datagram to `to` come from. */
  outside(to: Endpoint, local: Address | undefined): Endpoint | undefined {
    if (this.options.nat !== undefined) {
      const address = parseAddress(this.options.nat);
      return address === undefined ? undefined : { address, port: this.#natPort };
    }
    const address = local ?? this.#source(to);
    const owned = address !== undefined && this.options.addresses.some((a) => parseAddress(a) === address);
    return owned ? { address, port: this.options.port ?? 4433 } : undefined;
  }

  /** Whether datagrams to `endpoint` reach this site. */
  answersTo(endpoint: Endpoint): boolean {
    if (this.options.nat !== undefined) {
      return parseAddress(this.options.nat) === endpoint.address && endpoint.port === this.#natPort;
    }
    const known = this.options.addresses.some((a) => parseAddress(a) === endpoint.address);
    return known && endpoint.port === (this.options.port ?? 4433);
  }

  #source(to: Endpoint): Address | undefined {
    const addresses = this.options.addresses.map(parseAddress).filter((a) => a !== undefined);
    return addresses.find((a) => family(a) === family(to.address));
  }

  #takeEvents(): void {
    for (let event = this.#pending.shift(); event !== undefined; event = this.#pending.shift()) {
      this.#input(event);
      this.#perform();
    }
  }

  #input(event: PlaneEvent): void {
    const { tunnel } = this;
    switch (event.kind) {
      case 'datagram':
        tunnel.datagram(event.path, event.datagram, this.#world.now);
        break;
      case 'record':
        tunnel.record(event.slot, event.contentType, event.fragment, event.path, event.newest, this.#world.now);
        break;
      case 'confirmed':
        tunnel.confirmed(event.slot, this.#world.now);
        break;
      case 'moved':
        tunnel.moved(event.slot, event.path, this.#world.now);
        break;
      default:
        throw new Error(`the memory plane does not say ${event.kind}`);
    }
  }

  #perform(): void {
    for (let effect = this.tunnel.poll(); effect !== undefined; effect = this.tunnel.poll()) this.#one(effect);
  }

  #one(effect: TunnelEffect): void {
    const { plane } = this;
    switch (effect.kind) {
      case 'send':
        plane.sendDatagram(effect.path, effect.datagram);
        break;
      case 'install': {
        const { keys, slot, peer, path, pathMtu, packs } = effect;
        plane.install({ ...keys, slot, peer, path, pathMtu, packs, nextWrite: keys.nextWrite as SequenceNumber });
        break;
      }
      case 'activate':
        plane.activate(effect.peer, effect.slot);
        break;
      case 'move':
        plane.move(effect.slot, effect.path);
        break;
      case 'path-mtu':
        plane.setPathMtu(effect.slot, effect.mtu);
        break;
      case 'retire':
        plane.retire(effect.slot);
        break;
      case 'seal': {
        const { slot, contentType, fragment, path } = effect;
        if (!plane.sealAndSend(slot, contentType, fragment, path))
          this.tunnel.refused(slot, fragment.length, this.#world.now);
        break;
      }
      case 'inject':
        plane.inject(effect.peer, effect.packet);
        break;
      case 'routes':
        plane.setRoutes(effect.routes);
        break;
      case 'peer':
        plane.setPeer(effect.peer, effect.options);
        break;
      case 'remove-peer':
        plane.removePeer(effect.peer);
        break;
      case 'resolve':
        this.#world.lookUp(this, effect.host);
        break;
      case 'event':
        this.events.push({ at: this.#world.now, event: effect.event });
        break;
      case 'finished':
        this.finished.push(effect.sessionsLeft);
        break;
      default:
        assertNever(effect, 'tunnel effect');
    }
  }

  #makePlane(adopt?: PlaneOptions['adopt']): MemoryPlane {
    const [address] = this.options.addresses.map(parseAddress);
    if (address === undefined) throw new Error('a site has an address');
    const plane: MemoryPlane = new MemoryPlane({
      clock: () => this.#world.now,
      local: { address, port: this.options.port ?? 4433 },
      transmit: (path, datagram) => this.#world.transmit(this, path, datagram),
      largest: this.#world.options.largest,
      deliver: (packet) => this.#deliver(packet),
      onEvent: (event) => {
        if (plane === this.plane) this.#pending.push(event);
      },
      ...(this.#world.options.cipher === undefined ? {} : { cipher: this.#world.options.cipher }),
      ...(adopt === undefined ? {} : { adopt }),
    });
    return plane;
  }

  #makeTunnel(): Tunnel {
    const { options, random } = this.#world;
    const engines = this.options.engines ?? options.engines;
    return new Tunnel({
      settings: this.settings,
      identity: this.options.identity,
      crypto: random,
      session: (slot) => this.plane.session(slot),
      changed: (part, parts) => this.plane.changedSessions(part, parts),
      wallClock: () => this.#world.epochSeconds,
      ...(this.options.remembers === true ? { lastKnown: this.#lastKnown } : {}),
      ...(engines === undefined ? {} : { engines }),
    });
  }

  #deliver(packet: Uint8Array): void {
    const number = new DataView(packet.buffer, packet.byteOffset).getUint32(20);
    this.received.set(number, (this.received.get(number) ?? 0) + 1);
    if (!this.receivedAt.has(number)) this.receivedAt.set(number, this.#world.now);
  }
}

/** Sites, the wires between them, and one clock for all. */
export class World {
  readonly options: WorldOptions;
  readonly random: SeededRandom;
  readonly sites = new Map<string, Site>();
  /** What names stand for. */
  readonly names = new Map<string, readonly string[]>();
  nameTtl: Duration | undefined;
  /** Datagrams that went over the wire. */
  readonly wire: { readonly at: Instant; readonly from: string; readonly to: string; readonly size: number }[] = [];
  /** Sees each datagram; false loses it. */
  filter: ((from: Site, to: Endpoint, datagram: Uint8Array) => boolean) | undefined;
  keepWire = false;
  /** What the wall clock shows. */
  epochSeconds = 1.8e9;
  #now = 1000;
  #order = 0;
  readonly #queue: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  readonly #qualities = new Map<string, WireQuality>();

  constructor(options: WorldOptions = {}) {
    this.options = options;
    this.random = new SeededRandom(options.seed ?? 1);
  }

  get now(): Instant {
    return this.#now as Instant;
  }

  site(name: string, options: SiteOptions): Site {
    const site = new Site(this, name, options);
    this.sites.set(name, site);
    return site;
  }

  /** How datagrams from any address in `from` to any in `to` fare; `both` directions unless told otherwise. */
  quality(from: string, to: string, quality: WireQuality, both = true): void {
    this.#qualities.set(`${from} ${to}`, quality);
    if (both) this.#qualities.set(`${to} ${from}`, quality);
  }

  /** Runs `what` after `delay`. */
  after(delay: number, what: () => void): void {
    this.#push(this.#now + delay, what);
  }

  /** Runs `what` every `interval` until `until`. */
  every(interval: number, until: Instant, what: (n: number) => void): void {
    let n = 0;
    const again = (): void => {
      what(n++);
      if (this.#now + interval <= until) this.after(interval, again);
    };
    this.after(0, again);
  }

  /** Lets `duration` pass. */
  run(duration: number): void {
    const end = this.#now + duration;
    while (this.#step(end)) {
      // Each step is one event.
    }
    this.#now = end;
  }

  /** Runs until `condition` holds; yields how long that took. Throws when it does not within `limit`. */
  until(condition: () => boolean, limit = 60_000): number {
    const start = this.#now;
    while (!condition()) {
      if (this.#now - start > limit || !this.#step(start + limit + 1)) throw new Error('it does not come to pass');
    }
    return this.#now - start;
  }

  /** Steady numbered traffic out of a site; the numbers sent, for comparison with what came out elsewhere. */
  traffic(
    from: Site,
    inner: readonly [string, string],
    interval: number,
    until: Instant,
    first = 0,
    size = 100,
  ): number[] {
    const sent: number[] = [];
    this.every(interval, until, (n) => {
      sent.push(first + n);
      from.send(inner[0], inner[1], first + n, size);
    });
    return sent;
  }

  transmit(from: Site, path: Path, datagram: Uint8Array): void {
    const source = from.outside(path.remote, path.local);
    if (source === undefined) return;
    const quality = this.#qualityOf(source.address, path.remote.address);
    if (this.keepWire) {
      this.wire.push({ at: this.now, from: from.name, to: endpointKey(path.remote), size: datagram.length });
    }
    if (this.filter?.(from, path.remote, datagram) === false) return;
    const header = family(path.remote.address) === 4 ? 28 : 48;
    const { delay = 10, jitter = 0, loss = 0, duplicate = 0, corrupt = 0, mtu = 1500, down = false } = quality;
    if (down || datagram.length + header > mtu || this.random.chance(loss)) return;
    const copies = this.random.chance(duplicate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const copy = datagram.slice();
      if (this.random.chance(corrupt)) {
        const at = this.random.below(copy.length);
        copy[at] = (copy[at] ?? 0) ^ (1 + this.random.below(255));
      }
      this.#push(this.#now + delay + (jitter > 0 ? this.random.unit() * jitter : 0), () => {
        for (const site of this.sites.values()) {
          if (site.answersTo(path.remote)) site.receive(source, path.remote, copy);
        }
      });
    }
  }

  lookUp(site: Site, host: string): void {
    const { tunnel } = site;
    this.after(5, () => {
      if (!site.running || site.tunnel !== tunnel) return;
      const texts = this.names.get(host);
      const addresses = (texts ?? []).map(parseAddress).filter((a) => a !== undefined);
      const ttl = this.nameTtl;
      site.do((t, now) =>
        t.resolved(
          host,
          texts === undefined ? { kind: 'failed', reason: 'nxdomain' } : { kind: 'addresses', addresses, ttl },
          now,
        ),
      );
    });
  }

  /** Takes the next event by `end`; false when there is none. */
  #step(end: number): boolean {
    let due = this.#queue[0]?.at;
    let site: Site | undefined;
    for (const candidate of this.sites.values()) {
      const at = candidate.deadline;
      if (at !== undefined && (due === undefined || at < due)) {
        due = at;
        site = candidate;
      }
    }
    if (due === undefined || due > end) return false;
    if (due > this.#now) this.#now = due;
    if (site !== undefined) site.tick();
    else this.#pop()?.run();
    return true;
  }

  #qualityOf(from: Address, to: Address): WireQuality {
    return (
      this.#qualities.get(`${from} ${to}`) ??
      this.#qualities.get(`* ${to}`) ??
      this.#qualities.get(`${from} *`) ??
      this.options.quality ??
      {}
    );
  }

  #push(at: number, run: () => void): void {
    const queue = this.#queue;
    const entry = { at, order: this.#order++, run };
    let i = queue.push(entry) - 1;
    while (i > 0) {
      const parent = queue[(i - 1) >> 1];
      if (parent === undefined || before(parent, entry)) break;
      queue[i] = parent;
      i = (i - 1) >> 1;
    }
    queue[i] = entry;
  }

  #pop(): { readonly run: () => void } | undefined {
    const queue = this.#queue;
    const top = queue[0];
    const last = queue.pop();
    if (top === undefined || last === undefined || queue.length === 0) return top;
    let i = 0;
    for (;;) {
      const [left, right] = [queue[2 * i + 1], queue[2 * i + 2]];
      if (left === undefined) break;
      const useRight = right !== undefined && before(right, left);
      const child = useRight && right !== undefined ? right : left;
      if (!before(child, last)) break;
      queue[i] = child;
      i = 2 * i + (useRight ? 2 : 1);
    }
    queue[i] = last;
    return top;
  }
}

/** How often packets sent did not come out, and how often any came out twice. */
export function losses(sent: readonly number[], site: Site): { readonly lost: number; readonly duplicated: number } {
  let lost = 0;
  let duplicated = 0;
  for (const number of sent) {
    const times = site.received.get(number) ?? 0;
    if (times === 0) lost++;
    if (times > 1) duplicated++;
  }
  return { lost, duplicated };
}

/** An IPv4 packet with a number behind its header. */
export function numberedPacket(from: string, to: string, number: number, size = 100): Uint8Array {
  const packet = new Uint8Array(size);
  packet[0] = 0x45;
  packet.set(addressBytes(address(from)), 12);
  packet.set(addressBytes(address(to)), 16);
  new DataView(packet.buffer).setUint32(20, number);
  return packet;
}

/** `text` as an address; tests write only good ones. */
export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** Peer ids in tests. */
export function peerId(n: number): PeerId {
  return n as PeerId;
}

/** The instant `milliseconds` after `at`. */
export function plus(at: Instant, milliseconds: number): Instant {
  return later(at, ms(milliseconds));
}

/** The earlier of two deadlines. */
export const sooner = earliest;

function hostPort(text: string): HostPort {
  const parsed = parseHostPort(text);
  if (parsed === undefined) throw new Error(`${text} is no endpoint`);
  return parsed;
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`${text} is no prefix`);
  return parsed;
}

function before(
  a: { readonly at: number; readonly order: number },
  b: { readonly at: number; readonly order: number },
): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
