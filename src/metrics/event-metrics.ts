import { Counter, Histogram, type MetricValue, Registry } from 'prom-client';
import type { CloseCode } from '../dtls/effects.ts';
import type { IgnoreReason, TunnelEvent } from '../tunnel/effects.ts';
import type { Family, MetricKind, Sample } from './exposition.ts';

/** Label of `dtunnel_handshake_failures_total` for a reason to close; codes that are not renamed keep their name. */
const FAILURE_LABELS: Readonly<Partial<Record<CloseCode, string>>> = {
  peer_alert: 'peer_refused',
  no_common_suite: 'no_common_cipher',
  no_common_group: 'no_common_cipher',
  no_common_signature: 'no_common_cipher',
  cookie_loop: 'cookie',
  closed: 'aborted',
};

/** Failure labels every peer has from the start, so that the first failure already shows as an increase. */
const COMMON_FAILURES = [
  'timeout',
  'unknown_fingerprint',
  'peer_refused',
  'no_common_cipher',
  'bad_signature',
  'malformed',
  'cookie',
  'expired',
  'version',
  'aborted',
] as const;

const ROLES = ['client', 'server'] as const;
const STATES = ['disabled', 'resolving', 'connecting', 'up', 'degraded', 'down'] as const;
const REKEY_TRIGGERS = ['time', 'data', 'manual', 'peer'] as const;
const ENDPOINT_REASONS = ['roam', 'dns', 'failover', 'failback'] as const;

const IGNORE_REASONS: Readonly<Record<IgnoreReason, true>> = {
  starting: true,
  draining: true,
  late: true,
  unknown: true,
  full: true,
  rate: true,
  simultaneous: true,
  not_client_hello: true,
  malformed: true,
  fragmented: true,
  version: true,
};

/** Seconds; from a LAN's handshake to the last retransmission. */
const HANDSHAKE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Seconds; from one rack to two satellites. */
const RTT_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28];

/** Seconds; a drain's move, the 1.5 s of a warm standby, the 10 s without one. */
const FAILOVER_BUCKETS = [0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 5, 10, 15];

/** Seconds of delay of the event loop. */
const LAG_BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** Seconds packets wait while one process takes over from another. */
const GAP_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

/** Gaps that are handed on: a year of weekly upgrades, and many more. */
const GAPS_KEPT = 256;

const HANDOVER_RESULTS = ['completed', 'failed', 'incompatible'] as const;

/** What became of an upgrade. */
export type HandoverResult = (typeof HANDOVER_RESULTS)[number];

/** Upgrades of this and earlier processes, and the gaps of those that were completed, seconds. */
export type HandoverHistory = Readonly<Record<HandoverResult, number>> & { readonly gaps: readonly number[] };

/** `summary` counts per tunnel what `full` counts per peer. */
export type MetricsDetail = 'full' | 'summary';

/**
 * What is counted as it happens, where snapshots cannot tell afterwards. Peers are declared before their first event and
 * start at a true zero; forgetting a peer ends its series.
 */
export class EventMetrics {
  readonly #tunnel: string;
  #detail: MetricsDetail;
  readonly #registry = new Registry();
  /** Peers whose series exist; an event of a peer that is gone must not bring them back. */
  #peers: ReadonlySet<string> = new Set();
  readonly #declared = new Set<string>();
  readonly #perPeer: PeerCounter[] = [];
  readonly #histograms: Histogram<'tunnel' | 'peer' | 'role'>[] = [];

