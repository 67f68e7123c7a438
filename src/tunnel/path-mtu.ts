import { type Instant, type PathMtu, earliest, later, ms } from '../base/brand.ts';
import type { Duration } from '../base/brand.ts';
import {
  COMMON_LINK_MTUS,
  LINK_MTU_ASSUMED,
  PATH_MTU_BASE,
  PATH_MTU_MAX,
  PATH_MTU_MIN,
  PATH_MTU_PROBES,
  PATH_MTU_RAISE,
  PATH_MTU_RAISE_LOW,
  PATH_MTU_STEP,
  PATH_MTU_TIMER_MAX,
  PATH_MTU_TIMER_MIN,
} from './limits.ts';

/**
 * Search for the largest datagram a path carries (RFC 8899), in octets of UDP payload. A value: `decidePathMtu` and
 * `acknowledgePathMtu` yield the next one. ICMP plays no part.
 */
export interface PathMtuState {
  /** Confirmed size: what may be sent. */
  readonly mtu: number;
  /** Smallest size that was probed and did not arrive; Infinity when none failed. */
  readonly failed: number;
  readonly probe: PathMtuProbe | undefined;
  /** The search starts again then, although the last one ended. */
  readonly raiseAt: Instant | undefined;
  /** Searches in a row that found nothing larger. */
  readonly fruitless: number;
  /** When `mtu` was last confirmed by an answer. */
  readonly confirmedAt: Instant;
}

/** A probe under way. */
export interface PathMtuProbe {
  /** `raise`: larger than `mtu`; `verify`: as large as `mtu`, still carried? */
  readonly for: 'raise' | 'verify';
  readonly size: number;
  /** How often it was sent while the path carried something. */
  readonly sent: number;
  readonly at: Instant;
  /** Nothing small went with it that would tell what does not fit from what is lost. */
  readonly alone: boolean;
}

/** What is known of a path when deciding. */
export interface PathMtuInput {
  readonly now: Instant;
  readonly family: 4 | 6;
  /** Largest size worth trying: from a configured MTU. */
  readonly ceiling: number;
  /** Packets were sent that the path need not carry: only then does a black hole matter. */
  readonly matters: boolean;
  /** The peer answers small probes: otherwise silence says nothing about sizes. */
  readonly answering: boolean;
  readonly timeout: Duration;
  readonly loss: number;
  /** Pause between confirmations while that matters. */
  readonly verifyEvery: Duration;
}

/** The next state, a probe to send now if any, and when to decide again. */
export interface PathMtuDecision {
  readonly state: PathMtuState;
  /** Size of the datagram to send. */
  readonly probe: number | undefined;
  /** No small one goes with it. */
  readonly alone: boolean;
  readonly nextAt: Instant | undefined;
}

/** The state of a path of which nothing is known, or of one whose size was found before. */
export function newPathMtu(now: Instant, known: number = PATH_MTU_BASE): PathMtuState {
  return {
    mtu: known,
    failed: Number.POSITIVE_INFINITY,
    probe: undefined,
    raiseAt: now,
    fruitless: 0,
    confirmedAt: now,
  };
}

/** The largest datagram worth trying: what the smallest of the configured inner MTUs needs. */
export function pathMtuCeiling(innerMtus: readonly (number | 'auto')[], overhead: number): number {
  const inner = Math.min(...innerMtus.map((mtu) => (mtu === 'auto' ? Number.POSITIVE_INFINITY : mtu)));
  return Math.min(inner + overhead, PATH_MTU_MAX);
}

/** For peers that answer no probes: an Ethernet path, or less if the configuration says so. */
export function staticPathMtu(family: 4 | 6, ceiling: number): PathMtu {
  return Math.min(LINK_MTU_ASSUMED - ipAndUdp(family), ceiling) as PathMtu;
}

/** The next step of the search. */
export function decidePathMtu(before: PathMtuState, input: PathMtuInput): PathMtuDecision {
  const state = input.answering ? withOutcome(before, input) : before;
  if (state.probe !== undefined) return waitOrRepeat(state, state.probe, input);

  if (state.raiseAt !== undefined && input.now >= state.raiseAt) {
    const size = nextSize(state, input);
    if (size !== undefined && input.answering) return begin(state, 'raise', size, input);
    if (size === undefined) return rest(state, input);
  }
  if (input.matters && input.answering && input.now >= later(state.confirmedAt, input.verifyEvery)) {
    return begin(state, 'verify', state.mtu, input);
  }
  return { state, probe: undefined, alone: false, nextAt: state.raiseAt };
}

/** The state after the peer confirmed a datagram of `size`. */
export function acknowledgePathMtu(state: PathMtuState, size: number, now: Instant): PathMtuState {
  if (size < state.mtu) return state;
  const probe = state.probe !== undefined && state.probe.size <= size ? undefined : state.probe;
  const raised = size > state.mtu;
  return {
    mtu: size,
    failed: size >= state.failed ? Number.POSITIVE_INFINITY : state.failed,
    probe,
    raiseAt: raised ? now : state.raiseAt,
    fruitless: raised ? 0 : state.fruitless,
    confirmedAt: now,
  };
}

/**
 * The state after our own device refused a probe of `size` for a larger one. That is no matter of loss: asking again would
 * be in vain. A probe whether `mtu` is still carried is judged by its silence, since a route may be changing.
 */
export function refusePathMtu(state: PathMtuState, size: number, now: Instant): PathMtuState {
  if (state.probe?.for !== 'raise' || state.probe.size !== size) return state;
  return { ...state, probe: undefined, failed: size, raiseAt: now };
}

