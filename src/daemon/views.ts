import type { z } from 'zod';
import type { Instant } from '../base/brand.ts';
import type { Settings } from '../config/settings.ts';
import type { HealthNote, StatusDocument } from '../control/status.ts';
import type { MetricsDetail } from '../metrics/event-metrics.ts';
import type { MetricsInput } from '../metrics/snapshot-metrics.ts';
import { endpointKey } from '../net/endpoint.ts';
import type { Plane } from '../plane/plane.ts';
import type { PeerGlance, PeerSnapshot } from '../tunnel/effects.ts';
import type { TunnelFace } from '../tunnel/face.ts';
import type { viewsState } from './upgrade/handover.ts';
import type { Host } from './host/host.ts';
import type { InForce } from './in-force.ts';
import type { DaemonEvent } from './log.ts';
import type { BuildInfo, DaemonParts } from './parts.ts';
import type { Recorder } from './recorder.ts';
import { reloadedAt } from './reload.ts';
import { statusDocumentOf, tunnelState } from './status.ts';

/** The time of day was set, or has crept away, when the clocks differ by this much more or less than before, ms. */
const CLOCKS_APART = 100;

/** What the views look at. Functions are asked at the time. */
export interface ViewsOptions {
  readonly parts: DaemonParts;
  readonly build: BuildInfo;
  readonly configFile: string;
  readonly pid: number;
  readonly recorder: Recorder;
  readonly inForce: () => InForce;
  readonly plane: () => Plane;
  /** Undefined until the tunnel was made. */
  readonly tunnel: () => TunnelFace | undefined;
  readonly host: Pick<Host, 'mtu' | 'remarks'>;
  readonly isStopping: () => boolean;
}

/** The daemon as others see it: status, metrics, readiness, one line for the service manager. Changes nothing. */
export class Views {
  readonly #options: ViewsOptions;
  #startedAt: Instant;
  /** Remarks about the host, each once. */
  readonly #warnings = new Set<string>();
  #state: { readonly name: string; readonly since: Instant };
  #lastReloadSuccessful = true;
  /** See `#clockDifference`. */
  #clocks: number | undefined;

  constructor(options: ViewsOptions) {
    this.#options = options;
    this.#startedAt = options.parts.clock();
    this.#state = { name: 'down', since: this.#startedAt };
  }

  /** When the daemon was started. */
  get startedAt(): Instant {
    return this.#startedAt;
  }

