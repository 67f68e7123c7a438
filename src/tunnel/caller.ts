import { type Duration, earliest, type Instant, later, ms, type PathMtu, type PeerId } from '../base/brand.ts';
import type { PeerSettings } from '../config/settings.ts';
import type { Address } from '../net/address.ts';
import type { HostPort, Path } from '../net/endpoint.ts';
import { Association, type AssociationOwner } from './association.ts';
import { type CallInput, decideCalls, keepsStandby, type LegView } from './calling.ts';
import type { Context } from './context.ts';
import type { HandshakeTrigger, TunnelEvent } from './effects.ts';
import type { Resolution } from './face.ts';
import type { PeerExport, PeerState } from './handover.ts';
import { Leg, type LegOwner } from './leg.ts';
import { CALL_TIMEOUT, CALL_TIMER_MAX, CALL_TIMER_MIN, CALL_TIMER_UNKNOWN, DNS_SILENCE_INTERVAL } from './limits.ts';
import { newPathMtu } from './path-mtu.ts';
import type { PathMemories, PathMemory } from './path-memory.ts';
import type { Session } from './session.ts';

/** Whose calls these are. */
export interface CallerHost extends AssociationOwner {
  readonly id: PeerId;
  readonly name: string;
  readonly settings: PeerSettings;
  readonly memories: PathMemories;
}

/**
 * All our calling of one peer: a leg to each configured endpoint, legs to addresses that are not configured (a peer we
 * called back or remember, an endpoint removed while in use), and the handshakes under way. `drive` brings them in line with what
 * calling.ts decides.
 */
export class Caller implements LegOwner {
  readonly #context: Context;
  readonly #host: CallerHost;
  /** To the configured endpoints, in their order. */
  #legs: readonly Leg[];
  /** To addresses that are not configured. */
  #strays: readonly Leg[] = [];
  readonly #calls = new Map<Association, Leg>();
  #troubleSince: Instant | undefined;
  /** The peer asked not to be called before. */
  #pausedUntil: Instant | undefined;
  #nextAt: Instant | undefined;

  constructor(context: Context, host: CallerHost, now: Instant) {
    this.#context = context;
    this.#host = host;
    this.#legs = host.settings.endpoints.map((target, index) => new Leg(this, { target, index }, now));
  }

  /** To the configured endpoints, in their order. */
  get legs(): readonly Leg[] {
    return this.#legs;
  }

  get name(): string {
    return this.#host.name;
  }

  /** What the endpoints' names stand for. */
  get addresses(): readonly Address[] {
    return this.#legs.flatMap((leg) => leg.addresses);
  }

