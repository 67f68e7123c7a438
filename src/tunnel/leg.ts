import { type Duration, type Instant, later, ms } from '../base/brand.ts';
import type { CloseReason } from '../dtls/effects.ts';
import { type Address, family } from '../net/address.ts';
import { type HostPort, literalEndpoint, type Path } from '../net/endpoint.ts';
import type { Association } from './association.ts';
import type { HandshakeTrigger, TunnelEvent } from './effects.ts';
import type { LegExport, LegState } from './handover.ts';
import {
  DNS_RETRY,
  DNS_TTL_MAX,
  DNS_TTL_MIN,
  DNS_TTL_UNKNOWN,
  FAMILY_STAGGER,
  MAX_ADDRESSES_PER_ENDPOINT,
  RETRY_FIRST,
  RETRY_MAX,
  RETRY_MAX_SILENT,
} from './limits.ts';
import type { Session } from './session.ts';

/** What a leg needs from its peer to call. */
export interface LegOwner {
  /** Begins a handshake along `path`; undefined when it cannot be begun now. */
  call(leg: Leg, path: Path, trigger: HandshakeTrigger, now: Instant): Association | undefined;
  uniform(): number;
  resolve(host: string): void;
  report(event: TunnelEvent): void;
  readonly name: string;
}

/**
 * The way to one configured endpoint: its name and addresses, the handshakes under way, and the association that came
 * of them. A *round* tries the addresses one after the other, each with a head start over the next (RFC 8305), and
 * takes the first that completes; failed rounds are repeated after a growing pause.
 */
export class Leg {
  /** Place among the peer's endpoints; undefined once removed from the settings, or for an address not configured. */
  index: number | undefined;
  readonly target: HostPort;
  /** The established association that was called here last. */
  live: Session | undefined;
  /** Why fresh keys are wanted beside `live`; undefined: they are not. */
  rekey: HandshakeTrigger | undefined;
  /** When an association here last died; going back to it waits for Failback. */
  failedAt: Instant | undefined;
  /** Rounds in a row that failed. */
  failures = 0;
  /** No round before. */
  nextAt: Instant | undefined;
  /** Known from before and not from the settings: called until one round is over. */
  remembered = false;
  #addresses: readonly Address[];
  readonly #literal: boolean;
  /** Where our datagrams come from; undefined: the kernel chooses. */
  readonly #local: Address | undefined;
  #resolving = false;
  #resolveAt: Instant | undefined;
  #resolveFailures = 0;
  #lastResolve: Instant | undefined;
  /** Look-ups in a row whose answer lacked the address in use. */
  #absent = 0;
  #round: Round | undefined;
  readonly #owner: LegOwner;

  constructor(owner: LegOwner, { target, index, local }: LegPlace, now: Instant) {
    this.#owner = owner;
    this.target = target;
    this.index = index;
    this.#local = local;
    const literal = literalEndpoint(target);
    this.#literal = literal !== undefined;
    this.#addresses = literal === undefined ? [] : [literal.address];
    this.#resolveAt = literal === undefined ? now : undefined;
  }

  /** What the endpoint's name stands for; empty while unknown. */
  get addresses(): readonly Address[] {
    return this.#addresses;
  }

  /** Handshakes under way. */
  get attempts(): readonly Association[] {
    return this.#round?.attempts ?? [];
  }

  get resolving(): boolean {
    return !this.#literal && this.#addresses.length === 0;
  }

  /** When `drive` has something to do: an address's turn, the next round, a look-up. */
  get deadline(): Instant | undefined {
    let due = this.#resolving ? undefined : this.#resolveAt;
    const next = this.#round === undefined ? this.nextAt : this.#round.nextStart;
    if (next !== undefined && (due === undefined || next < due)) due = next;
    return due;
  }

