import { type Duration, earliest, type Instant, later, ms, type PathMtu } from '../base/brand.ts';
import { assertNever, invariant } from '../base/invariant.ts';
import { certificateNotAfter } from '../crypto/certificate.ts';
import type { Established } from '../dtls/effects.ts';
import { family } from '../net/address.ts';
import type { Path } from '../net/endpoint.ts';
import { Reader } from '../wire/reader.ts';
import type { Association } from './association.ts';
import type { Context } from './context.ts';
import {
  type ControlMessage,
  type GoodbyeReason,
  parseControlMessage,
  TOKEN_LENGTH,
  type Use,
  writeControlMessage,
} from './control-message.ts';
import type { HandshakeTrigger } from './effects.ts';
import type { SessionReadings } from './face.ts';
import type { SessionExport, SessionState } from './handover.ts';
import { Hearing } from './hearing.ts';
import type { Leg } from './leg.ts';
import {
  CHECK_BUSY,
  CHECK_BUSY_PER_PEER,
  CHECK_IDLE_PER_PEER,
  MEASURE_INTERVAL,
  MEASURE_PER_PEER,
  PADDED_PROBE,
  PROBE_LOST_AFTER,
  PROTOCOL,
  REPEATED_PROBE,
  UNUSED_SILENCE,
} from './limits.ts';
import {
  askAtOnce,
  decideLiveness,
  type Health,
  type LivenessState,
  newLiveness,
  questionedAtRest,
  type Rest,
} from './liveness.ts';
import type { PathMemory } from './path-memory.ts';
import { PathMtuSearch, type SearchHost } from './path-mtu-search.ts';
import { Probes } from './probes.ts';
import { decideMove, decideRoaming, provesPath, type RoamingState, samePath } from './roaming.ts';
import { Traffic } from './traffic.ts';

/** What a session is for at a check; from the peer's settings and its choice. */
export interface CheckInput {
  readonly purpose: 'current' | 'standby' | 'unused';
  readonly keepalive: Duration | undefined;
  readonly deadAfter: Duration;
  /** Largest datagram that settings allow. */
  readonly ceiling: number;
}

/** Who is told what the far end says. */
export interface SessionOwner {
  readonly name: string;
  /** The far end sends its traffic here, or no longer. */
  useChanged(session: Session, now: Instant): void;
  drainAnnounced(session: Session, now: Instant): void;
  goodbye(session: Session, why: GoodbyeReason, pause: Duration, now: Instant): void;
  rekeyRequested(session: Session, now: Instant): void;
  moved(session: Session, now: Instant): void;
  /** The size in force on `memory`'s path changed: it holds for every session along it. */
  pathMtuChanged(memory: PathMemory): void;
}

/** What a session is made from. */
export interface SessionParts {
  readonly owner: SessionOwner;
  readonly association: Association;
  readonly established: Established;
  readonly memory: PathMemory;
  /** What another process knew of it, when it goes on from there. */
  readonly continued?: SessionState;
}

/**
 * The life of an established association: probes and their answers, path MTU, moves, and what the far end says about
 * it. `check` is due at `checkAt`; what to do is decided by liveness.ts, path-mtu.ts and roaming.ts and carried out here and
 * in path-mtu-search.ts.
 */
export class Session implements SearchHost {
  readonly association: Association;
  readonly established: Established;
  readonly establishedAt: Instant;
  /** notAfter of the peer's certificate, epoch seconds. */
  readonly certificateNotAfter: number;
  /** What we told the peer we do with it. */
  use: Use = 'standby';
  peerUse: Use | undefined;
  peerUseAt: Instant | undefined;
  /** The peer stops soon. */
  draining = false;
  /** Something authenticated has come. */
  confirmed = false;
  health: Health = 'alive';
  /** Since when `health` is dead. */
  deadSince: Instant | undefined;
  /** Since when another has taken its place; undefined while it is wanted. */
  supersededAt: Instant | undefined;
  rekeyAt: Instant | undefined;
  /** Why fresh keys are wanted; undefined while they are not. */
  rekeyWanted: HandshakeTrigger | undefined;
  /** When a rekey was first asked of the peer, and last. */
  rekeyAskedAt: Instant | undefined;
  rekeyAskedLast: Instant | undefined;
  /** The endpoint we called; undefined when the peer called. */
  leg: Leg | undefined;
  memory: PathMemory;
  checkAt: Instant;
  /** Inner packets seen either way at the last check, and when their number last changed. */
  lastTraffic: Instant;
  readonly #context: Context;
  readonly #owner: SessionOwner;
  #liveness: LivenessState;
  /** As of the last check; undefined also once something was asked since. */
  #rest: Rest | undefined;
  readonly #traffic: Traffic;
  readonly #hearing = new Hearing();
  #roaming: RoamingState | undefined;
  #lastReceive: Instant;
  readonly #probes = new Probes();
  readonly #search = new PathMtuSearch(this);
  #nextId: number;

