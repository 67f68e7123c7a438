import { type Duration, type Instant, between, later, ms } from '../base/brand.ts';
import {
  CHECK_BUSY_MIN,
  CHECK_GRID,
  CHECK_IDLE_MAX,
  KEEPALIVE_AUTO,
  KEEPALIVE_LEAD,
  KEEPALIVES_PER_MEASURE,
  PROBE_DOWN,
  PROBE_FAST_MAX,
  PROBE_FAST_MIN,
  REST_MAX,
  STANDBY_INTERVAL,
} from './limits.ts';

/**
 * How an association answers. Silence counts from the first thing sent that should have been answered and was not: an
 * idle association is not silent, it is not being asked.
 *
 * `troubled`: long enough without an answer to call beside it · `suspect`: to use another that answers · `dead`: down.
 */
export type Health = 'alive' | 'troubled' | 'suspect' | 'dead';

/** What liveness remembers between checks. */
export interface LivenessState {
  /** When the first thing was sent that is still unanswered. */
  readonly askedAt: Instant | undefined;
  /** Probes sent since then. */
  readonly unanswered: number;
  readonly lastProbe: Instant;
  readonly lastCheck: Instant;
  /** When the next check was due: a check that comes much later shows that this process, not the peer, was away. */
  readonly plannedCheck: Instant;
}

/** What is known at a check. */
export interface LivenessInput {
  readonly now: Instant;
  /** When the latest authenticated record came. */
  readonly lastReceive: Instant;
  /** Inner packets were sent since the last check. */
  readonly sent: boolean;
  /** Inner packets have gone one way or the other lately. */
  readonly busy: boolean;
  /** Pause between looks at the counters while there is traffic. */
  readonly checkBusy: Duration;
  /** Least pause between them while there is none. */
  readonly checkIdle: Duration;
  /** Pause between probes while there is traffic. */
  readonly measure: Duration;
  /** What the association is for: our traffic, a warm standby, or nothing of ours. */
  readonly purpose: 'current' | 'standby' | 'unused';
  /** The far end answers probes (ALPN dtunnel/1). */
  readonly answersProbes: boolean;
  /** Longest idle time without a probe; undefined: none is sent when idle. */
  readonly keepalive: Duration | undefined;
  /** When the far end last asked us while all it had asked before was answered; undefined: never, or not lately. */
  readonly questioned: Instant | undefined;
  /** This end asks first when both would at the same time. */
  readonly leads: boolean;
  readonly deadAfter: Duration;
  /** When an answer is overdue on this path. */
  readonly timeout: Duration;
  /** Share of probes lost lately, 0 … 1: the more, the more are sent before judging. */
  readonly loss: number;
}

/** What to do after a check. */
export interface LivenessDecision {
  readonly state: LivenessState;
  /** `padded`: large enough for a restarted end to answer with a hello. */
  readonly probe: 'none' | 'small' | 'padded';
  readonly health: Health;
  readonly nextCheck: Instant;
  /** Undefined: the next check has to judge. */
  readonly rest: Rest | undefined;
}

/** Nothing is asked and nothing flows: before `until` the only news can be a counter that moved. */
export interface Rest {
  /** The next probe, or when to judge again without one. */
  readonly until: Instant;
  readonly keepalive: Duration | undefined;
  readonly leads: boolean;
}

/** Idle time before a probe, from the setting; undefined: an idle association is not probed. */
export function keepaliveOf(setting: Duration | 'auto' | 'off'): Duration | undefined {
  if (setting === 'off') return undefined;
  return setting === 'auto' ? KEEPALIVE_AUTO : setting;
}

/** The state of an association established at `now`. */
export function newLiveness(now: Instant): LivenessState {
  return { askedAt: undefined, unanswered: 0, lastProbe: now, lastCheck: now, plannedCheck: now };
}

/** The state with a question pending since `since`: the next check probes at once. */
export function askAtOnce(state: LivenessState, now: Instant, since: Instant): LivenessState {
  return { ...state, askedAt: state.askedAt ?? since, lastProbe: NEVER, plannedCheck: now };
}

