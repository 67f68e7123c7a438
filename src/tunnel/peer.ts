import { type Duration, earliest, type Instant, later, ms, type PeerId } from '../base/brand.ts';
import type { PeerSettings } from '../config/settings.ts';
import type { CloseReason, Established } from '../dtls/effects.ts';
import { type Address, family } from '../net/address.ts';
import { type Path, sameEndpoint } from '../net/endpoint.ts';
import type { Association } from './association.ts';
import { Caller, type CallerHost } from './caller.ts';
import type { Context } from './context.ts';
import type { GoodbyeReason } from './control-message.ts';
import type { PeerSnapshot } from './effects.ts';
import type { Resolution } from './face.ts';
import { continueSession } from './continued-session.ts';
import { EXPIRED } from './expired.ts';
import type { PeerExport, PeerState } from './handover.ts';
import type { Leg } from './leg.ts';
import { DEAD_LINGER, DOUBT_INTERVAL, DRAIN_QUIET, GOODBYE_PAUSE, GOODBYE_PAUSE_REMOVED } from './limits.ts';
import { keepaliveOf } from './liveness.ts';
import { PathMemories, type PathMemory } from './path-memory.ts';
import { newPathMtu, pathMtuCeiling, staticPathMtu } from './path-mtu.ts';
import { judgePeer, type PeerView } from './peer-state.ts';
import { isRenewal, renew } from './renewal.ts';
import { rekeyAt } from './rekey.ts';
import { limitSessions } from './retirement.ts';
import type { Scheduled } from './schedule.ts';
import { Session, type SessionOwner } from './session.ts';
import { Sessions, type SessionsHost } from './sessions.ts';

/**
 * One configured remote: whom it may be and where, the calls under way (`Caller`), the established associations
 * (`Sessions`), and what state that amounts to.
 *
 * Every input ends in `settle`, which looks at what is there, decides what should be, and does what is missing. So the
 * order in which things happen (two ends at once, loss, restart, reload) does not matter to the outcome.
 */
export class Peer implements CallerHost, SessionsHost, SessionOwner, Scheduled {
  heapIndex = -1;
  due: Instant | undefined;
  readonly id: PeerId;
  readonly memories = new PathMemories();
  settings: PeerSettings;
  state: PeerSnapshot['state'];
  since: Instant;
  lastFailure: { readonly at: Instant; readonly reason: CloseReason } | undefined;
  /** The path it was last met on, which has proven itself: a place to call, and no more than that. */
  lastKnown: Path | undefined;
  readonly #context: Context;
  readonly #sessions: Sessions;
  readonly #caller: Caller;
  #everUp = false;
  #wasWavering = false;
  #doubtedAt: Instant | undefined;
  #heldUntil: Instant | undefined;
  /** What the sessions' rekey times were computed from. */
  #rekeyAfter: Duration | 'off';
  #stopped = false;

