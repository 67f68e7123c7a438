import type { z } from 'zod';
import type { Instant } from '../base/brand.ts';
import { assertNever } from '../base/invariant.ts';
import { shortCipherName } from '../control/cipher-name.ts';
import type { CloseReason } from '../dtls/effects.ts';
import type { EventMetrics } from '../metrics/event-metrics.ts';
import { endpointKey } from '../net/endpoint.ts';
import type { PeerState, TunnelEvent } from '../tunnel/effects.ts';
import type { recorderState } from './upgrade/handover.ts';
import type { DaemonEvent, EventId } from './log.ts';

/** Round trips remembered per peer, for percentiles. */
const RTT_SAMPLES = 128;

/** Reasons for which a certificate or a configuration is wrong, not the network: an operator must compare both ends. */
const REFUSALS: ReadonlySet<string> = new Set([
  'unknown_fingerprint',
  'no_certificate',
  'bad_certificate',
  'bad_signature',
  'no_common_suite',
  'no_common_group',
  'no_common_signature',
  'no_extended_master_secret',
  'version',
  'peer_alert',
]);

/** What is remembered of a peer between events. */
interface PeerMemory {
  readonly rtts: number[];
  failures: { readonly reason: string; readonly count: number } | undefined;
  lastHandshake: { readonly durationMs: number; readonly suite: string; readonly endpoint: string } | undefined;
}

/** Who is told of what happens. */
export interface RecorderOptions {
  readonly metrics: EventMetrics;
  readonly log: (event: DaemonEvent, now: Instant) => void;
  /** A peer has entered a state: hooks and waiting commands. */
  readonly onPeerState: (peer: string, from: PeerState, to: PeerState, reason: string) => void;
  /** A probe of a peer was answered or lost: `dtunnel ping`. */
  readonly onProbe: (peer: string, rttMs: number | undefined) => void;
}

