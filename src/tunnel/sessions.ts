import { between, earliest, type Instant, type PeerId } from '../base/brand.ts';
import type { PeerSettings } from '../config/settings.ts';
import type { Association } from './association.ts';
import { candidateOf } from './candidate.ts';
import type { Context } from './context.ts';
import { endpointChange } from './endpoint-change.ts';
import type { PeerExport, PeerState } from './handover.ts';
import type { PathMemory } from './path-memory.ts';
import { retireAt } from './retirement.ts';
import { selectAssociation } from './selection.ts';
import type { Session } from './session.ts';

/** Whose sessions these are. */
export interface SessionsHost {
  readonly id: PeerId;
  readonly name: string;
  readonly settings: PeerSettings;
  /** Whether a session that does not carry our traffic is wanted beside the one that does. */
  isStandby(session: Session, current: Session | undefined): boolean;
}

/**
 * The established associations of one peer: the *current* one, which carries our traffic; those that are wanted beside
 * it; and those that were replaced and stay readable until the far end has left them too.
 */
export class Sessions {
  readonly #context: Context;
  readonly #host: SessionsHost;
  /** Oldest first. Never changed in place: it is walked while sessions end. */
  #all: readonly Session[] = [];
  #current: Session | undefined;
  /** Of sessions that are gone. */
  #lastReceive: Instant | undefined;

  constructor(context: Context, host: SessionsHost) {
    this.#context = context;
    this.#host = host;
  }

  /** Oldest first. */
  get all(): readonly Session[] {
    return this.#all;
  }

  get current(): Session | undefined {
    return this.#current;
  }

  /** What is known of the paths they use. */
  get memories(): readonly PathMemory[] {
    return this.#all.map((session) => session.memory);
  }

  /** When the latest authenticated record came on any, also on one that is gone. */
  get lastReceive(): Instant | undefined {
    let latest = this.#lastReceive;
    for (const session of this.#all) {
      if (session.confirmed && (latest === undefined || session.lastReceive > latest)) latest = session.lastReceive;
    }
    return latest;
  }

  /** When one of them has something to do. */
  get deadline(): Instant | undefined {
    let due: Instant | undefined;
    for (const session of this.#all) {
      due = earliest(due, earliest(session.checkAt, session.association.deadline));
      due = earliest(due, retireAt(session, this.#current));
    }
    return due;
  }

  of(association: Association): Session | undefined {
    return this.#all.find((session) => session.association === association);
  }

  add(session: Session): void {
    this.#all = [...this.#all, session];
  }

  /** Takes out one that has ended. The current one stays so until `choose` finds another. */
  remove(session: Session): void {
    this.#lastReceive = this.lastReceive;
    this.#all = this.#all.filter((other) => other !== session);
  }

  /** Moves our traffic to the one that should carry it. True when that is another one than before. */
  choose(now: Instant): boolean {
    const { failback } = this.#host.settings;
    const candidates = this.#all.map((session) => candidateOf(session, failback, now));
    const mine = this.#context.identity.fingerprint;
    const theirs = this.#all.at(-1)?.association.fingerprint ?? mine;
    const before = candidates.find((c) => c.session === this.#current);
    const chosen = selectAssociation(candidates, before, mine, theirs)?.session;
    if (chosen === this.#current) return false;
    const previous = this.#current;
    this.#current = chosen;
    if (previous?.leg !== undefined && previous.health !== 'alive') previous.leg.failedAt = now;
    this.#context.emit({ kind: 'activate', peer: this.#host.id, slot: chosen?.association.lease.slot });
    if (chosen !== undefined) {
      chosen.supersededAt = undefined;
      chosen.announce('active', now);
      if (previous !== undefined) this.#reportChange(previous, chosen, now);
    }
    if (previous !== undefined && !previous.association.closed) {
      previous.announce(this.#isReplaced(previous) ? 'retiring' : 'standby', now);
    }
    return true;
  }

  /** Ends those that were replaced and are not needed any more, and those on which nobody is. */
  retireReplaced(now: Instant): void {
    for (const session of this.#all) {
      if (!this.#isReplaced(session)) {
        session.supersededAt = undefined;
        if (session !== this.#current && session.abandoned(now)) session.association.close('timeout', now);
        continue;
      }
      session.supersededAt ??= now;
      if (session.use !== 'retiring') session.announce('retiring', now);
      const at = retireAt(session, this.#current);
      if (at !== undefined && now >= at) session.association.close('closed', now);
    }
  }

  /** The far end says that it sends its traffic on `session`: what it said of another before is over. */
  usedByPeer(session: Session): void {
    for (const other of this.#all) {
      const same = other !== session && other.association.role === session.association.role;
      if (same && other.peerUse === 'active') other.peerUse = 'standby';
    }
  }

  /** The size in force on `memory`'s path is another one. */
  pathMtuChanged(memory: PathMemory): void {
    for (const session of this.#all) {
      if (session.memory === memory && !session.association.closed) session.tellPathMtu();
    }
  }

  /** For another process to go on with. */
  export(): Pick<PeerExport, 'lastReceive' | 'current' | 'sessions'> {
    return {
      lastReceive: this.#lastReceive,
      current: this.#current?.association.lease.slot,
      sessions: this.#all.flatMap((session) => session.export() ?? []),
    };
  }

  /** Goes on with what another process knew, whose sessions are `all` now. Once, before anything else. */
  continueFrom({ current, lastReceive }: Pick<PeerState, 'lastReceive' | 'current'>, all: readonly Session[]): void {
    this.#all = all;
    this.#current = all.find((session) => session.association.lease.slot === current);
    this.#lastReceive = lastReceive;
  }

  /** Another does what this one was for. */
  #isReplaced(session: Session): boolean {
    const current = this.#current;
    if (session === current || current === undefined) return false;
    if (session.association.role === 'client')
      return session.leg?.live !== session || !this.#host.isStandby(session, current);
    if (session.peerUse === 'retiring') return true;
    return !session.speaks && session.establishedAt <= current.establishedAt;
  }

  #reportChange(previous: Session, chosen: Session, now: Instant): void {
    const { path } = chosen.association;
    const reason = endpointChange(previous, chosen);
    if (reason === undefined) return;
    const silence = between(previous.lastReceive, now);
    this.#context.event({ kind: 'endpoint-changed', peer: this.#host.name, path, reason, silence });
  }
}