  constructor(context: Context, { id, settings }: Pick<Peer, 'id' | 'settings'>, now: Instant) {
    this.#context = context;
    this.id = id;
    this.settings = settings;
    this.since = now;
    this.#rekeyAfter = settings.rekeyAfter;
    this.#sessions = new Sessions(context, this);
    this.#caller = new Caller(context, this, now);
    this.state = judgePeer(this.#view()).state;
  }

  get name(): string {
    return this.settings.name;
  }

  get current(): Session | undefined {
    return this.#sessions.current;
  }

  get sessions(): readonly Session[] {
    return this.#sessions.all;
  }

  get legs(): readonly Leg[] {
    return this.#caller.legs;
  }

  /** Inner packets to the peer have a chance: it answers. */
  get reachable(): boolean {
    return this.state === 'up' || this.state === 'degraded';
  }

  /** When its latest authenticated record came; undefined before the first. */
  get lastReceive(): Instant | undefined {
    return this.#sessions.lastReceive;
  }

  /** Where it may be met: its endpoints, what it uses, and where it was last. */
  addresses(): readonly Address[] {
    const used = this.sessions.map((session) => session.association.path.remote.address);
    const last = this.lastKnown?.remote.address;
    return [...this.#caller.addresses, ...used, ...(last === undefined || used.includes(last) ? [] : [last])];
  }

  /** Until when its prefixes stay with another peer that took them over; undefined: it never failed. */
  get heldUntil(): Instant | undefined {
    return this.#heldUntil;
  }

  /** It stops soon, or answers are missing, and there is no other way to it: another peer may serve its prefixes. */
  get wavering(): boolean {
    return this.current?.draining === true || this.current?.health === 'suspect';
  }

  /** When `settle` has something to do; undefined: never without an input. */
  get deadline(): Instant | undefined {
    return earliest(this.#caller.deadline, this.#sessions.deadline);
  }

  /** Its association while nothing else is there or due at `now`: no handshake, no choice, nothing to settle. */
  restingOn(now: Instant): Session | undefined {
    const session = this.current;
    if (session === undefined || this.sessions.length !== 1 || this.state !== 'up' || this.wavering) return undefined;
    const due = earliest(this.#caller.deadline, session.association.deadline);
    return (due === undefined || now < due) && session.atRest(now) ? session : undefined;
  }

  /** Does what is due and brings what is there in line with what should be. Idempotent. */
  settle(now: Instant): void {
    if (this.#stopped) return;
    this.#caller.tick(now);
    for (const { association } of this.sessions) {
      if (association.deadline !== undefined && association.deadline <= now) association.tick(now);
    }
    for (const session of this.sessions) this.#checkSession(session, now);
    this.#choose(now);
    this.#caller.drive(this.current, this.#everUp, now);
    this.#sessions.retireReplaced(now);
    this.#setState(now);
  }

  /** It may be found at the end of `path`: it is called there, `at` or later. */
  callAt(path: Path, at: Instant): void {
    this.#caller.recall(path, at);
  }

  /** Takes new settings; `reconfigure` makes them hold. */
  adopt(settings: PeerSettings): void {
    this.settings = settings;
  }

  /** Brings what is there in line with new settings: what still holds stays, what does not ends at once. */
  reconfigure(now: Instant): void {
    const { settings } = this;
    this.#caller.reconcile(settings.endpoints, now);
    for (const session of this.sessions) {
      const { fingerprint } = session.association;
      if (!settings.enabled || fingerprint === undefined || !settings.fingerprints.includes(fingerprint)) {
        session.say({ type: 'goodbye', why: settings.enabled ? 'removed' : 'disabled', pause: GOODBYE_PAUSE_REMOVED });
        session.association.close('closed', now);
      } else if (settings.rekeyAfter !== this.#rekeyAfter) {
        session.rekeyAt = this.#rekeyAt(session, session.establishedAt);
      }
      session.checkAt = now;
    }
    this.#rekeyAfter = settings.rekeyAfter;
    if (!settings.enabled) this.#caller.cancel(now);
    else if (this.state === 'disabled') this.#enable(now);
  }

  /** Whoever enables calls at once: the far end was told to wait, or has been refused and tries less and less. */
  #enable(now: Instant): void {
    this.#caller.resume();
    this.#caller.encourage(now);
    if (this.lastKnown !== undefined) this.#caller.recall(this.lastKnown, now);
  }

  /** Fresh keys beside the current ones, or an attempt at once when there are none. */
  rekey(now: Instant): void {
    if (this.current !== undefined) this.current.rekeyWanted = 'manual';
    else this.#caller.encourage(now);
    if (this.current !== undefined) this.current.checkAt = now;
  }

  /** Asks the far end at once whether it is there (`dtunnel ping`). False: there is nobody who would answer. */
  probe(now: Instant): boolean {
    if (this.current === undefined || !this.current.speaks) return false;
    this.current.suspect(now);
    return true;
  }

  /** Somebody who may be this peer uses keys we do not have: it is called without waiting for a timer. */
  lostState(now: Instant): void {
    if (this.current?.health === 'alive') {
      this.current.suspect(now);
      return;
    }
    this.#caller.encourage(now);
  }

  /** Something unproven suggests that the far end does not know `association` any more. True when it is asked. */
  doubt(association: Association, now: Instant): boolean {
    const current = this.current;
    if (current?.association !== association) return false;
    if (this.#doubtedAt !== undefined && now < later(this.#doubtedAt, DOUBT_INTERVAL)) return false;
    this.#doubtedAt = now;
    current.challenge(now);
    return true;
  }

  /** Local addresses or routes changed; `ours` are the addresses that are left. */
  networkChanged(ours: readonly Address[], now: Instant): void {
    this.#caller.networkChanged(now);
    for (const session of this.sessions) {
      const { path, role } = session.association;
      // The kernel chooses the source afresh; the far end notices and follows. A server keeps the address at which it
      // was called while it has it: behind a NAT of its own the client expects no other.
      if (path.local !== undefined && (role === 'client' || !ours.includes(path.local))) {
        session.association.move({ remote: path.remote, local: undefined });
      }
      session.suspect(now);
    }
  }

  /** The answer to a look-up of `host`, which is perhaps one of ours. */
  resolved(host: string, answer: Resolution, now: Instant): void {
    this.#caller.resolved(host, answer, now);
  }

  /** Tells the peer that we stop within `deadline`. */
  announceDrain(deadline: Duration): void {
    for (const session of this.sessions) if (session.use !== 'retiring') session.say({ type: 'drain', deadline });
  }

  /** No inner packet has gone either way for a while. */
  quiet(now: Instant): boolean {
    return this.sessions.every((session) => {
      session.observe(now);
      return now >= later(session.lastTraffic, DRAIN_QUIET);
    });
  }

  /** Ends everything: close_notify on what is established, silence for what is not. */
  stop(why: GoodbyeReason, now: Instant): void {
    this.#stopped = true;
    this.#caller.cancel(now);
    for (const session of this.sessions) {
      session.say({ type: 'goodbye', why, pause: why === 'removed' ? GOODBYE_PAUSE_REMOVED : GOODBYE_PAUSE });
      session.association.close('closed', now);
    }
  }

  /** For another process to go on with. A mere look: what is exported still runs here until that process has it. */
  export(now: Instant): PeerExport {
    const { lastFailure } = this;
    return {
      id: this.id,
      name: this.name,
      state: this.state,
      since: this.since,
      everUp: this.#everUp,
      wasWavering: this.#wasWavering,
      heldUntil: this.#heldUntil,
      lastKnown: this.lastKnown,
      lastFailure: lastFailure === undefined ? undefined : { at: lastFailure.at, reason: { ...lastFailure.reason } },
      rekeyAfter: this.#rekeyAfter,
      ...this.#caller.export(this.sessions, now),
      memories: this.memories.export(),
      ...this.#sessions.export(),
    };
  }

  /** Goes on with what another process knew of this peer. Once, before anything else. */
  continueFrom(state: PeerState, now: Instant): void {
    this.state = state.state;
    this.since = state.since;
    this.#everUp = state.everUp;
    this.#wasWavering = state.wasWavering;
    this.#heldUntil = state.heldUntil;
    this.lastKnown = state.lastKnown;
    this.lastFailure = state.lastFailure;
    this.#rekeyAfter = state.rekeyAfter;
    this.memories.continueFrom(state.memories, now);
    const sessions = state.sessions.map((known) => {
      const memory = this.#memory(known.association.path.remote.address, now);
      return continueSession(this.#context, { owner: this, memory, continued: known }, now);
    });
    this.#sessions.continueFrom(state, sessions);
    this.#caller.continueFrom(state, sessions, now);
  }

  // --- CallerHost ------------------------------------------------------------------------------------------

  established(association: Association, established: Established, now: Instant): void {
    const memory = this.#memory(association.path.remote.address, now);
    const session = new Session(this.#context, { owner: this, association, established, memory }, now);
    if (this.#expired(session)) {
      this.#fail(association, EXPIRED, this.#caller.failed(association, now)?.retryIn, now);
      association.close('bad_certificate', now);
      return;
    }
    session.rekeyAt = this.#rekeyAt(session, now);
    const isRekey = this.#isRekey(association);
    this.#sessions.add(session);
    if (association.role === 'client') this.#caller.completed(session, now);
    this.#caller.resume();
    if (!session.speaks) {
      memory.pathMtu = newPathMtu(now, staticPathMtu(family(association.path.remote.address), this.#ceiling(session)));
    }
    // Its keys were installed before anybody knew whose they are, or while another session was still searching.
    session.tellPathMtu();
    this.#context.event({
      kind: 'handshake-completed',
      peer: this.name,
      role: association.role,
      path: association.path,
      duration: ms(now - association.startedAt),
      suite: established.suite,
      retransmissions: established.retransmissions,
      trigger: association.trigger,
      isRekey,
    });
    this.lastFailure = undefined;
    this.#choose(now);
    // A client says at once what the association is for: that also shows the server that it can send on it.
    if (session !== this.current && association.role === 'client') session.announce('standby', now);
    limitSessions(this, now);
    this.#context.touch(this);
  }

  data(association: Association, payload: Uint8Array, now: Instant): void {
    const session = this.#sessions.of(association);
    const [first = 0] = payload;
    if (first >= 0x10) this.#context.emit({ kind: 'inject', peer: this.id, packet: payload });
    else session?.control(payload, now);
    session?.heard(now);
    this.#context.touch(this);
  }

  closed(association: Association, reason: CloseReason, now: Instant): void {
    const session = this.#sessions.of(association);
    if (session !== undefined) this.#sessionClosed(session, reason, now);
    else {
      const attempt = this.#caller.failed(association, now);
      if (attempt !== undefined) this.#fail(association, reason, attempt.retryIn, now);
    }
    this.#context.touch(this);
  }

  // --- SessionsHost ----------------------------------------------------------------------------------------------

  isStandby(session: Session, current: Session | undefined): boolean {
    return this.#caller.isStandby(session, current);
  }

  // --- SessionOwner ----------------------------------------------------------------------------------------------

  useChanged(session: Session, _now: Instant): void {
    // A client sends its traffic on one association.
    if (session.peerUse === 'active') this.#sessions.usedByPeer(session);
    this.#context.touch(this);
  }

  drainAnnounced(_session: Session, _now: Instant): void {
    this.#context.touch(this);
  }

  goodbye(session: Session, _why: GoodbyeReason, pause: Duration, now: Instant): void {
    session.draining = true;
    this.#caller.pause(later(now, ms(Math.min(pause, GOODBYE_PAUSE_REMOVED))));
    this.#context.touch(this);
  }

  rekeyRequested(session: Session, _now: Instant): void {
    if (session.leg?.live === session && session.leg.rekey === undefined) session.leg.rekey = 'peer';
    this.#context.touch(this);
  }

  moved(session: Session, now: Instant): void {
    const { path } = session.association;
    const memory = this.#memory(path.remote.address, now);
    if (memory !== session.memory) {
      session.memory = memory;
      session.tellPathMtu();
    }
    if (session === this.current) {
      this.lastKnown = path;
      this.#context.event({ kind: 'endpoint-changed', peer: this.name, path, reason: 'roam', silence: undefined });
    }
    this.#context.touch(this);
  }

  pathMtuChanged(memory: PathMemory): void {
    this.#sessions.pathMtuChanged(memory);
  }

  // --- What settle does ------------------------------------------------------------------------------------------

  #checkSession(session: Session, now: Instant): void {
    if (session.association.closed) return;
    if (now >= session.checkAt) {
      const before = session.health;
      session.check(
        {
          purpose: session === this.current ? 'current' : this.isStandby(session, this.current) ? 'standby' : 'unused',
          keepalive: keepaliveOf(this.settings.persistentKeepalive),
          deadAfter: this.settings.deadAfter,
          ceiling: this.#ceiling(session),
        },
        now,
      );
      // The next best is asked at once, so that it is known to answer when it is needed.
      if (session === this.current && before === 'alive' && session.health !== 'alive') {
        for (const other of this.sessions) if (this.isStandby(other, this.current)) other.suspect(now);
      }
    }
    const isCurrent = session === this.current;
    renew(this.#context, session, isCurrent, this.#caller.legs[0], now);
    if (session.deadSince !== undefined && now >= later(session.deadSince, DEAD_LINGER)) {
      session.association.close('timeout', now);
    }
  }

  /** Moves our traffic to the association that should carry it. */
  #choose(now: Instant): void {
    if (this.#sessions.choose(now) && this.current !== undefined) this.lastKnown = this.current.association.path;
  }

  #setState(now: Instant): void {
    const { state: to, reason } = judgePeer(this.#view());
    if (this.wavering !== this.#wasWavering) {
      this.#wasWavering = this.wavering;
      // Traffic that went elsewhere meanwhile comes back once it has answered for a while.
      if (!this.wavering) this.#heldUntil = later(now, this.settings.failback);
      this.#context.routesChanged(now);
    }
    if (to === this.state) return;
    const from = this.state;
    const wasReachable = this.reachable;
    this.state = to;
    this.since = now;
    if (this.reachable && !wasReachable) {
      this.#heldUntil = this.#everUp ? later(now, this.settings.failback) : undefined;
      this.#everUp = true;
    }
    this.#context.event({ kind: 'peer-state', peer: this.name, from, to, reason });
    if (this.reachable !== wasReachable) this.#context.routesChanged(now);
  }

  #view(): PeerView {
    const { current } = this;
    return {
      enabled: this.settings.enabled,
      current: current === undefined ? undefined : { health: current.health, draining: current.draining },
      everUp: this.#everUp,
      failure: this.lastFailure?.reason.code,
      legs: this.legs.map((leg) => ({ resolving: leg.resolving })),
    };
  }

  // --- Bookkeeping -----------------------------------------------------------------------------------------------

  #fail(association: Association, reason: CloseReason, retryIn: Duration | undefined, now: Instant): void {
    this.lastFailure = { at: now, reason };
    this.#context.event({
      kind: 'handshake-failed',
      peer: this.name,
      role: association.role,
      path: association.path,
      reason,
      trigger: association.trigger,
      isRekey: this.#isRekey(association),
      retryIn,
    });
  }

  /** Whether a handshake is to replace keys that work. A server sees that by the far end it shares with another. */
  #isRekey(association: Association): boolean {
    if (association.role === 'client') return isRenewal(association.trigger);
    const { remote } = association.path;
    return this.sessions.some((s) => s.health === 'alive' && sameEndpoint(s.association.path.remote, remote));
  }

  #sessionClosed(session: Session, reason: CloseReason, now: Instant): void {
    this.#sessions.remove(session);
    this.#caller.lost(session, session === this.current, now);
    if (reason.by === 'peer') this.#context.event({ kind: 'peer-closed', peer: this.name, reason });
    if (session !== this.current) return;
    if (reason.code !== 'closed') this.lastFailure = { at: now, reason };
    this.#choose(now);
  }

  #memory(address: Address, now: Instant): PathMemory {
    return this.memories.at(address, this.#sessions.memories, now);
  }

  #rekeyAt(session: Session, from: Instant): Instant | undefined {
    return rekeyAt(from, this.settings.rekeyAfter, session.association.role, this.#context.uniform());
  }

  #ceiling({ overhead }: Session): number {
    return pathMtuCeiling([this.settings.mtu, this.#context.settings.interface.mtu], overhead);
  }

  #expired(session: Session): boolean {
    return this.settings.expirePolicy === 'enforce' && session.certificateNotAfter < this.#context.wallClock();
  }
}
