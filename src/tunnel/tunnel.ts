import {
  type Duration,
  earliest,
  type Fingerprint,
  type Instant,
  later,
  ms,
  type PeerId,
  type SessionSlot,
} from '../base/brand.ts';
import { invariant } from '../base/invariant.ts';
import { sameData } from '../base/same-data.ts';
import type { PeerSettings, Settings } from '../config/settings.ts';
import type { Identity } from '../crypto/identity.ts';
import type { Address } from '../net/address.ts';
import type { Path } from '../net/endpoint.ts';
import { Reader } from '../wire/reader.ts';
import type { Context } from './context.ts';
import type { PeerGlance, PeerSnapshot, TunnelEffect, TunnelEvent, TunnelPeerOptions, TunnelRoute } from './effects.ts';
import { systemEngines } from './engines.ts';
import type { Resolution, TunnelFace, TunnelOptions } from './face.ts';
import { FrontDoor } from './front-door.ts';
import { DRAIN_NOTICE_INTERVAL } from './limits.ts';
import type { TunnelExport, TunnelState } from './handover.ts';
import { Peer } from './peer.ts';
import { PeerTable } from './peer-table.ts';
import { type Recall, Recalls } from './recalls.ts';
import { Registry } from './registry.ts';
import { Rounds } from './rounds.ts';
import { computeRoutes, sameRoutes } from './routes.ts';
import { Schedule } from './schedule.ts';
import { SlotTable } from './slots.ts';
import { glanceAt, snapshotOf } from './snapshot.ts';
import { Trials } from './trials.ts';

/**
 * All peers of one daemon: inputs with the time go in, effects come out of `poll`. Inputs are sorted to the peer they
 * concern; a peer that was touched settles before the input returns, and is due again at its own deadline, kept in a
 * heap, so that ten thousand peers cost no more per input than one.
 */
export class Tunnel implements TunnelFace {
  #settings: Settings;
  #identity: Identity;
  readonly #effects: TunnelEffect[] = [];
  #polled = 0;
  readonly #table = new PeerTable();
  readonly #registry = new Registry();
  readonly #schedule = new Schedule<Peer>();
  readonly #touched = new Set<Peer>();
  readonly #context: Context;
  readonly #door: FrontDoor;
  readonly #trials: Trials;
  readonly #recalls = new Recalls<Peer>();
  /** Whose endpoints have a name. */
  #byHost: ReadonlyMap<string, readonly Peer[]> = new Map();
  /** Names being looked up. */
  readonly #resolving = new Set<string>();
  #routes: readonly TunnelRoute[] = [];
  #choices: ReadonlyMap<string, PeerId> = new Map();
  #routesAt: Instant | undefined;
  readonly #rounds: Rounds;
  #drain: { readonly until: Instant; readonly noticeAt: Instant } | undefined;
  #started = false;
  #finished = false;
  /** Until the start: who is to be called where. */
  readonly #lastKnown: ReadonlyMap<Fingerprint, Path>;

  constructor(options: TunnelOptions) {
    this.#settings = options.settings;
    this.#lastKnown = options.lastKnown ?? new Map<Fingerprint, Path>();
    this.#identity = options.identity;
    this.#rounds = new Rounds(options.changed, (slot, now) => this.#counted(slot, now));
    this.#context = this.#makeContext(options);
    this.#door = new FrontDoor(this.#context, this.#table);
    this.#trials = new Trials(this.#context);
  }

  start(now: Instant): void {
    this.#started = true;
    this.#arrange(this.#settings, false, now);
    this.#recall(now);
  }