  constructor(context: Context, parts: SessionParts, now: Instant) {
    const { owner, association, established, memory, continued } = parts;
    this.#context = context;
    this.#owner = owner;
    this.association = association;
    this.established = established;
    this.establishedAt = continued?.establishedAt ?? now;
    this.certificateNotAfter = certificateNotAfter(established.peerCertificate) ?? 0;
    this.memory = memory;
    this.checkAt = now;
    this.lastTraffic = now;
    this.#liveness = newLiveness(now);
    this.#lastReceive = now;
    this.#traffic = new Traffic(() => context.readings(association.lease.slot));
    this.#nextId = new Reader(context.crypto.random(4)).uint(4);
    if (continued !== undefined) this.#continueFrom(continued);
  }

  /**
   * For another process to go on with; undefined when its association has ended. Left out: probes under way and moves
   * that are not proven. The far end's records bring both up again.
   */
  export(): SessionExport | undefined {
    const association = this.association.export();
    if (association === undefined) return undefined;
    const { askedAt, unanswered, lastProbe, lastCheck, plannedCheck } = this.#livenessNow;
    return {
      association,
      establishedAt: this.establishedAt,
      use: this.use,
      peerUse: this.peerUse,
      peerUseAt: this.peerUseAt,
      draining: this.draining,
      confirmed: this.confirmed,
      health: this.health,
      deadSince: this.deadSince,
      supersededAt: this.supersededAt,
      rekeyAt: this.rekeyAt,
      rekeyWanted: this.rekeyWanted,
      rekeyAskedAt: this.rekeyAskedAt,
      rekeyAskedLast: this.rekeyAskedLast,
      checkAt: this.checkAt,
      lastTraffic: this.lastTraffic,
      lastReceive: this.#lastReceive,
      liveness: {
        askedAt,
        unanswered,
        lastProbe: Number.isFinite(lastProbe) ? lastProbe : undefined,
        lastCheck,
        plannedCheck,
      },
      nextId: this.#nextId,
      ...this.#traffic.export(),
    };
  }

  get handshakeDuration(): Duration {
    return ms(this.establishedAt - this.association.startedAt);
  }