/** IP and UDP headers around a datagram. */
export function ipAndUdp(family: 4 | 6): number {
  return (family === 4 ? 20 : 40) + 8;
}

/** Judges a probe that was sent often enough without an answer. */
function withOutcome(state: PathMtuState, input: PathMtuInput): PathMtuState {
  const { probe } = state;
  if (probe === undefined || probe.sent < patience(input.loss) || input.now < later(probe.at, timer(input)))
    return state;
  if (probe.for === 'raise') return { ...state, probe: undefined, failed: probe.size, raiseAt: input.now };
  // Black hole (RFC 8899 §4.3): back to a size that works nearly everywhere. It is confirmed before anything larger is
  // tried, since it need not work here.
  const lower = state.mtu > PATH_MTU_BASE ? PATH_MTU_BASE : PATH_MTU_MIN;
  const confirm =
    lower > PATH_MTU_MIN ? ({ for: 'verify', size: lower, sent: 0, at: LONG_AGO, alone: false } as const) : undefined;
  return { mtu: lower, failed: state.mtu, probe: confirm, raiseAt: input.now, fruitless: 0, confirmedAt: input.now };
}

function waitOrRepeat(state: PathMtuState, probe: PathMtuProbe, input: PathMtuInput): PathMtuDecision {
  // A path that answers nothing at all is not a matter of size: wait for it at leisure.
  const due = later(probe.at, input.answering || probe.alone ? timer(input) : PATH_MTU_TIMER_MAX);
  if (input.now < due) return { state, probe: undefined, alone: false, nextAt: due };
  const sent = input.answering ? probe.sent + 1 : probe.sent;
  return send(state, { ...probe, sent, at: input.now, alone: false }, input);
}

/** What most paths carry is answered at once, and needs nothing beside it. */
function begin(state: PathMtuState, purpose: 'raise' | 'verify', size: number, input: PathMtuInput): PathMtuDecision {
  return send(state, { for: purpose, size, sent: 1, at: input.now, alone: purpose === 'raise' }, input);
}

function send(state: PathMtuState, probe: PathMtuProbe, input: PathMtuInput): PathMtuDecision {
  return { state: { ...state, probe }, probe: probe.size, alone: probe.alone, nextAt: later(input.now, timer(input)) };
}

/**
 * The search is over for now: rest, then forget what failed and look upward again. What it sends in vain (some thirty
 * datagrams on a path narrower than Ethernet's) is loss to whoever counts record numbers: it must stay rare.
 */
function rest(state: PathMtuState, input: PathMtuInput): PathMtuDecision {
  const ethernet = LINK_MTU_ASSUMED - ipAndUdp(input.family);
  const low = state.mtu < Math.min(ethernet, input.ceiling);
  const pause = low ? ms(Math.min(PATH_MTU_RAISE_LOW * 2 ** state.fruitless, PATH_MTU_RAISE)) : PATH_MTU_RAISE;
  const raiseAt = state.mtu >= input.ceiling ? undefined : later(input.now, pause);
  const rested = { ...state, failed: Number.POSITIVE_INFINITY, raiseAt, fruitless: state.fruitless + 1 };
  const verifyAt = input.matters ? later(state.confirmedAt, input.verifyEvery) : undefined;
  return { state: rested, probe: undefined, alone: false, nextAt: earliest(raiseAt, verifyAt) };
}

/**
 * The size to try next: Ethernet's first, since most paths have it. Where that arrived, the jumbo sizes in use from the
 * smallest up, and no further than the first that does not arrive: between them lies nothing worth probing for. Where it
 * did not, the middle of the common sizes that are left, then halving what remains. Undefined: nothing is worth trying.
 */
function nextSize(state: PathMtuState, input: PathMtuInput): number | undefined {
  const header = ipAndUdp(input.family);
  const ceiling = Math.min(input.ceiling, PATH_MTU_MAX);
  const below = Math.min(state.failed, ceiling + 1);
  if (state.mtu >= ceiling || below - state.mtu <= 1) return undefined;
  if (state.mtu < PATH_MTU_BASE && below > PATH_MTU_BASE) return PATH_MTU_BASE;
  const common = [...COMMON_LINK_MTUS.map((link) => link - header), ceiling].filter((s) => s > state.mtu && s < below);
  const ethernet = LINK_MTU_ASSUMED - header;
  if (state.mtu >= ethernet) return state.failed === Number.POSITIVE_INFINITY ? Math.min(...common) : undefined;
  if (state.failed === Number.POSITIVE_INFINITY) return Math.min(ethernet, ceiling);
  if (common.length > 0) return common[common.length >> 1];
  return below - state.mtu > PATH_MTU_STEP ? (below + state.mtu) >> 1 : undefined;
}

/** So many probes that all of them are lost by chance once in 100,000 times, whatever the path loses anyway. */
function patience(loss: number): number {
  const chance = Math.min(loss + LOSS_MARGIN, 0.95);
  return Math.max(PATH_MTU_PROBES, Math.ceil(Math.log(1e-5) / Math.log(chance)));
}

const LONG_AGO = Number.NEGATIVE_INFINITY as Instant;

/** The loss figure is an estimate from few probes. */
const LOSS_MARGIN = 0.08;

function timer(input: PathMtuInput): Duration {
  return ms(Math.min(Math.max(1.5 * input.timeout, PATH_MTU_TIMER_MIN), PATH_MTU_TIMER_MAX));
}