/** Judges an association and says whether to probe it. */
export function decideLiveness(before: LivenessState, input: LivenessInput): LivenessDecision {
  const { now } = input;
  const deadAfter = ms(Math.max(input.deadAfter, 3 * input.timeout));
  const askedAt = stillAsked(before, input);
  const unanswered = askedAt === undefined ? 0 : before.unanswered;
  const silence = askedAt === undefined ? ms(0) : between(askedAt, now);
  const health = judge(silence, unanswered, deadAfter, input);

  const due = probeDue({ ...before, askedAt, unanswered }, input, silence, deadAfter);
  const probing = due !== undefined && due <= now;
  const state: LivenessState = {
    askedAt: probing ? (askedAt ?? now) : askedAt,
    unanswered: probing ? unanswered + 1 : unanswered,
    lastProbe: probing ? now : before.lastProbe,
    lastCheck: now,
    plannedCheck: now,
  };
  const nextCheck = nextCheckAfter(state, input, deadAfter);
  return {
    state: { ...state, plannedCheck: nextCheck },
    probe: probing ? (unanswered > 0 ? 'padded' : 'small') : 'none',
    health,
    nextCheck,
    rest: restOf(state, input, deadAfter),
  };
}

/** The rest of one that the far end has just asked something: its own question can wait. */
export function questionedAtRest({ lastProbe }: LivenessState, rest: Rest, now: Instant): Rest {
  const { keepalive, leads } = rest;
  if (keepalive === undefined) return rest;
  return { ...rest, until: onGrid(keepaliveDue(lastProbe, keepalive, { questioned: now, leads }), now) };
}

/** How often to look whether counters of associations at rest have moved. `checkIdle`: the least pause between looks. */
export function lookInterval(deadAfter: Duration, checkIdle: Duration): Duration {
  const usual = Math.min(Math.max(deadAfter / 4, CHECK_BUSY_MIN), CHECK_IDLE_MAX);
  return ms(Math.max(usual, Math.min(checkIdle, deadAfter / 2)));
}

/** Since when an answer is missing. */
function stillAsked(before: LivenessState, input: LivenessInput): Instant | undefined {
  const { now, lastReceive } = input;
  const pending = before.askedAt !== undefined && lastReceive <= before.askedAt ? before.askedAt : undefined;
  if (pending !== undefined) {
    // This process was stopped or the machine suspended: the silence of that time says nothing about the peer.
    return between(before.plannedCheck, now) > STALL ? now : pending;
  }
  // Something was sent after the previous check and nothing has come since that check: it was sent then at the earliest.
  if (input.sent && lastReceive < before.lastCheck) return before.lastCheck;
  // Something was sent and it has been quiet for longer than an answer takes. It may have been sent before that: where
  // DeadAfter is short, asking makes sure.
  const quiet = between(lastReceive, now) > Math.max(input.timeout, input.deadAfter * QUIET_SHARE);
  const askable = input.answersProbes && between(before.lastProbe, now) >= ASK_AGAIN;
  return input.sent && quiet && askable ? now : undefined;
}

function judge(silence: Duration, unanswered: number, deadAfter: Duration, input: LivenessInput): Health {
  if (input.purpose === 'unused') {
    return between(input.lastReceive, input.now) <= 3 * STANDBY_INTERVAL ? 'alive' : 'suspect';
  }
  // Under loss a few unanswered probes mean nothing; a plain peer is judged by its silence alone.
  const enough = !input.answersProbes || unanswered >= 5 + 20 * input.loss;
  if (silence >= deadAfter && (unanswered >= 3 || !input.answersProbes)) return 'dead';
  if (silence >= deadAfter * SUSPECT_SHARE && enough) return 'suspect';
  if (silence >= Math.min(deadAfter / 2, Math.max(TROUBLED_AFTER, 4 * input.timeout)) && enough) return 'troubled';
  return 'alive';
}

/** When the next probe is due; undefined: never. */
function probeDue(
  state: Pick<LivenessState, 'askedAt' | 'unanswered' | 'lastProbe'>,
  input: LivenessInput,
  silence: Duration,
  deadAfter: Duration,
): Instant | undefined {
  if (!input.answersProbes || input.purpose === 'unused') return undefined;
  if (state.askedAt !== undefined) {
    // The first question may have been an inner packet: then a probe follows at once.
    if (state.unanswered === 0) return input.now;
    if (state.unanswered === 1) return later(state.lastProbe, input.timeout);
    const usual = fastInterval(silence, deadAfter, input.loss);
    return later(state.lastProbe, state.unanswered < FIRST_PROBES ? ms(Math.min(usual, PROBE_FIRST)) : usual);
  }
  if (input.purpose === 'standby') return later(state.lastProbe, STANDBY_INTERVAL);
  if (input.busy) return later(state.lastProbe, ms(Math.min(input.measure, input.keepalive ?? input.measure)));
  return input.keepalive === undefined ? undefined : keepaliveDue(state.lastProbe, input.keepalive, input);
}