  /** For another process to go on with. */
  export(): z.input<typeof viewsState> {
    return {
      startedAt: this.#startedAt,
      state: this.#state,
      lastReloadSuccessful: this.#lastReloadSuccessful,
      clocks: this.#clocks,
      warnings: [...this.#warnings],
    };
  }

  /** Goes on with what another process remembered. */
  continueFrom({ startedAt, state, lastReloadSuccessful, clocks, warnings }: z.output<typeof viewsState>): void {
    this.#startedAt = startedAt;
    this.#state = state;
    this.#lastReloadSuccessful = lastReloadSuccessful;
    this.#clocks = clocks;
    for (const text of warnings) this.#warnings.add(text);
  }

  /** All peers now, in the order of the settings. */
  peers(): readonly PeerSnapshot[] {
    return this.#options.tunnel()?.snapshot(this.#options.parts.clock()) ?? [];
  }

  /** The same at a glance. */
  glance(): readonly PeerGlance[] {
    return this.#options.tunnel()?.glance() ?? [];
  }

  /** A peer has changed its state: perhaps the tunnel has as well. */
  peerChanged(): void {
    const name = tunnelState(this.glance());
    if (name !== this.#state.name) this.#state = { name, since: this.#options.parts.clock() };
  }

  /** Something about the host that an operator should see in the status. */
  warn(text: string): void {
    this.#warnings.add(text);
  }

  /** Outcome of the latest reload. */
  reloaded(successful: boolean): void {
    this.#lastReloadSuccessful = successful;
  }

  /** The status document. */
  status(): StatusDocument {
    const { parts, build, configFile, pid, recorder, inForce, plane, tunnel, host } = this.#options;
    const { settings, hash, generation, identity, certificateNotAfter } = inForce();
    const now = parts.clock();
    return statusDocumentOf({
      now,
      wallNow: now + this.#clockDifference(),
      settings,
      configFile,
      configHash: hash,
      generation,
      reloadedAt: reloadedAt(inForce()),
      startedAt: this.#startedAt,
      stateSince: this.#state.since,
      draining: tunnel()?.draining ?? false,
      device: plane().deviceName,
      deviceMtu: host.mtu,
      listening: plane().listening,
      features: plane().features,
      fingerprint: identity.fingerprint,
      certificateNotAfter,
      pid,
      version: build.version,
      peers: this.peers(),
      plane: plane().stats(),
      rtts: (peer) => recorder.rtts(peer),
      health: this.#health(),
    });
  }

  /** What a scrape is made from. */
  metricsInput(): MetricsInput {
    const { parts, build, inForce, plane, tunnel } = this.#options;
    const { settings, hash, certificateNotAfter, since } = inForce();
    const difference = this.#clockDifference();
    const wall = (at: Instant): number => (at + difference) / 1000;
    return {
      tunnel: settings.interface.name,
      detail: metricsDetailOf(settings),
      build: { ...build, node: process.version, dataplane: plane().features.aead },
      config: { hash, lastReloadSuccessful: this.#lastReloadSuccessful, lastSuccess: wall(since) },
      draining: tunnel()?.draining ?? false,
      localCertificateNotAfter: certificateNotAfter,
      peers: this.peers(),
      plane: plane().stats(),
      handshakesInProgress: tunnel()?.handshakes ?? 0,
      tunOverflows: parts.tunOverflows(plane().deviceName),
      controlMemory: process.memoryUsage().heapUsed,
      wall,
    };
  }

  /**
   * What an instant lacks to its time of day, ms. Kept as long as it holds, so that an instant has one time in every
   * status and scrape: readers compare them to see whether something is new.
   */
  #clockDifference(): number {
    const { parts } = this.#options;
    const difference = Math.round(parts.wallClock() - parts.clock());
    if (this.#clocks === undefined || Math.abs(difference - this.#clocks) > CLOCKS_APART) this.#clocks = difference;
    return this.#clocks;
  }

  /** Why the tunnel should get no traffic now; empty when it should. */
  notReady(): readonly string[] {
    const tunnel = this.#options.tunnel();
    if (tunnel === undefined) return ['starting'];
    if (this.#options.isStopping()) return ['stopping'];
    if (tunnel.draining) return ['draining'];
    const enabled = this.glance().filter((peer) => peer.state !== 'disabled');
    return enabled.length > 0 && !enabled.some((peer) => peer.up) ? ['no peer is up'] : [];
  }

  /** One line for `systemctl status`. */
  line(): string {
    const peers = this.glance();
    return `${peers.filter((peer) => peer.up).length} of ${peers.length} peer${peers.length === 1 ? '' : 's'} up`;
  }

  /** The state of every peer as events for the log. */
  events(): readonly DaemonEvent[] {
    return this.peers().map((peer) => ({
      event: 'daemon.status',
      level: 'info',
      msg: 'status',
      peer: peer.name,
      fields: {
        state: peer.state,
        endpoint: peer.association === undefined ? undefined : endpointKey(peer.association.path.remote),
        rttMs: peer.rtt === undefined ? undefined : Math.round(peer.rtt.smoothed * 10) / 10,
        lossRatio: peer.loss,
      },
    }));
  }

  #health(): readonly HealthNote[] {
    const { host, inForce } = this.#options;
    const texts = [...host.remarks(inForce().settings), ...this.#warnings];
    const notes = texts.map((text) => ({ code: 'host', text }));
    if (this.#lastReloadSuccessful) return notes;
    return [...notes, { code: 'reload-failed', text: 'the last reload was rejected: see dtunnel check' }];
  }
}

/** Beyond this many peers a scrape in full would hold the event loop up for longer than probes can wait. */
const MAX_DETAILED_PEERS = 1_000;

/** How much is told per peer: as configured, but a thousand peers at most in full. */
export function metricsDetailOf(settings: Settings): MetricsDetail {
  return settings.peers.length > MAX_DETAILED_PEERS ? 'summary' : settings.interface.metricsDetail;
}