  /** Looks at the counters without judging anything. */
  refresh(): void {
    this.#traffic.look();
    const came = this.#traffic.readings.lastReceive;
    if (came !== undefined && came > this.#lastReceive) this.#lastReceive = came;
  }

  /** The far end understands control messages. */
  get speaks(): boolean {
    return this.established.protocol === PROTOCOL;
  }

  /** When the latest authenticated record came, as of the last look at the counters. */
  get lastReceive(): Instant {
    return this.#lastReceive;
  }

  /** The counters of the data plane as of the last look at them; zero when it knew nothing of the session. */
  get readings(): SessionReadings {
    return this.#traffic.readings;
  }

  /** Looks at the counters, judges, probes; sets `health` and `checkAt`. */
  check(input: CheckInput, now: Instant): void {
    const sent = this.observe(now);
    this.#expireProbes(now);
    const { quality } = this.memory;
    const decision = decideLiveness(this.#livenessNow, {
      now,
      lastReceive: input.purpose === 'unused' ? this.#lastReceive : this.#hearing.lastAnswer(this.#lastReceive, now),
      sent,
      busy: now - this.lastTraffic < MEASURE_INTERVAL,
      checkBusy: ms(Math.max(CHECK_BUSY, CHECK_BUSY_PER_PEER * this.#context.peerCount)),
      checkIdle: ms(CHECK_IDLE_PER_PEER * this.#context.peerCount),
      measure: ms(Math.max(MEASURE_INTERVAL, MEASURE_PER_PEER * this.#context.peerCount)),
      purpose: input.purpose,
      answersProbes: this.speaks,
      keepalive: input.keepalive,
      questioned: this.#hearing.questionedAt,
      leads: this.association.role === 'client',
      deadAfter: input.deadAfter,
      timeout: quality.timeout,
      loss: quality.loss,
    });
    this.#liveness = decision.state;
    this.#rest = this.confirmed ? decision.rest : undefined;
    this.health = decision.health;
    this.deadSince = decision.health === 'dead' ? (this.deadSince ?? now) : undefined;
    if (decision.probe !== 'none') this.#probe(decision.probe === 'padded', now);
    const next = earliest(this.#searchPathMtu(input, now), this.#roam(now));
    const restsUntil = this.#restsUntil;
    this.checkAt = earliest(restsUntil ?? decision.nextCheck, next) ?? decision.nextCheck;
  }

  /** Nothing is asked, searched for, moved or renewed, nor due to be at `now`: only a counter can bring something up. */
  atRest(now: Instant): boolean {
    const until = this.#restsUntil;
    return until !== undefined && now < until && this.#roaming === undefined && this.memory.pathMtu.probe === undefined;
  }

  /**
   * The look at one whose counters have moved. One that waits for no check of its own, and for which inner packets went
   * one way or the other, is checked at once: true then.
   */
  glance(now: Instant): boolean {
    if (this.#rest === undefined) return false;
    this.refresh();
    if (!this.#traffic.flowed) return false;
    this.#ask(this.#liveness, now);
    return true;
  }

  /** Tells the peer what we do with the association; repeated by liveness until an answer comes. */
  announce(use: Use, now: Instant): void {
    this.use = use;
    if (!this.speaks || !this.association.installed) return;
    this.#probe(false, now);
    if (use === 'active') this.#ask({ ...this.#liveness, askedAt: now, unanswered: 1, lastProbe: now }, now);
    this.checkAt = now;
  }

  /** Asks at once, with a record that a far end without our keys may answer with a hello. */
  challenge(now: Instant): void {
    this.#probe(true, now);
    this.#ask({ ...this.#liveness, askedAt: this.#liveness.askedAt ?? now, unanswered: 1, lastProbe: now }, now);
  }

  /** Makes sure that the next check probes: something suggests that the path may have changed. `since`: and when. */
  suspect(now: Instant, since: Instant = now): void {
    this.#ask(askAtOnce(this.#liveness, now, since), now);
  }

  /** Sends a control message; nothing when the far end would not understand it. */
  say(message: ControlMessage, path?: Path, length?: number): void {
    if (!this.speaks || !this.association.installed) return;
    this.#traffic.sealedOwn();
    this.association.seal(writeControlMessage(message, length), path);
  }

  /** An authenticated record of application data that is no inner packet. */
  control(plaintext: Uint8Array, now: Instant): void {
    this.heard(now);
    this.#traffic.openedOwn();
    const message = parseControlMessage(plaintext);
    if (message === undefined || !this.speaks) return;
    if (message.type === 'probe' && plaintext.length >= REPEATED_PROBE) this.#unheard(now);
    else if (message.type === 'probe') this.#questioned(now);
    this.#react(message, now);
  }

  /** An authenticated record came that is neither inner packet nor control message. */
  heardOther(now: Instant): void {
    this.#traffic.openedOwn();
    this.heard(now);
  }

  /** An authenticated record came. */
  heard(now: Instant): void {
    this.confirmed = true;
    if (now > this.#lastReceive) this.#lastReceive = now;
  }

  /** A newer record came along another path: it is used once it has proven itself (RFC 9146 §6). */
  cameFrom(path: Path, now: Instant): void {
    if (!this.speaks || !this.established.connectionIds || samePath(path, this.association.path)) return;
    const decision = decideMove(this.#roaming, path, this.#context.crypto.random(TOKEN_LENGTH), now);
    this.#roaming = decision.state;
    this.#challenge();
    this.checkAt = now;
  }

  /** Our own machine does not send a record with a fragment of this length. */
  refused(length: number, now: Instant): void {
    this.#search.refused(length + this.overhead, now);
    this.checkAt = now;
  }

  /** Octets of UDP payload, and what is left of them for an inner packet. */
  get pathMtu(): PathMtu {
    return this.memory.pathMtu.mtu as PathMtu;
  }

  get overhead(): number {
    invariant(this.association.protection !== undefined, 'an established association is protected');
    return this.association.protection.overhead;
  }

  /** Whether nothing at all has come for so long that nobody is there. */
  abandoned(now: Instant): boolean {
    return now - this.#lastReceive >= UNUSED_SILENCE;
  }

  #continueFrom(state: SessionState): void {
    this.use = state.use;
    this.peerUse = state.peerUse;
    this.peerUseAt = state.peerUseAt;
    this.draining = state.draining;
    this.confirmed = state.confirmed;
    this.health = state.health;
    this.deadSince = state.deadSince;
    this.supersededAt = state.supersededAt;
    this.rekeyAt = state.rekeyAt;
    this.rekeyWanted = state.rekeyWanted;
    this.rekeyAskedAt = state.rekeyAskedAt;
    this.rekeyAskedLast = state.rekeyAskedLast;
    this.checkAt = state.checkAt;
    this.lastTraffic = state.lastTraffic;
    this.#lastReceive = state.lastReceive;
    this.#liveness = {
      ...state.liveness,
      askedAt: state.liveness.askedAt,
      lastProbe: state.liveness.lastProbe ?? NEVER,
    };
    this.#nextId = state.nextId;
    this.#traffic.continueFrom(state);
  }

  /** The far end asks, and is being answered. */
  #questioned(now: Instant): void {
    this.#hearing.questioned(now);
    if (this.#rest === undefined) return;
    const before = this.#restsUntil;
    this.#rest = questionedAtRest(this.#liveness, this.#rest, now);
    // What else it waits for stays.
    if (this.checkAt === before) this.checkAt = this.#restsUntil ?? before;
  }

  /** Until when only a counter can bring something up; undefined: it is checked every so often. */
  get #restsUntil(): Instant | undefined {
    if (this.#rest === undefined || this.rekeyWanted !== undefined || this.#probes.pending) return undefined;
    const raiseAt = this.speaks ? this.memory.pathMtu.raiseAt : undefined;
    return earliest(this.#rest.until, earliest(this.rekeyAt, raiseAt));
  }

  /** The far end repeats a question. */
  #unheard(now: Instant): void {
    const since = this.#hearing.unheard(now);
    if (this.#liveness.askedAt === undefined) this.suspect(now, since);
  }

  #react(message: ControlMessage, now: Instant): void {
    switch (message.type) {
      case 'probe':
        this.say({ type: 'probe-reply', use: this.use, id: message.id });
        this.#hearing.replied(now);
        this.#peerUses(message.use, now);
        break;
      case 'probe-reply':
        // Also one that is too late for the figures: the path takes both ways.
        this.#hearing.answered(now);
        this.#answered(message.id, now);
        this.#peerUses(message.use, now);
        break;
      case 'path-mtu-probe':
        this.say({ type: 'path-mtu-ack', id: message.id, size: Math.min(message.size, 0xffff) });
        break;
      case 'path-mtu-ack':
        if (this.#search.arrived(message.id, now)) this.checkAt = now;
        break;
      case 'path-challenge':
        this.say({ type: 'path-response', token: message.token });
        break;
      case 'path-response':
        this.#proven(message.token, now);
        break;
      case 'drain':
        if (!this.draining) {
          this.draining = true;
          this.#owner.drainAnnounced(this, now);
        }
        break;
      case 'goodbye':
        this.#owner.goodbye(this, message.why, message.pause, now);
        break;
      case 'rekey-request':
        this.#owner.rekeyRequested(this, now);
        break;
      default:
        assertNever(message, 'control message');
    }
  }

  #peerUses(use: Use, now: Instant): void {
    this.peerUseAt = now;
    if (use === this.peerUse) return;
    this.peerUse = use;
    this.#owner.useChanged(this, now);
  }

  /** Reads the counters; true when inner packets were sent since the last time. */
  observe(now: Instant): boolean {
    this.refresh();
    if (this.readings.lastReceive !== undefined) this.confirmed = true;
    const { sent, came } = this.#traffic.take();
    if (sent || came) this.lastTraffic = now;
    return sent;
  }

  /** Goes on from `state` with a check at once. */
  #ask(state: LivenessState, now: Instant): void {
    const { lastCheck } = this.#livenessNow;
    this.#liveness = { ...state, lastCheck, plannedCheck: now };
    this.#rest = undefined;
    this.checkAt = now;
  }

  /** One at rest whose counters had not moved when they were looked at has been checked then, as it were. */
  get #livenessNow(): LivenessState {
    if (this.#rest === undefined) return this.#liveness;
    const lookedAt = this.#context.lookedAt(this.association.lease.slot);
    return lookedAt <= this.#liveness.lastCheck ? this.#liveness : { ...this.#liveness, lastCheck: lookedAt };
  }

  #probe(padded: boolean, now: Instant): void {
    const id = this.#takeId();
    this.#probes.sent(id, now);
    this.say({ type: 'probe', use: this.use, id }, undefined, padded ? PADDED_PROBE - this.overhead : 0);
  }

  #answered(id: number, now: Instant): void {
    const rtt = this.#probes.answered(id, now);
    if (rtt === undefined) return;
    this.memory.quality.answered(rtt);
    this.#context.event({ kind: 'probe', peer: this.#owner.name, result: 'answered', rtt });
    // An answer ends whatever trouble there was; the next check says so.
    if (this.health !== 'alive') this.checkAt = now;
  }

  #expireProbes(now: Instant): void {
    const patience = ms(Math.max(PROBE_LOST_AFTER, 2 * this.memory.quality.timeout));
    for (let lost = this.#probes.expire(patience, now); lost > 0; lost--) {
      this.memory.quality.lost();
      this.#context.event({ kind: 'probe', peer: this.#owner.name, result: 'lost', rtt: undefined });
    }
  }

  #searchPathMtu(input: CheckInput, now: Instant): Instant | undefined {
    if (!this.speaks || input.purpose === 'unused' || !this.association.installed) return undefined;
    return this.#search.look(
      {
        family: family(this.association.path.remote.address),
        ceiling: input.ceiling,
        isCurrent: input.purpose === 'current',
        sealedLarge: this.readings.sealedLarge,
        isAlive: this.health === 'alive',
        lastReceive: this.#lastReceive,
        peerCount: this.#context.peerCount,
      },
      now,
    );
  }

  // --- SearchHost ------------------------------------------------------------------------------------------------

  probeSize(size: number, alone: boolean, now: Instant): number {
    const id = this.#takeId();
    this.say({ type: 'path-mtu-probe', id, size: size - this.overhead });
    // What does not fit is told from what is lost by a small probe that does come back.
    if (!alone) this.#probe(false, now);
    return id;
  }

  sizeChanged(before: number): void {
    this.#owner.pathMtuChanged(this.memory);
    this.#context.event({
      kind: 'path-mtu',
      peer: this.#owner.name,
      mtu: this.pathMtu,
      direction: this.pathMtu > before ? 'up' : 'down',
    });
  }

  /** Lets the data plane know the size in force. */
  tellPathMtu(): void {
    this.#context.emit({ kind: 'path-mtu', slot: this.association.lease.slot, mtu: this.pathMtu });
  }

  #roam(now: Instant): Instant | undefined {
    if (this.#roaming === undefined) return undefined;
    const repeatAfter = this.memory.quality.timeout;
    const decision = decideRoaming(this.#roaming, repeatAfter, now);
    this.#roaming = decision.state;
    if (decision.challenge) this.#challenge();
    return this.#roaming === undefined ? undefined : later(now, repeatAfter);
  }

  #challenge(): void {
    if (this.#roaming !== undefined)
      this.say({ type: 'path-challenge', token: this.#roaming.token }, this.#roaming.path);
  }

  #proven(token: Uint8Array, now: Instant): void {
    if (!provesPath(this.#roaming, token, now)) return;
    const { path } = this.#roaming;
    this.#roaming = undefined;
    this.association.move(path);
    this.#owner.moved(this, now);
  }

  #takeId(): number {
    this.#nextId = (this.#nextId + 1) % 2 ** 32;
    return this.#nextId;
  }
}

const NEVER = Number.NEGATIVE_INFINITY as Instant;