/**
 * Turns what the tunnel reports into counters, log lines and the few memories that status needs. Decides what is worth
 * a line: a healthy peer costs less than ten a day.
 */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #peers = new Map<string, PeerMemory>();

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /** Round trips of recent probes to `peer` in ms, oldest first. */
  rtts(peer: string): readonly number[] {
    return this.#peers.get(peer)?.rtts ?? [];
  }

  /** Forgets peers that are not among `names`. */
  keepOnly(names: readonly string[]): void {
    const wanted = new Set(names);
    for (const name of this.#peers.keys()) if (!wanted.has(name)) this.#peers.delete(name);
  }

  /** For another process to go on with. Handshakes under way end with this one. */
  export(): z.input<typeof recorderState> {
    return [...this.#peers].map(([peer, { rtts, failures, lastHandshake }]) => ({
      peer,
      rtts: [...rtts],
      failures: failures === undefined ? undefined : { ...failures },
      lastHandshake,
    }));
  }

  /** Goes on with what another process remembered. */
  continueFrom(peers: z.output<typeof recorderState>): void {
    for (const { peer, rtts, failures, lastHandshake } of peers)
      this.#peers.set(peer, { rtts, failures, lastHandshake });
  }

  /** Takes note of `event`. */
  record(event: TunnelEvent, now: Instant): void {
    this.#options.metrics.record(event);
    const line = this.#line(event);
    if (line !== undefined) this.#options.log(line, now);
  }

  #line(event: TunnelEvent): DaemonEvent | undefined {
    switch (event.kind) {
      case 'peer-state':
        return this.#peerState(event);
      case 'handshake-started':
        return {
          event: 'handshake.started',
          level: 'debug',
          msg: 'handshake started',
          peer: event.peer,
          fields: { role: event.role, remote: endpointKey(event.path.remote), trigger: event.trigger },
        };
      case 'handshake-completed':
        return this.#completed(event);
      case 'handshake-failed':
        return this.#failed(event);
      case 'handshake-ignored':
        return {
          event: 'handshake.ignored',
          level: 'debug',
          msg: 'datagram ignored',
          fields: { remote: endpointKey(event.path.remote), reason: event.reason },
        };
      case 'peer-closed':
        return {
          event: 'peer.closed',
          level: 'info',
          msg: 'association closed',
          peer: event.peer,
          fields: reasonFields(event.reason),
        };
      case 'probe':
        return this.#probe(event);
      case 'endpoint-changed':
        return {
          event: ENDPOINT_EVENTS[event.reason],
          level: event.reason === 'failover' ? 'warn' : 'info',
          msg: 'peer is reached at another endpoint',
          peer: event.peer,
          fields: { endpoint: endpointKey(event.path.remote) },
        };
      case 'path-mtu':
        return {
          event: 'mtu.changed',
          level: 'info',
          msg: 'path MTU changed',
          peer: event.peer,
          fields: { datagramBytes: event.mtu, direction: event.direction },
        };
      case 'dns':
        if (event.result === 'ok' || event.result === 'unchanged') return undefined;
        return {
          event: 'dns.failed',
          level: 'warn',
          msg: 'name look-up failed',
          fields: { host: event.host, reason: event.result },
        };
      case 'cookie':
      case 'trial':
      case 'unattributed':
        return undefined;
      default:
        return assertNever(event, 'tunnel event');
    }
  }

  #peerState(event: Extract<TunnelEvent, { kind: 'peer-state' }>): DaemonEvent {
    const { peer, from, to, reason } = event;
    this.#options.onPeerState(peer, from, to, reason);
    const memory = this.#memory(peer);
    const isLoss = (from === 'up' || from === 'degraded') && to !== 'up' && to !== 'degraded';
    if (to === 'up') {
      memory.failures = undefined;
      const { lastHandshake } = memory;
      return {
        event: 'peer.up',
        level: 'info',
        msg: 'peer up',
        peer,
        fields: {
          endpoint: lastHandshake?.endpoint,
          handshakeMs: lastHandshake?.durationMs,
          cipher: lastHandshake === undefined ? undefined : shortCipherName(lastHandshake.suite),
        },
      };
    }
    if (to === 'degraded')
      return { event: 'peer.degraded', level: 'warn', msg: 'peer degraded', peer, fields: { reason } };
    if (isLoss)
      return {
        event: 'peer.down',
        level: to === 'disabled' ? 'info' : 'warn',
        msg: 'peer down',
        peer,
        fields: { reason },
      };
    return { event: 'peer.state', level: 'debug', msg: 'peer state changed', peer, fields: { from, to, reason } };
  }

  #completed(event: Extract<TunnelEvent, { kind: 'handshake-completed' }>): DaemonEvent {
    const memory = this.#memory(event.peer);
    memory.failures = undefined;
    memory.lastHandshake = {
      durationMs: Math.round(event.duration),
      suite: event.suite,
      endpoint: endpointKey(event.path.remote),
    };
    return {
      event: event.isRekey ? 'rekey.done' : 'handshake.completed',
      // Every hour and for every peer: not a line for quiet days.
      level: 'debug',
      msg: event.isRekey ? 'new keys in use' : 'handshake completed',
      peer: event.peer,
      fields: {
        role: event.role,
        trigger: event.trigger,
        handshakeMs: Math.round(event.duration),
        cipher: shortCipherName(event.suite),
        retransmissions: event.retransmissions,
      },
    };
  }

  #failed(event: Extract<TunnelEvent, { kind: 'handshake-failed' }>): DaemonEvent {
    const { peer, reason, retryIn } = event;
    const isRefusal = REFUSALS.has(reason.code);
    const id: EventId = event.isRekey ? 'rekey.failed' : isRefusal ? 'handshake.refused' : 'handshake.failed';
    // A site that stays away is worth a line at the 1st, 2nd, 4th, 8th … attempt.
    const attempts = peer === undefined ? 1 : this.#countFailure(peer, reason.code);
    const isPowerOfTwo = (attempts & (attempts - 1)) === 0;
    return {
      event: id,
      level: isPowerOfTwo ? 'warn' : 'debug',
      msg: failureText(reason),
      peer,
      fields: {
        remote: endpointKey(event.path.remote),
        ...reasonFields(reason),
        attempts: attempts > 1 ? attempts : undefined,
        retryMs: retryIn === undefined ? undefined : Math.round(retryIn),
      },
    };
  }

  #probe(event: Extract<TunnelEvent, { kind: 'probe' }>): DaemonEvent {
    this.#options.onProbe(event.peer, event.rtt);
    if (event.rtt !== undefined) {
      const { rtts } = this.#memory(event.peer);
      rtts.push(event.rtt);
      if (rtts.length > RTT_SAMPLES) rtts.shift();
    }
    return {
      event: event.result === 'answered' ? 'probe.answered' : 'probe.lost',
      level: 'trace',
      msg: `probe ${event.result}`,
      peer: event.peer,
      fields: { rttMs: event.rtt },
    };
  }

  #countFailure(peer: string, reason: string): number {
    const memory = this.#memory(peer);
    const count = memory.failures?.reason === reason ? memory.failures.count + 1 : 1;
    memory.failures = { reason, count };
    return count;
  }

  #memory(peer: string): PeerMemory {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const fresh: PeerMemory = { rtts: [], failures: undefined, lastHandshake: undefined };
    this.#peers.set(peer, fresh);
    return fresh;
  }
}

const ENDPOINT_EVENTS = {
  roam: 'peer.roamed',
  dns: 'dns.changed',
  failover: 'peer.failover',
  failback: 'peer.failback',
} as const satisfies Record<string, EventId>;

/** What both ends saw and expected, as fields. */
function reasonFields(reason: CloseReason): Readonly<Record<string, string | number | undefined>> {
  const isFingerprint = reason.code === 'unknown_fingerprint';
  return {
    reason: reason.code,
    by: reason.by,
    alert: reason.alert,
    ...(isFingerprint ? { fingerprint: reason.seen } : { seen: reason.seen }),
    expected: reason.expected,
  };
}

function failureText(reason: CloseReason): string {
  if (reason.code === 'timeout') return 'nobody answered';
  if (reason.code === 'unknown_fingerprint') return 'refused unknown certificate';
  return reason.by === 'peer' ? 'the peer refused the handshake' : 'handshake failed';
}

/** The value below which `share` of `samples` lie; undefined for none. */
export function percentile(samples: readonly number[], share: number): number | undefined {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}