  /** When `tick` or `drive` has something to do. */
  get deadline(): Instant | undefined {
    let due = this.#nextAt;
    for (const association of this.#calls.keys()) due = earliest(due, association.deadline);
    for (const leg of this.#all) due = earliest(due, leg.deadline);
    return due;
  }

  /** Lets the handshakes' timers run. */
  tick(now: Instant): void {
    for (const association of this.#calls.keys()) {
      if (association.deadline !== undefined && association.deadline <= now) association.tick(now);
    }
  }

  /** Starts, goes on with and stops calling, given what carries our traffic now. */
  drive(current: Session | undefined, everUp: boolean, now: Instant): void {
    const view = this.#viewOfCurrent(current);
    const trouble = view?.health !== 'alive';
    this.#troubleSince = trouble ? (this.#troubleSince ?? now) : undefined;
    const paused = this.#pausedUntil !== undefined && now < this.#pausedUntil;
    const idle = !this.#host.settings.enabled || this.#context.draining || paused;
    const legs = this.#all;
    const decision = decideCalls({
      now,
      legs: legs.map((leg) => viewOf(leg, current)),
      current: view,
      troubleSince: this.#troubleSince,
      everUp,
    });
    legs.forEach((leg, i) => {
      const wanted = idle ? undefined : (leg.rekey ?? decision.triggers[i]);
      if (wanted !== undefined && trouble) leg.lookUp(now, DNS_SILENCE_INTERVAL);
      leg.drive(wanted, idle ? undefined : renewalPath(leg), now);
    });
    for (const association of this.#calls.keys()) if (association.closed) this.#calls.delete(association);
    if (!trouble) for (const leg of this.#strays) leg.remembered = false;
    this.#strays = this.#strays.filter((leg) => leg.live !== undefined || leg.attempts.length > 0 || leg.remembered);
    this.#nextAt = earliest(decision.nextAt, paused ? this.#pausedUntil : this.#failbackAt(now));
  }

  /** Whether a session that does not carry our traffic is wanted beside the one that does. */
  isStandby(session: Session, current: Session | undefined): boolean {
    const { leg } = session;
    if (session === current || leg === undefined || leg.live !== session) return false;
    return keepsStandby(this.#viewOfCurrent(current), viewOf(leg, current));
  }

  /** Gives a session that we called to its leg. */
  completed(session: Session, now: Instant): void {
    const { association } = session;
    let leg = this.#calls.get(association);
    this.#calls.delete(association);
    if (leg === undefined) {
      const { address, port } = association.path.remote;
      leg = new Leg(this, { target: { host: address, port }, index: undefined }, now);
      this.#strays = [...this.#strays, leg];
    }
    if (leg.live !== undefined && leg.live.health !== 'alive') leg.failedAt = now;
    session.leg = leg;
    leg.completed(session, now);
  }

  /** Takes note of a handshake that ended without a session; undefined when it was none of ours. */
  failed(association: Association, now: Instant): { readonly retryIn: Duration | undefined } | undefined {
    const leg = this.#calls.get(association);
    if (leg === undefined) return undefined;
    this.#calls.delete(association);
    return { retryIn: leg.attemptClosed(association, now) };
  }

  /** A session ended. */
  lost(session: Session, wasCurrent: boolean, now: Instant): void {
    const { leg } = session;
    if (leg?.live !== session) return;
    leg.live = undefined;
    leg.rekey = undefined;
    if (wasCurrent) leg.failedAt = now;
  }

  /** Follows the configured endpoints; what is in use at one that is gone stays until something better is there. */
  reconcile(endpoints: readonly HostPort[], now: Instant): void {
    const before = this.#legs;
    this.#legs = endpoints.map((target, index) => {
      const kept = before.find((leg) => leg.target.host === target.host && leg.target.port === target.port);
      if (kept === undefined) return new Leg(this, { target, index }, now);
      kept.index = index;
      return kept;
    });
    for (const leg of before) {
      if (this.#legs.includes(leg)) continue;
      leg.index = undefined;
      leg.cancel(now);
      if (leg.live !== undefined) this.#strays = [...this.#strays, leg];
    }
  }

  /** Ends all handshakes. */
  cancel(now: Instant): void {
    for (const leg of this.#all) leg.cancel(now);
    this.#calls.clear();
  }

  /** The peer asks not to be called for a while. */
  pause(until: Instant): void {
    this.#pausedUntil = until;
  }

  /** Calls the peer where it was last met, `at` or later, until one attempt is over; nothing if an endpoint leads there. */
  recall({ remote: { address, port }, local }: Path, at: Instant): void {
    if (this.#all.some((leg) => leg.target.port === port && leg.addresses.includes(address))) return;
    const leg = new Leg(this, { target: { host: address, port }, index: undefined, local }, at);
    leg.remembered = true;
    leg.nextAt = at;
    const waiting = this.#strays.filter((other) => other.remembered && other.attempts.length === 0);
    const gone = waiting.slice(0, Math.max(0, waiting.length + 1 - MAX_REMEMBERED));
    this.#strays = [...this.#strays.filter((other) => !gone.includes(other)), leg];
  }

  /** What kept us from calling is over: the peer is there, or is wanted again. */
  resume(): void {
    this.#pausedUntil = undefined;
  }

  /** Something suggests that calling now may help. */
  encourage(now: Instant): void {
    for (const leg of this.#legs) if (leg.attempts.length === 0) leg.encourage(now);
  }

  /** Local addresses or routes changed: names may stand for something else, and what failed may work. */
  networkChanged(now: Instant): void {
    for (const leg of this.#legs) {
      leg.lookUp(now);
      leg.encourage(now);
    }
  }

  /** The answer to a look-up. */
  resolved(host: string, answer: Resolution, now: Instant): void {
    for (const leg of this.#legs) {
      if (leg.target.host !== host) continue;
      if (answer.kind === 'failed') leg.unresolved(answer.reason, now);
      else if (leg.resolved(answer.addresses, answer.ttl, now)) leg.rekey = 'failover';
    }
  }

  /** For another process to go on with: all but the handshakes under way. */
  export(sessions: readonly Session[], now: Instant): Pick<PeerExport, 'legs' | 'troubleSince' | 'pausedUntil'> {
    // A session outlives the leg it was called along when the endpoint is removed.
    const legs = new Set([...this.#all, ...sessions.flatMap(({ leg }) => leg ?? [])]);
    return {
      legs: [...legs].map((leg) => leg.export(sessions, now)),
      troubleSince: this.#troubleSince,
      pausedUntil: this.#pausedUntil,
    };
  }

  /** Goes on with what another process knew of the same endpoints. */
  continueFrom(state: PeerState, sessions: readonly Session[], now: Instant): void {
    this.#troubleSince = state.troubleSince;
    this.#pausedUntil = state.pausedUntil;
    for (const known of state.legs) {
      const { host, port, local } = known;
      let leg = known.isStray
        ? undefined
        : this.#legs.find(({ target }) => target.host === host && target.port === port);
      if (leg === undefined) {
        leg = new Leg(this, { target: { host, port }, index: undefined, local }, now);
        this.#strays = [...this.#strays, leg];
      }
      leg.continueFrom(known, sessions);
    }
  }

  // --- LegOwner --------------------------------------------------------------------------------------------------

  call(leg: Leg, path: Path, trigger: HandshakeTrigger, now: Instant): Association | undefined {
    // One handshake along a path at a time: those of two could not be told apart.
    if (!this.#context.admitsCall(path, now)) return undefined;
    const lease = this.#context.slots.take(now);
    if (lease === undefined) return undefined;
    const { settings, id, memories } = this.#host;
    const known = memories.get(path.remote.address);
    const association = new Association(
      this.#context,
      {
        owner: this.#host,
        lease,
        role: 'client',
        path,
        trigger,
        peer: id,
        authorize: (peer) =>
          settings.fingerprints.includes(peer) ? { allowLegacyPeer: settings.allowLegacyPeer } : undefined,
        expected: settings.fingerprints.join(' or '),
        handshakeTimeout: CALL_TIMEOUT,
        initialTimeout: callTimer(known),
        pathMtu: (known?.pathMtu ?? newPathMtu(now)).mtu as PathMtu,
      },
      now,
    );
    this.#calls.set(association, leg);
    this.report({ kind: 'handshake-started', peer: this.name, role: 'client', path, trigger });
    return association;
  }

  uniform(): number {
    return this.#context.uniform();
  }

  resolve(host: string): void {
    this.#context.resolve(host);
  }

  report(event: TunnelEvent): void {
    this.#context.event(event);
  }

  /**
   * What carries our traffic. Once it is in trouble only something that comes ends that: a process that stood still begins
   * to count the silence anew, and would give up a call that the far end is answering.
   */
  #viewOfCurrent(current: Session | undefined): CallInput['current'] {
    if (current === undefined) return undefined;
    const { association, health, speaks, draining, lastReceive } = current;
    const isSilent = this.#troubleSince !== undefined && lastReceive <= this.#troubleSince;
    return {
      role: association.role,
      health: health === 'alive' && isSilent ? 'troubled' : health,
      speaks,
      draining,
    };
  }

  get #all(): readonly Leg[] {
    return this.#strays.length === 0 ? this.#legs : [...this.#legs, ...this.#strays];
  }

  /** When an endpoint that failed may be used again. */
  #failbackAt(now: Instant): Instant | undefined {
    let at: Instant | undefined;
    for (const leg of this.#legs) {
      if (leg.failedAt === undefined || leg.live === undefined) continue;
      const end = later(leg.failedAt, this.#host.settings.failback);
      if (end > now) at = earliest(at, end);
    }
    return at;
  }
}

/** Places to call from memory: where the peer was last met, and where it was refused since. */
const MAX_REMEMBERED = 2;

/** A rekey goes where the association is, unless its name has moved. */
function renewalPath(leg: Leg): Path | undefined {
  if (leg.rekey === undefined || leg.rekey === 'failover' || leg.live?.health !== 'alive') return undefined;
  return { remote: leg.live.association.path.remote, local: undefined };
}

function viewOf(leg: Leg, current: Session | undefined): LegView {
  const isCurrent = current !== undefined && leg.live === current;
  return { index: leg.index, live: leg.live?.health, isCurrent, remembered: leg.remembered };
}

/** The first retransmission timer of a handshake along a path of which this much is known. */
function callTimer(known: PathMemory | undefined): Duration {
  if (known?.quality.rtt === undefined) return CALL_TIMER_UNKNOWN;
  return ms(Math.min(Math.max(2 * known.quality.timeout, CALL_TIMER_MIN), CALL_TIMER_MAX));
}