  /** Calls, or stops calling when nothing is wanted. `only`: a rekey goes where the association is. */
  drive(wanted: HandshakeTrigger | undefined, only: Path | undefined, now: Instant): void {
    if (this.#resolveAt !== undefined && now >= this.#resolveAt) this.lookUp(now);
    if (wanted === undefined) {
      this.cancel(now);
      this.nextAt = undefined;
      return;
    }
    this.#dropAbandoned(now);
    if (this.#round === undefined) {
      if (this.nextAt !== undefined && now < this.nextAt) return;
      const paths = only === undefined ? this.#paths() : [only];
      if (paths.length === 0) {
        // Not even an address yet: the answer of the resolver comes back here.
        this.nextAt = undefined;
        return;
      }
      this.nextAt = undefined;
      this.#round = { trigger: wanted, waiting: paths, attempts: [], nextStart: now, answered: false };
    }
    this.#startDue(now);
  }

  /** Takes note that an attempt is over; yields when the next round is due if that was the last of this one. */
  attemptClosed(association: Association, now: Instant): Duration | undefined {
    const round = this.#round;
    if (round === undefined || !round.attempts.includes(association)) return undefined;
    round.attempts = round.attempts.filter((a) => a !== association);
    round.answered ||= association.received > 0;
    if (round.waiting.length > 0) {
      round.nextStart = now;
      return ms(0);
    }
    if (round.attempts.length > 0) return ms(0);
    this.#round = undefined;
    this.remembered = false;
    this.failures++;
    const pause = backoff(this.failures, round.answered ? RETRY_MAX : RETRY_MAX_SILENT, this.#owner.uniform());
    this.nextAt = later(now, pause);
    return pause;
  }

  /** An attempt completed: the others stop, and what it replaces is no longer the leg's. */
  completed(session: Session, now: Instant): void {
    if (this.#round !== undefined) {
      this.#round.attempts = this.#round.attempts.filter((a) => a !== session.association);
      this.cancel(now);
    }
    this.live = session;
    this.rekey = undefined;
    this.remembered = false;
    this.failures = 0;
    this.nextAt = undefined;
  }

  /** Ends all attempts without calling them failed. */
  cancel(now: Instant): void {
    const round = this.#round;
    this.#round = undefined;
    for (const attempt of round?.attempts ?? []) attempt.abandon(now);
  }

  /** Forgets past failures: something changed that may make the next attempt succeed. */
  encourage(now: Instant): void {
    this.failures = 0;
    if (this.#round === undefined) this.nextAt = now;
  }

  /** Asks for the name again unless that is under way, it is an address, or it was asked less than `atMost` ago. */
  lookUp(now: Instant, atMost: Duration = ms(0)): void {
    if (this.#literal || this.#resolving) return;
    if (this.#lastResolve !== undefined && now < later(this.#lastResolve, atMost)) return;
    this.#resolving = true;
    this.#lastResolve = now;
    this.#owner.resolve(this.target.host);
  }

  /** The answer: addresses, in the resolver's order. True when the address in use is gone from it for good. */
  resolved(addresses: readonly Address[], ttl: Duration | undefined, now: Instant): boolean {
    this.#resolving = false;
    this.#resolveFailures = 0;
    const life = Math.min(Math.max(ttl ?? DNS_TTL_UNKNOWN, DNS_TTL_MIN), DNS_TTL_MAX);
    this.#resolveAt = later(now, ms(life));
    if (addresses.length === 0) return false;
    const same = addresses.length === this.#addresses.length && addresses.every((a) => this.#addresses.includes(a));
    this.#addresses = addresses;
    this.#owner.report({ kind: 'dns', host: this.target.host, result: same ? 'unchanged' : 'ok' });
    if (!same) this.#tryNew(now);
    const inUse = this.live?.association.path.remote.address;
    this.#absent = inUse === undefined || addresses.includes(inUse) ? 0 : this.#absent + 1;
    // One address that differs is a move; a different handful may be a rotating answer, so it is asked once more.
    return this.#absent >= (addresses.length === 1 ? 1 : 2);
  }

  /** The look-up failed: what was known stays in use. */
  unresolved(reason: 'nxdomain' | 'timeout', now: Instant): void {
    this.#resolving = false;
    const pause = Math.min(DNS_RETRY * 2 ** this.#resolveFailures++, DNS_TTL_UNKNOWN);
    this.#resolveAt = later(now, ms(pause));
    this.#owner.report({ kind: 'dns', host: this.target.host, result: reason });
  }

  /** For another process to go on with: handshakes under way are made anew there, and so is a look-up. */
  export(sessions: readonly Session[], now: Instant): LegExport {
    return {
      ...this.target,
      isStray: this.index === undefined,
      local: this.#local,
      remembered: this.remembered,
      addresses: [...this.#addresses],
      sessions: sessions.filter(({ leg }) => leg === this).map(({ association }) => association.lease.slot),
      live: this.live?.association.lease.slot,
      rekey: this.rekey,
      failedAt: this.failedAt,
      failures: this.failures,
      nextAt: this.nextAt,
      resolveAt: this.#resolving ? now : this.#resolveAt,
      resolveFailures: this.#resolveFailures,
      lastResolve: this.#lastResolve,
      absent: this.#absent,
    };
  }

  /** Goes on with what another process knew. */
  continueFrom(state: LegState, sessions: readonly Session[]): void {
    for (const session of sessions) {
      const { slot } = session.association.lease;
      if (state.sessions.includes(slot)) session.leg = this;
      if (state.live === slot) this.live = session;
    }
    this.remembered = state.remembered;
    this.rekey = state.rekey;
    this.failedAt = state.failedAt;
    this.failures = state.failures;
    this.nextAt = state.nextAt;
    if (this.#literal) return;
    this.#addresses = state.addresses;
    this.#resolveAt = state.resolveAt;
    this.#resolveFailures = state.resolveFailures;
    this.#lastResolve = state.lastResolve;
    this.#absent = state.absent;
  }

  /** Attempts that were given up for the far end's own call: ours come again if that fails. */
  #dropAbandoned(now: Instant): void {
    const round = this.#round;
    if (round === undefined || !round.attempts.some((attempt) => attempt.closed)) return;
    round.attempts = round.attempts.filter((attempt) => !attempt.closed);
    if (round.attempts.length > 0 || round.waiting.length > 0) return;
    this.#round = undefined;
    this.nextAt = later(now, backoff(3, RETRY_MAX_SILENT, this.#owner.uniform()));
  }

  /** New addresses join the round under way, or begin one. */
  #tryNew(now: Instant): void {
    this.encourage(now);
    const round = this.#round;
    if (round === undefined) return;
    const tried = new Set(round.attempts.map((attempt) => attempt.path.remote.address));
    round.waiting = this.#paths().filter((path) => !tried.has(path.remote.address));
    if (round.waiting.length > 0) round.nextStart = now;
  }

  #startDue(now: Instant): void {
    const round = this.#round;
    if (round?.nextStart === undefined || now < round.nextStart) return;
    const path = round.waiting.shift();
    round.nextStart = round.waiting.length > 0 ? later(now, FAMILY_STAGGER) : undefined;
    if (path === undefined) return;
    const attempt = this.#owner.call(this, path, round.trigger, now);
    if (attempt === undefined) {
      // Nothing can be begun now (no slot is free): later, from the start.
      this.cancel(now);
      this.nextAt = later(now, RETRY_FIRST);
      return;
    }
    round.attempts = [...round.attempts, attempt];
    // Only once it is on the list: it may complete or fail at once.
    attempt.start(now);
  }

  /** The addresses in the order in which they are tried: the resolver's first, then the families by turns (RFC 8305 §4). */
  #paths(): Path[] {
    // What is silent now is tried last.
    const silent = this.live?.association.path.remote.address;
    const first = this.#addresses.find((address) => address !== silent) ?? this.#addresses[0];
    if (first === undefined) return [];
    const favoured = this.#addresses.filter((a) => family(a) === family(first));
    const others = this.#addresses.filter((a) => family(a) !== family(first));
    const mixed: Address[] = [];
    for (let i = 0; i < Math.max(favoured.length, others.length); i++) {
      for (const address of [favoured[i], others[i]]) if (address !== undefined) mixed.push(address);
    }
    const ordered = mixed.filter((address) => address !== silent);
    if (silent !== undefined && mixed.includes(silent)) ordered.push(silent);
    return ordered
      .slice(0, MAX_ADDRESSES_PER_ENDPOINT)
      .map((address) => ({ remote: { address, port: this.target.port }, local: this.#local }));
  }
}

/** Where a leg leads. */
type LegPlace = Pick<Leg, 'target' | 'index'> & { readonly local?: Address | undefined };

/** One pass over the addresses. */
interface Round {
  readonly trigger: HandshakeTrigger;
  /** Not tried yet. */
  waiting: Path[];
  attempts: readonly Association[];
  /** When the next waiting address has its turn; undefined when none is left. */
  nextStart: Instant | undefined;
  /** Somebody answered: the failure is a refusal rather than silence. */
  answered: boolean;
}

/** The pause after `failures` failed rounds: doubling, at most `ceiling`, half of it at random. */
export function backoff(failures: number, ceiling: Duration, uniform: number): Duration {
  const full = Math.min(RETRY_FIRST * 2 ** Math.min(failures - 1, 30), ceiling);
  return ms(full / 2 + (full / 2) * uniform);
}

/** How an attempt that failed is told apart from one that was given up. */
export function isRefusal(reason: CloseReason): boolean {
  return reason.code !== 'timeout' && reason.code !== 'aborted' && reason.code !== 'closed';
}