  continueFrom(state: TunnelState, now: Instant): void {
    this.#started = true;
    const known = new Map(state.peers.map((peer) => [peer.name, peer]));
    const slots = state.peers.flatMap((peer) => peer.sessions.map(({ association }) => association.slot));
    const used = new Set(slots);
    invariant(used.size === slots.length, 'a slot belongs to one session');
    this.#context.slots.continueFrom(state.slots, used);
    const peers = this.#settings.peers.map((settings) => {
      const before = known.get(settings.name);
      invariant(before !== undefined && known.size === this.#settings.peers.length, 'the peers are the same');
      const peer = new Peer(this.#context, { id: before.id, settings }, now);
      peer.continueFrom(before, now);
      return peer;
    });
    this.#table.arrange(peers);
    invariant(this.#table.size === peers.length, 'a peer has an id of its own');
    this.#byHost = peersByHost(peers);
    this.#choices = new Map(state.choices);
    this.#rounds.arrange(
      this.#settings.peers.map(({ deadAfter }) => deadAfter),
      now,
    );
    // The data plane knows these; said again, they change nothing.
    for (const peer of peers)
      this.#emit({ kind: 'peer', peer: peer.id, options: peerOptions(peer.settings, this.#settings) });
    this.#updateRoutes(now);
    // Each is looked at with the first tick, when the data plane runs.
    for (const peer of peers) this.#schedule.set(peer, now);
  }