/**
 * One probe and its answer show both ends that the path takes both ways: whoever answered knows it when the question is
 * not repeated. So an end that is asked need not ask, until it has not been asked for a whole keepalive. Nobody hears of
 * trouble later than if both asked, and every so often it asks all the same, for figures of its own.
 */
function keepaliveDue(
  lastProbe: Instant,
  keepalive: Duration,
  { questioned, leads }: Pick<LivenessInput, 'questioned' | 'leads'>,
): Instant {
  const pause = leads ? keepalive * (1 - KEEPALIVE_LEAD) : keepalive;
  const since = Math.max(lastProbe, questioned ?? lastProbe);
  return Math.min(since + pause, lastProbe + keepalive * KEEPALIVES_PER_MEASURE) as Instant;
}

/** Some thirty probes before a peer is declared dead, more when many are lost anyway; slower once it is. */
function fastInterval(silence: Duration, deadAfter: Duration, loss: number): Duration {
  if (silence >= 2 * deadAfter) return ms(4 * PROBE_DOWN);
  if (silence >= deadAfter) return PROBE_DOWN;
  return ms(Math.min(Math.max(deadAfter / (30 + 100 * loss), PROBE_FAST_MIN), PROBE_FAST_MAX));
}

function nextCheckAfter(state: LivenessState, input: LivenessInput, deadAfter: Duration): Instant {
  const { now } = input;
  if (state.askedAt === undefined) {
    const probe = probeDue(state, { ...input, sent: false }, ms(0), deadAfter) ?? FOREVER;
    return onGrid(Math.min(now + restingPoll(input, deadAfter), probe), now);
  }
  const poll = Math.min(Math.max(deadAfter / 6, CHECK_BUSY_MIN), input.checkBusy);
  const probe = probeDue(state, { ...input, sent: false }, between(state.askedAt, now), deadAfter) ?? FOREVER;
  const soonest = Math.min(now + poll, probe);
  const dead = state.askedAt + deadAfter;
  const next = dead > now ? Math.min(soonest, dead) : soonest;
  return later(now, ms(Math.max(next - now, 1)));
}

/** Traffic and standbys keep being judged: what is looked at there changes from check to check. */
function restOf(state: LivenessState, input: LivenessInput, deadAfter: Duration): Rest | undefined {
  if (state.askedAt !== undefined || input.busy || input.sent || input.purpose !== 'current') return undefined;
  const { now, keepalive, leads } = input;
  const until = Math.min(probeDue(state, input, ms(0), deadAfter) ?? FOREVER, now + REST_MAX);
  return { until: onGrid(until, now), keepalive, leads };
}

/** Pause until the next look while no answer is missing. */
function restingPoll(input: LivenessInput, deadAfter: Duration): number {
  if (input.busy) return Math.min(Math.max(deadAfter / 6, CHECK_BUSY_MIN), input.checkBusy);
  return lookInterval(deadAfter, input.checkIdle);
}

/** Nothing waits for this look: it is taken with those of other associations. */
function onGrid(at: number, now: Instant): Instant {
  return later(now, ms(Math.max(Math.ceil(at / CHECK_GRID) * CHECK_GRID - now, 1)));
}

const FOREVER = Number.POSITIVE_INFINITY;

const NEVER = Number.NEGATIVE_INFINITY as Instant;

/** The first few probes follow each other faster, to tell a lost one from trouble soon. */
const FIRST_PROBES = 6;
const PROBE_FIRST = ms(100);

/** Quiet that need not mean anything is asked about when it is this share of DeadAfter, and this often at most. */
const QUIET_SHARE = 0.1;
const ASK_AGAIN = ms(500);

/** A check this much later than planned means that we were not running. */
const STALL = ms(500);

/** Share of DeadAfter at which a standby that answers takes over, so that the whole failover fits in DeadAfter. */
const SUSPECT_SHARE = 0.6;

/** Silence at which calling beside the association is worth it even when DeadAfter is long. */
const TROUBLED_AFTER = ms(600);