  readonly #stateChanges = this.#peerCounter(
    'dtunnel_peer_state_changes_total',
    'Changes of state by the state entered.',
    {
      to: STATES,
    },
  );
  readonly #handshakes = this.#peerCounter(
    'dtunnel_handshakes_total',
    'Handshakes that ended, by our role and result.',
    {
      role: ROLES,
      result: ['completed', 'failed'],
    },
  );
  readonly #failures = this.#peerCounter('dtunnel_handshake_failures_total', 'Failed handshakes by reason.', {
    reason: COMMON_FAILURES,
  });
  readonly #retransmits = this.#peerCounter('dtunnel_handshake_retransmits_total', 'Handshake flights sent again.', {});
  readonly #rekeys = this.#peerCounter('dtunnel_rekeys_total', 'Handshakes beside a working association.', {
    trigger: REKEY_TRIGGERS,
    result: ['completed', 'failed'],
  });
  readonly #probes = this.#peerCounter('dtunnel_peer_probes_total', 'Authenticated probes by what became of them.', {
    result: ['answered', 'lost'],
  });
  readonly #mtuChanges = this.#peerCounter('dtunnel_path_mtu_changes_total', 'Changes of the path MTU by direction.', {
    direction: ['up', 'down'],
  });
  readonly #endpointChanges = this.#peerCounter(
    'dtunnel_peer_endpoint_changes_total',
    'Changes of the address a peer is reached at, by reason.',
    { reason: ENDPOINT_REASONS },
  );
  readonly #handshakeDuration = this.#peerHistogram(
    'dtunnel_handshake_duration_seconds',
    'First flight to finished, of completed handshakes.',
    HANDSHAKE_BUCKETS,
    true,
  );
  readonly #rtt = this.#peerHistogram(
    'dtunnel_peer_rtt_seconds',
    'Round trip of authenticated probes.',
    RTT_BUCKETS,
    false,
  );

  readonly #failover = this.#peerHistogram(
    'dtunnel_failover_duration_seconds',
    'Last authenticated record on the path that failed to traffic on the next one.',
    FAILOVER_BUCKETS,
    false,
  );

  readonly #cookieChallenges = this.#counter('dtunnel_cookie_challenges_total', 'HelloVerifyRequests sent.', {});
  readonly #cookieChecks = this.#counter('dtunnel_cookie_checks_total', 'Cookies that came back, by verdict.', {
    result: ['valid', 'invalid', 'stale'],
  });
  readonly #ignored = this.#counter(
    'dtunnel_handshake_datagrams_ignored_total',
    'Datagrams that may have begun a handshake and did not, by reason.',
    { reason: Object.keys(IGNORE_REASONS) },
  );
  readonly #dns = this.#counter('dtunnel_dns_resolutions_total', 'Name look-ups by result.', {
    result: ['ok', 'nxdomain', 'timeout', 'unchanged'],
  });
  readonly #reloads = this.#counter('dtunnel_config_reloads_total', 'Reloads by result.', {
    result: ['applied', 'rejected', 'reverted'],
  });
  readonly #clockJumps = this.#counter('dtunnel_clock_jumps_total', 'Steps of the wall clock by direction.', {
    direction: ['forward', 'backward'],
  });
  readonly #logMessages = this.#counter('dtunnel_log_messages_total', 'Lines logged by level.', {
    level: ['debug', 'info', 'warn', 'error'],
  });
  readonly #logSuppressed = this.#counter(
    'dtunnel_log_suppressed_total',
    'Lines not logged because alike ones were many.',
    {
      event: [],
    },
  );
  readonly #handovers = this.#counter(
    'dtunnel_handovers_total',
    'Upgrades by result, those of earlier processes included.',
    {
      result: HANDOVER_RESULTS,
    },
  );
  /** The same, for the next process. */
  #handoverHistory: HandoverHistory = { completed: 0, failed: 0, incompatible: 0, gaps: [] };
  readonly #handoverGap: Histogram<'tunnel'>;
  readonly #lag: Histogram<'tunnel'>;

  constructor(tunnel: string, detail: MetricsDetail) {
    this.#tunnel = tunnel;
    this.#detail = detail;
    for (const counter of [this.#cookieChallenges, this.#cookieChecks, this.#dns, this.#reloads])
      counter.declare({ tunnel });
    for (const counter of [this.#clockJumps, this.#logMessages, this.#handovers, this.#ignored])
      counter.declare({ tunnel });
    if (detail === 'summary') this.#declare('');
    this.#lag = new Histogram({
      name: 'dtunnel_control_event_loop_lag_seconds',
      help: 'Delay of the control plane event loop, sampled.',
      labelNames: ['tunnel'],
      buckets: LAG_BUCKETS,
      registers: [this.#registry],
    });
    this.#lag.zero({ tunnel });
    this.#handoverGap = new Histogram({
      name: 'dtunnel_handover_gap_seconds',
      help: 'From the last packet of the old process to the first chance of the new one.',
      labelNames: ['tunnel'],
      buckets: GAP_BUCKETS,
      registers: [this.#registry],
    });
    this.#handoverGap.zero({ tunnel });
  }

  /**
   * Starts the series of `peers` at zero, and ends those of peers that are not among them. `summary` counts all of them
   * as one.
   */
  async setPeers(peers: readonly string[], detail = this.#detail): Promise<void> {
    this.#detail = detail;
    if (detail === 'summary') this.#declare('');
    const wanted = new Set(detail === 'full' ? peers : []);
    this.#peers = wanted;
    for (const name of wanted) this.#declare(name);
    const gone = [...this.#declared].filter((name) => name !== '' && !wanted.has(name));
    // What follows looks at every series there is: seconds for thousands of peers.
    if (gone.length === 0) return;
    for (const name of gone) this.#declared.delete(name);
    for (const counter of this.#perPeer) counter.keepOnly(wanted);
    for (const histogram of this.#histograms) {
      for (const { labels } of (await histogram.get()).values) {
        const { peer, role } = labels;
        if (typeof peer !== 'string' || peer === '' || wanted.has(peer)) continue;
        histogram.remove({ tunnel: this.#tunnel, peer, ...(role === undefined ? {} : { role }) });
      }
    }
  }

  /** Counts `event`. */
  record(event: TunnelEvent): void {
    switch (event.kind) {
      case 'peer-state':
        this.#stateChanges.inc(this.#labels(event.peer, { to: event.to }));
        return;
      case 'handshake-completed':
        this.#handshakes.inc(this.#labels(event.peer, { role: event.role, result: 'completed' }));
        this.#handshakeDuration.observe(this.#labels(event.peer, { role: event.role }), event.duration / 1000);
        this.#retransmits.inc(this.#labels(event.peer, {}), event.retransmissions);
        if (event.isRekey) this.#rekeys.inc(this.#labels(event.peer, { trigger: event.trigger, result: 'completed' }));
        return;
      case 'handshake-failed': {
        const reason = FAILURE_LABELS[event.reason.code] ?? event.reason.code;
        this.#handshakes.inc(this.#labels(event.peer, { role: event.role, result: 'failed' }));
        this.#failures.inc(this.#labels(event.peer, { reason }));
        if (event.isRekey) this.#rekeys.inc(this.#labels(event.peer, { trigger: event.trigger, result: 'failed' }));
        return;
      }
      case 'cookie':
        if (event.result === 'challenged') this.#cookieChallenges.inc({ tunnel: this.#tunnel });
        else this.#cookieChecks.inc({ tunnel: this.#tunnel, result: event.result });
        return;
      case 'handshake-ignored':
        this.#ignored.inc({ tunnel: this.#tunnel, reason: event.reason });
        return;
      case 'probe':
        this.#probes.inc(this.#labels(event.peer, { result: event.result }));
        if (event.rtt !== undefined) this.#rtt.observe(this.#labels(event.peer, {}), event.rtt / 1000);
        return;
      case 'endpoint-changed':
        this.#endpointChanges.inc(this.#labels(event.peer, { reason: event.reason }));
        if (event.reason === 'failover' && event.silence !== undefined)
          this.#failover.observe(this.#labels(event.peer, {}), event.silence / 1000);
        return;
      case 'path-mtu':
        this.#mtuChanges.inc(this.#labels(event.peer, { direction: event.direction }));
        return;
      case 'dns':
        this.#dns.inc({ tunnel: this.#tunnel, result: event.result });
        return;
      default:
        // Other events change nothing that is counted here.
        return;
    }
  }

  /** Counts a reload. */
  reload(result: 'applied' | 'rejected' | 'reverted'): void {
    this.#reloads.inc({ tunnel: this.#tunnel, result });
  }

  /** Counts an upgrade; `gapSeconds` when it was completed. */
  handover(result: HandoverResult, gapSeconds?: number): void {
    const tunnel = this.#tunnel;
    const { gaps, ...counts } = this.#handoverHistory;
    const kept = gapSeconds === undefined ? gaps : [...gaps, gapSeconds].slice(-GAPS_KEPT);
    this.#handoverHistory = { ...counts, [result]: counts[result] + 1, gaps: kept };
    this.#handovers.inc({ tunnel, result });
    if (gapSeconds !== undefined) this.#handoverGap.observe({ tunnel }, gapSeconds);
  }

  /** Upgrades so far: an upgrade ends the process that counted it. */
  get handovers(): HandoverHistory {
    return this.#handoverHistory;
  }

  /** Goes on with the upgrades of earlier processes. */
  continueFrom(history: HandoverHistory): void {
    const tunnel = this.#tunnel;
    this.#handoverHistory = history;
    for (const result of HANDOVER_RESULTS) this.#handovers.inc({ tunnel, result }, history[result]);
    for (const gap of history.gaps) this.#handoverGap.observe({ tunnel }, gap);
  }

  /** Counts a line that was logged. */
  logged(level: string): void {
    this.#logMessages.inc({ tunnel: this.#tunnel, level });
  }

  /** Counts lines that were not. */
  suppressed(event: string, lines = 1): void {
    this.#logSuppressed.inc({ tunnel: this.#tunnel, event }, lines);
  }

  /** Counts a step of the wall clock. */
  clockJumped(direction: 'forward' | 'backward'): void {
    this.#clockJumps.inc({ tunnel: this.#tunnel, direction });
  }

  /** A sample of how late the event loop is. */
  eventLoopLag(lagSeconds: number): void {
    this.#lag.observe({ tunnel: this.#tunnel }, lagSeconds);
  }

  /** Everything counted so far. */
  families(): AsyncIterable<Family> {
    return toFamilies(this.#registry);
  }

  #labels<T extends Readonly<Record<string, string>>>(peer: string | undefined, more: T) {
    return { tunnel: this.#tunnel, peer: peer !== undefined && this.#peers.has(peer) ? peer : '', ...more };
  }

  #declare(peer: string): void {
    // Zeroing what counts already would undo it.
    if (this.#declared.has(peer)) return;
    this.#declared.add(peer);
    const labels = { tunnel: this.#tunnel, peer };
    for (const counter of this.#perPeer) counter.declare(labels);
    this.#rtt.zero(labels);
    this.#failover.zero(labels);
    for (const role of ROLES) this.#handshakeDuration.zero({ ...labels, role });
  }

  #counter(name: string, help: string, extra: Readonly<Record<string, readonly string[]>>): PeerCounter {
    return new PeerCounter(this.#registry, name, help, ['tunnel'], extra);
  }

  #peerCounter(name: string, help: string, extra: Readonly<Record<string, readonly string[]>>): PeerCounter {
    const counter = new PeerCounter(this.#registry, name, help, ['tunnel', 'peer'], extra);
    this.#perPeer.push(counter);
    return counter;
  }

  #peerHistogram(name: string, help: string, buckets: number[], byRole: boolean) {
    const histogram = new Histogram<'tunnel' | 'peer' | 'role'>({
      name,
      help,
      labelNames: byRole ? ['tunnel', 'peer', 'role'] : ['tunnel', 'peer'],
      buckets,
      registers: [this.#registry],
    });
    this.#histograms.push(histogram);
    return histogram;
  }
}

/** A counter that remembers which label sets belong to which peer. */
class PeerCounter {
  readonly #counter: Counter;
  readonly #extra: Readonly<Record<string, readonly string[]>>;
  readonly #known = new Map<string, Map<string, Readonly<Record<string, string>>>>();

  constructor(
    registry: Registry,
    name: string,
    help: string,
    base: readonly string[],
    extra: Readonly<Record<string, readonly string[]>>,
  ) {
    this.#extra = extra;
    this.#counter = new Counter({ name, help, labelNames: [...base, ...Object.keys(extra)], registers: [registry] });
    // Without labels prom-client would start a nameless series at zero.
    this.#counter.reset();
  }

  /** Starts all combinations of the extra labels at zero. */
  declare(labels: Readonly<Record<string, string>>): void {
    for (const combination of combinations(Object.entries(this.#extra))) this.inc({ ...labels, ...combination }, 0);
  }

  /** Adds `by` to one series. */
  inc(labels: Readonly<Record<string, string>>, by = 1): void {
    const peer = labels['peer'] ?? '';
    // Series that name no peer stay.
    if (peer !== '') {
      const sets = this.#known.get(peer) ?? new Map<string, Readonly<Record<string, string>>>();
      this.#known.set(peer, sets);
      sets.set(JSON.stringify(labels), labels);
    }
    this.#counter.inc(labels, by);
  }

  /** Ends the series of peers outside `peers`. */
  keepOnly(peers: ReadonlySet<string>): void {
    for (const [peer, sets] of this.#known) {
      if (peers.has(peer)) continue;
      for (const labels of sets.values()) this.#counter.remove(labels);
      this.#known.delete(peer);
    }
  }
}

function combinations(
  axes: readonly (readonly [string, readonly string[]])[],
): readonly Readonly<Record<string, string>>[] {
  return axes.reduce<readonly Readonly<Record<string, string>>[]>(
    (sets, [name, values]) => sets.flatMap((set) => values.map((value) => ({ ...set, [name]: value }))),
    [{}],
  );
}

/** The metrics of a prom-client registry in our form. */
export async function* toFamilies(registry: Registry): AsyncGenerator<Family> {
  for (const { name } of registry.getMetricsAsArray()) {
    const metric = await registry.getSingleMetric(name)?.get();
    if (metric === undefined) continue;
    yield { name, help: metric.help, kind: kindOf(String(metric.type)), samples: metric.values.map(toSample) };
  }
}

function toSample(value: MetricValue<string>): Sample {
  const { labels, value: number } = value;
  return 'metricName' in value && typeof value.metricName === 'string'
    ? { name: value.metricName, labels, value: number }
    : { labels, value: number };
}

function kindOf(type: string): MetricKind {
  return type === 'counter' || type === 'histogram' ? type : 'gauge';
}