  export(now: Instant): TunnelExport {
    const lost = [...this.#registry.all].filter((association) => !association.installed);
    return {
      slots: this.#context.slots.export(
        lost.map(({ lease }) => lease),
        now,
      ),
      choices: [...this.#choices],
      peers: this.#table.all.map((peer) => peer.export(now)),
    };
  }

  datagram(path: Path, datagram: Uint8Array, now: Instant): void {
    if (!this.#started || this.#finished) {
      // Before the start there is no peer yet, and all who call would be refused as strangers.
      this.#context.event({ kind: 'handshake-ignored', path, reason: this.#started ? 'draining' : 'starting' });
      return;
    }
    this.#door.receive(path, datagram, now);
    this.#settleTouched(now);
  }

  record(
    slot: SessionSlot,
    contentType: number,
    fragment: Uint8Array,
    _path: Path,
    _newest: boolean,
    now: Instant,
  ): void {
    const found = this.#find(slot);
    if (found === undefined) return;
    const { association, session, peer } = found;
    if (contentType === APPLICATION_DATA) session.control(fragment, now);
    else {
      session.heardOther(now);
      association.receiveOpened(contentType, fragment, now);
    }
    // The keepalive probe of a peer at rest was answered on the spot and leaves nothing to settle.
    const resting = peer.restingOn(now);
    if (resting === undefined || resting.checkAt <= now) this.#touched.add(peer);
    this.#settleTouched(now);
  }

  confirmed(slot: SessionSlot, now: Instant): void {
    const found = this.#find(slot);
    if (found === undefined) return;
    found.session.heard(now);
    this.#touched.add(found.peer);
    this.#settleTouched(now);
  }

  moved(slot: SessionSlot, path: Path, now: Instant): void {
    const found = this.#find(slot);
    if (found === undefined) return;
    found.session.cameFrom(path, now);
    this.#touched.add(found.peer);
    this.#settleTouched(now);
  }

  refused(slot: SessionSlot, length: number, now: Instant): void {
    const found = this.#find(slot);
    if (found === undefined) return;
    found.session.refused(length, now);
    this.#touched.add(found.peer);
    this.#settleTouched(now);
  }

  resolved(host: string, answer: Resolution, now: Instant): void {
    this.#resolving.delete(host);
    for (const peer of this.#byHost.get(host) ?? []) {
      peer.resolved(host, answer, now);
      this.#touched.add(peer);
    }
    this.#settleTouched(now);
  }

  networkChanged(ours: readonly Address[], now: Instant): void {
    for (const peer of this.#table.all) {
      peer.networkChanged(ours, now);
      this.#touched.add(peer);
    }
    this.#settleTouched(now);
  }

  reload(settings: Settings, identity: Identity, now: Instant): void {
    if (this.#finished) return;
    const isCommonSame =
      identity.fingerprint === this.#identity.fingerprint && sameData(settings.interface, this.#settings.interface);
    this.#settings = settings;
    this.#identity = identity;
    this.#arrange(settings, isCommonSame, now);
  }

  rekey(name: string | undefined, now: Instant): boolean {
    const peers = name === undefined ? this.#table.all : this.#table.all.filter((peer) => peer.name === name);
    for (const peer of peers) {
      peer.rekey(now);
      this.#touched.add(peer);
    }
    this.#settleTouched(now);
    return peers.length > 0;
  }

  probe(name: string, now: Instant): boolean {
    const peer = this.#table.all.find((candidate) => candidate.name === name);
    if (peer === undefined || !peer.probe(now)) return false;
    this.#touched.add(peer);
    this.#settleTouched(now);
    return true;
  }

  trial(identity: Identity, now: Instant): readonly string[] {
    if (this.draining) return [];
    const peers = this.#table.all.filter((peer) => peer.settings.enabled);
    for (const peer of peers) this.#trials.begin(peer, identity, now);
    return peers.map((peer) => peer.name);
  }

  drain(timeout: Duration, now: Instant): void {
    if (this.#finished || this.#drain !== undefined) return;
    this.#drain = { until: later(now, timeout), noticeAt: now };
    this.#door.close(now);
    this.#recalls.stop();
    for (const peer of this.#table.all) this.#touched.add(peer);
    this.#settleTouched(now);
    this.#driveDrain(now);
  }

  close(now: Instant): void {
    this.#finish('stopping', 0, now);
  }

  tick(now: Instant): void {
    if (this.#finished) return;
    this.#door.tick(now);
    this.#trials.tick(now);
    for (const peer of this.#recalls.tick(now)) this.#touched.add(peer);
    for (let peer = this.#schedule.takeDue(now); peer !== undefined; peer = this.#schedule.takeDue(now)) {
      // One that was asked meanwhile rests on.
      const resting = peer.restingOn(now);
      if (resting !== undefined && resting.checkAt > now) this.#scheduleNext(peer, now);
      else this.#touched.add(peer);
    }
    this.#rounds.tick(now);
    this.#settleTouched(now);
    if (this.#routesAt !== undefined && now >= this.#routesAt) this.#updateRoutes(now);
    this.#driveDrain(now);
  }

  poll(): TunnelEffect | undefined {
    const effect = this.#effects[this.#polled];
    if (effect === undefined) {
      this.#effects.length = 0;
      this.#polled = 0;
      return undefined;
    }
    this.#polled++;
    return effect;
  }

  get deadline(): Instant | undefined {
    if (this.#finished) return undefined;
    const peers = earliest(this.#schedule.deadline, this.#door.deadline);
    const look = this.#registry.size > 0 ? earliest(this.#rounds.deadline, peers) : peers;
    const rare = earliest(earliest(this.#drain?.noticeAt, this.#trials.deadline), this.#recalls.deadline);
    return earliest(earliest(look, this.#routesAt), rare);
  }

  get draining(): boolean {
    return this.#drain !== undefined;
  }

  get handshakes(): number {
    return this.#registry.handshakes;
  }

  /** Handshakes under way that belong to no peer yet. */
  get halfOpen(): number {
    return this.#door.size;
  }

  snapshot(now: Instant): readonly PeerSnapshot[] {
    return this.#table.all.map((peer) => snapshotOf(peer, this.#settings, now));
  }

  glance(): readonly PeerGlance[] {
    return this.#table.all.map((peer) => glanceAt(peer, this.#settings));
  }

  #find(slot: SessionSlot) {
    const association = this.#registry.at(slot);
    const peer = association?.peer === undefined ? undefined : this.#table.byId(association.peer);
    const session = peer?.sessions.find((s) => s.association === association);
    return association === undefined || session === undefined || peer === undefined
      ? undefined
      : { association, session, peer };
  }

  /** The counters of `slot` have moved: if it was at rest until inner packets came, it is checked. */
  #counted(slot: SessionSlot, now: Instant): void {
    const found = this.#find(slot);
    if (found?.session.glance(now) === true) this.#touched.add(found.peer);
  }

  #settleTouched(now: Instant): void {
    // Settling a peer may touch it or another again; each is taken until nothing is left.
    for (let rounds = 0; this.#touched.size > 0; rounds++) {
      invariant(rounds < SETTLE_ROUNDS, 'peers come to rest');
      const peers = [...this.#touched];
      this.#touched.clear();
      for (const peer of peers) {
        if (this.#table.byId(peer.id) !== peer) continue;
        peer.settle(now);
        this.#table.refresh(peer);
        this.#scheduleNext(peer, now);
      }
    }
  }

  #scheduleNext(peer: Peer, now: Instant): void {
    const { deadline } = peer;
    this.#schedule.set(peer, deadline === undefined ? undefined : later(now, ms(Math.max(deadline - now, 1))));
  }

  /**
   * Makes the peers what `settings` say, and tells the data plane. `isCommonSame`: all that is not of one peer is as it
   * was, so that a peer whose own settings are the same needs no look either.
   */
  #arrange(settings: Settings, isCommonSame: boolean, now: Instant): void {
    const before = this.#table.all;
    const matched = matchPeers(before, settings.peers);
    const staying = new Set(matched);
    for (const peer of before) {
      if (staying.has(peer)) continue;
      peer.stop('removed', now);
      this.#schedule.set(peer, undefined);
    }
    const freeId = this.#table.freeIds();
    const peers = settings.peers.map(
      (wanted, i) => matched[i] ?? new Peer(this.#context, { id: freeId(), settings: wanted }, now),
    );
    const changed = peers.flatMap((peer, i) => {
      const isNew = matched[i] === undefined;
      return !isNew && isCommonSame && sameData(peer.settings, settings.peers[i]) ? [] : [{ peer, isNew }];
    });
    // First everybody's settings, then the indexes, and only then what follows from them: nobody is named by old keys.
    for (const [i, wanted] of settings.peers.entries()) peers[i]?.adopt(wanted);
    this.#table.arrange(peers);
    this.#byHost = peersByHost(peers);
    this.#rounds.arrange(
      settings.peers.map(({ deadAfter }) => deadAfter),
      now,
    );
    for (const { peer, isNew } of changed) {
      this.#emit({ kind: 'peer', peer: peer.id, options: peerOptions(peer.settings, settings) });
      if (!isNew) peer.reconfigure(now);
      const refused = pathOf(peer, this.#door.refused);
      if (refused !== undefined && peer.settings.enabled && !peer.reachable) peer.callAt(refused, now);
      this.#touched.add(peer);
    }
    this.#updateRoutes(now);
    for (const peer of before) {
      if (!staying.has(peer)) this.#emit({ kind: 'remove-peer', peer: peer.id });
    }
    this.#settleTouched(now);
  }

  /** Calls peers where they were last met: those first whose turn comes first, the others at a bounded rate. */
  #recall(now: Instant): void {
    const waiting: Recall<Peer>[] = [];
    for (const peer of this.#table.all) {
      const path = pathOf(peer, this.#lastKnown);
      if (path === undefined) continue;
      peer.lastKnown = path;
      this.#table.refresh(peer);
      waiting.push({ peer, path });
    }
    for (const peer of this.#recalls.begin(waiting, now)) this.#touched.add(peer);
    this.#settleTouched(now);
  }

  #updateRoutes(now: Instant): void {
    const routed = this.#table.all.map((peer) => ({
      id: peer.id,
      enabled: peer.settings.enabled,
      priority: peer.settings.priority,
      allowedIps: peer.settings.allowedIps,
      reachable: peer.reachable,
      wavering: peer.wavering,
      heldUntil: peer.heldUntil,
    }));
    const routing = computeRoutes(routed, this.#choices, now);
    this.#choices = routing.choices;
    this.#routesAt = routing.nextAt;
    if (sameRoutes(routing.routes, this.#routes)) return;
    this.#routes = routing.routes;
    this.#emit({ kind: 'routes', routes: routing.routes });
  }

  #driveDrain(now: Instant): void {
    if (this.#drain === undefined || this.#finished || now < this.#drain.noticeAt) return;
    const { until } = this.#drain;
    const busy = this.#table.all.filter((peer) => !peer.quiet(now));
    if (busy.length === 0 || now >= until) {
      this.#finish('draining', busy.length, now);
      return;
    }
    for (const peer of this.#table.all) peer.announceDrain(ms(until - now));
    const next = Math.min(DRAIN_NOTICE_INTERVAL, until - now);
    this.#drain = { until, noticeAt: later(now, ms(next)) };
  }

  #finish(why: 'stopping' | 'draining', sessionsLeft: number, now: Instant): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#door.close(now);
    this.#recalls.stop();
    this.#trials.stop(now);
    for (const peer of this.#table.all) {
      peer.stop(why, now);
      this.#schedule.set(peer, undefined);
    }
    this.#touched.clear();
    this.#emit({ kind: 'finished', sessionsLeft });
  }

  #emit(effect: TunnelEffect): void {
    this.#effects.push(effect);
  }

  #identify(fingerprint: Fingerprint) {
    const peer = this.#table.byFingerprint(fingerprint);
    if (peer === undefined || !peer.settings.enabled) return undefined;
    return { id: peer.id, allowLegacyPeer: peer.settings.allowLegacyPeer };
  }

  #makeContext(options: TunnelOptions): Context {
    const { crypto } = options;
    const settings = () => this.#settings;
    const identity = () => this.#identity;
    const draining = () => this.#drain !== undefined || this.#finished;
    const peerCount = () => this.#table.size;
    return {
      get settings() {
        return settings();
      },
      get identity() {
        return identity();
      },
      get draining() {
        return draining();
      },
      get peerCount() {
        return peerCount();
      },
      crypto,
      engines: options.engines ?? systemEngines,
      slots: new SlotTable(crypto),
      registry: this.#registry,
      emit: (effect) => this.#emit(effect),
      event: (event: TunnelEvent) => this.#emit({ kind: 'event', event }),
      lookedAt: (slot) => this.#rounds.lookedAt(slot),
      readings: options.session,
      wallClock: options.wallClock,
      identify: (fingerprint) => this.#identify(fingerprint),
      uniform: () => new Reader(crypto.random(6)).uint(6) / 2 ** 48,
      resolve: (host) => this.#resolve(host),
      admitsCall: (path, now) => this.#door.admitsCall(path, now),
      touch: (peer) => this.#touched.add(peer),
      routesChanged: (now) => {
        if (this.#hasSharedPrefixes) this.#updateRoutes(now);
      },
    };
  }

  /** Only where several peers claim one prefix does it matter who answers. */
  get #hasSharedPrefixes(): boolean {
    return this.#choices.size > 0;
  }

  #resolve(host: string): void {
    if (this.#resolving.has(host)) return;
    this.#resolving.add(host);
    this.#emit({ kind: 'resolve', host });
  }
}

/** The peer that each of `wanted` continues: the one that shares a fingerprint, else the one of that name. */
function matchPeers(before: readonly Peer[], wanted: readonly PeerSettings[]): readonly (Peer | undefined)[] {
  const byFingerprint = new Map<Fingerprint, Peer>();
  const byName = new Map<string, Peer>();
  for (const peer of before) {
    byName.set(peer.name, peer);
    for (const fingerprint of peer.settings.fingerprints) byFingerprint.set(fingerprint, peer);
  }
  const taken = new Set<Peer>();
  const matched: (Peer | undefined)[] = wanted.map((settings) => {
    const peer = settings.fingerprints.map((f) => byFingerprint.get(f)).find((p) => p !== undefined && !taken.has(p));
    if (peer !== undefined) taken.add(peer);
    return peer;
  });
  wanted.forEach((settings, i) => {
    const namesake = byName.get(settings.name);
    if (matched[i] !== undefined || namesake === undefined || taken.has(namesake)) return;
    taken.add(namesake);
    matched[i] = namesake;
  });
  return matched;
}

/** Where one of the certificates of `peer` was met. */
function pathOf(peer: Peer, paths: { get(fingerprint: Fingerprint): Path | undefined }): Path | undefined {
  return peer.settings.fingerprints.map((fingerprint) => paths.get(fingerprint)).find((path) => path !== undefined);
}

function peersByHost(peers: readonly Peer[]): ReadonlyMap<string, readonly Peer[]> {
  const byHost = new Map<string, Peer[]>();
  for (const peer of peers) {
    for (const host of new Set(peer.settings.endpoints.map((endpoint) => endpoint.host))) {
      const users = byHost.get(host) ?? [];
      users.push(peer);
      byHost.set(host, users);
    }
  }
  return byHost;
}

function peerOptions(peer: PeerSettings, settings: Settings): TunnelPeerOptions {
  return { dscp: peer.dscp, ecn: settings.interface.ecn, rateLimit: peer.rateLimit, clampMss: true };
}

const APPLICATION_DATA = 23;

/** More rounds than any chain of consequences has; a loop would be a bug. */
const SETTLE_ROUNDS = 64;
