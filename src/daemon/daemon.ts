import type { Instant } from '../base/brand.ts';
import { DtunnelError } from '../base/errors.ts';
import { socketNames, socketPath } from '../control/paths.ts';
import type { DownReply, DrainReply, UpgradeReply, UpgradeRequest } from '../control/protocol.ts';
import { ControlServer } from '../control/server.ts';
import type { StatusDocument } from '../control/status.ts';
import { formatFingerprint } from '../crypto/fingerprint.ts';
import { EventMetrics } from '../metrics/event-metrics.ts';
import { MetricsRegistry } from '../metrics/registry.ts';
import type { Plane, PlaneEvent, PlaneOptions } from '../plane/plane.ts';
import type { PeerState, TunnelEvent } from '../tunnel/effects.ts';
import type { TunnelFace } from '../tunnel/face.ts';
import {
  bugEvent,
  clockEvent,
  expiryEvent,
  hostChangedEvent,
  hostWarningEvent,
  memoryEvent,
  networkEvent,
  planeEvent,
  readyEvent,
  rotatedEvent,
  reloadEvent,
  upgradingEvent,
} from './announcements.ts';
import { controlHandlers } from './control-handlers.ts';
import { type DaemonOptions, daemonLog } from './daemon-options.ts';
import { Driver, type PlaneNotice } from './driver.ts';
import { ExpiryNotices } from './expiry.ts';
import { Hooks } from './hooks.ts';
import { Host } from './host/host.ts';
import { HostSync, routedHost } from './host/host-sync.ts';
import { type Configuration, type InForce, readConfiguration } from './in-force.ts';
import { LastKnownFile, lastKnownPath } from './last-known.ts';
import type { DaemonEvent, Log } from './log.ts';
import { changeMarkedHost } from './host/marked-host.ts';
import { MetricsService } from './metrics-service.ts';
import { ServiceManager } from './notify.ts';
import { PacedLooks } from './pace.ts';
import { Pinger } from './pinger.ts';
import { planeOptions } from './plane-options.ts';
import { Recorder } from './recorder.ts';
import { Reloader } from './reload.ts';
import { Rotation } from './rotation.ts';
import { Shutdown } from './shutdown.ts';
import { type Starting, startAfresh } from './start-afresh.ts';
import { statusPage } from './status-page.ts';
import { goOn } from './upgrade/go-on.ts';
import type { Takeover } from './upgrade/takeover.ts';
import { UndoStack } from './undo.ts';
import { Upgrade } from './upgrade/upgrade.ts';
import { type Upgradeable, upgradeTarget } from './upgrade/target.ts';
import { watchSurroundings } from './surroundings.ts';
import { metricsDetailOf, Views } from './views.ts';

/**
 * One running tunnel: the composition root. Starting is all or nothing; stopping takes everything back. Whatever touches
 * the world comes in through `DaemonParts`.
 */
export class Daemon {
  readonly #options: DaemonOptions;
  readonly #log: Log;
  readonly #metrics: EventMetrics;
  readonly #recorder: Recorder;
  readonly #hooks: Hooks;
  readonly #manager: ServiceManager;
  readonly #host: Host;
  readonly #hostSync: HostSync;
  readonly #pinger = new Pinger();
  readonly #expiry = new ExpiryNotices();
  /** Looks at all peers when some have changed. */
  readonly #looks = new PacedLooks(() => {
    if (this.#shutdown.begun) return;
    this.#views.peerChanged();
    this.#manager.status(this.#views.line());
  });
  readonly #views: Views;
  readonly #registry: MetricsRegistry;
  readonly #metricsService: MetricsService;
  readonly #reloader: Reloader;
  readonly #rotation: Rotation;
  /** What an upgrade takes hold of. */
  readonly #pieces: Upgradeable;
  readonly #upgrade: Upgrade;
  readonly #shutdown: Shutdown;
  /** Everything but the control socket, which must outlive the reply to `down`. */
  readonly #undo: UndoStack;
  readonly #lastKnown: LastKnownFile;

  #inForce: InForce;
  #plane: Plane | undefined;
  #tunnel: TunnelFace | undefined;
  #driver: Driver | undefined;
  #control: ControlServer | undefined;
  #stopWatching: () => void = () => undefined;

  private constructor(options: DaemonOptions, configuration: Configuration) {
    const { parts, build, configFile, pid } = options;
    const { interface: face } = configuration.settings;
    this.#options = options;
    const { generation, since } = options.takeover?.state ?? { generation: 1, since: parts.clock() };
    this.#inForce = { ...configuration, generation, since };
    const onBug = (error: unknown): void => this.#bug(error);
    this.#undo = new UndoStack(onBug);
    this.#metrics = new EventMetrics(face.name, metricsDetailOf(configuration.settings));
    this.#log = daemonLog(options, face, this.#metrics);
    this.#recorder = new Recorder({
      metrics: this.#metrics,
      log: (event, now) => this.#log.log(event, now),
      onPeerState: (peer, from, to, reason) => this.#peerState(peer, from, to, reason),
      onProbe: (peer, rttMs) => this.#pinger.probed(peer, rttMs),
    });
    this.#hooks = new Hooks((program, reason) =>
      this.#tell({ event: 'hook.failed', level: 'warn', msg: 'hook failed', fields: { program, reason } }),
    );
    this.#manager = new ServiceManager(parts.environment, parts.notify, pid);
    this.#host = new Host({
      ip: parts.ip,
      sysctl: parts.sysctl,
      isAlone: () => !socketNames(parts.runtimeDir).some((other) => other !== this.name),
      onChange: (change, done) => this.#hostChanged(change, done),
      onWarning: (text) => this.#hostWarning(text),
    });
    this.#views = new Views({
      parts,
      build,
      configFile,
      pid,
      recorder: this.#recorder,
      inForce: () => this.#inForce,
      plane: () => this.#running().plane,
      tunnel: () => this.#tunnel,
      host: this.#host,
      isStopping: () => this.#shutdown.begun,
    });
    const memory = lastKnownPath(this.name, parts.runtimeDir);
    this.#lastKnown = new LastKnownFile({
      path: memory,
      localAddresses: parts.localAddresses,
      onProblem: (what, reason) => this.#tell(memoryEvent(what, memory, reason)),
    });
    this.#hostSync = new HostSync(this.#host, (error) => this.#hostWarning(String(error)));
    this.#shutdown = new Shutdown({
      clock: parts.clock,
      log: this.#log,
      manager: this.#manager,
      views: this.#views,
      hooks: this.#hooks,
      hostSync: this.#hostSync,
      undo: this.#undo,
      driver: () => this.#driver,
      control: () => this.#control,
      onDown: () => this.#inForce.settings.interface.onDown,
      hookEnvironment: () => this.#hookEnvironment(),
      interruptUpgrade: () => this.#upgrade.interrupt(),
    });
    this.#registry = new MetricsRegistry(this.#metrics, () => this.#views.metricsInput());
    this.#metricsService = new MetricsService(
      {
        metrics: (format) => this.#registry.expose(format),
        notReady: () => this.#views.notReady(),
        page: () => statusPage(this.#views.status()),
      },
      onBug,
    );
    this.#rotation = new Rotation({
      settings: () => this.#inForce.settings.interface,
      readIdentity: parts.readIdentity,
      ask: (identity) => this.#running().driver.input((tunnel, now) => tunnel.trial(identity, now)),
    });
    this.#reloader = new Reloader({
      clock: parts.clock,
      plane: () => this.#running().plane,
      inForce: () => this.#inForce,
      read: () => readConfiguration(configFile, parts),
      changeHost: (settings) =>
        this.#hostSync.exclusive(() =>
          changeMarkedHost(
            routedHost(this.#host, () => this.#views.glance()),
            this.#running().plane,
            this.#inForce.settings,
            settings,
          ),
        ),
      changeMetrics: (next) => this.#metricsService.change(this.#inForce, next),
      adopt: (next) => this.#adopt(next),
      report: (outcome, detail) => this.#reloadOutcome(outcome, detail),
    });
    this.#pieces = {
      name: face.name,
      pid,
      version: build.version,
      configFile,
      parts,
      reloader: this.#reloader,
      host: this.#host,
      hostSync: this.#hostSync,
      views: this.#views,
      recorder: this.#recorder,
      metrics: this.#metrics,
      metricsService: this.#metricsService,
      manager: this.#manager,
      lastKnown: this.#lastKnown,
      inForce: () => this.#inForce,
      running: () => this.#running(),
      control: () => this.#control,
      isStopping: () => this.#shutdown.begun,
      stopWatching: () => this.#stopWatching(),
      end: (status) => this.#shutdown.end(status),
      stopBefore: (last, drainMs) => this.#shutdown.stopBefore(last, drainMs),
      tell: (event) => this.#tell(event),
    };
    this.#upgrade = new Upgrade(upgradeTarget(this.#pieces));
  }

  /** The exit status, once everything is undone. */
  get ended(): Promise<number> {
    return this.#shutdown.ended;
  }

  /** A tunnel that runs. Throws DtunnelError with nothing left behind. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const { takeover } = options;
    const daemon = new Daemon(options, takeover?.configuration ?? readConfiguration(options.configFile, options.parts));
    try {
      if (takeover === undefined) await daemon.#start();
      else await daemon.#continueFrom(takeover);
    } catch (error) {
      takeover?.failed(error);
      await daemon.#undo.unwind();
      await daemon.#control?.close();
      throw error;
    }
    return daemon;
  }

  /** Name of the tunnel. */
  get name(): string {
    return this.#inForce.settings.interface.name;
  }

  /** Everything about it now. */
  status(): StatusDocument {
    return this.#views.status();
  }

  /** Applies the file again; SIGHUP. A failure is told in the log and leaves everything as it was. */
  async reload(): Promise<void> {
    this.#manager.reloading(this.#options.parts.clock());
    try {
      await this.#reloader.reload({ plan: false, revert: false });
    } catch (error) {
      if (!(error instanceof DtunnelError)) this.#bug(error);
    } finally {
      this.#manager.ready(this.#views.line());
    }
  }

  /** Writes the state of every peer to the log; SIGUSR1. */
  logStatus(): void {
    for (const event of this.#views.events()) this.#tell(event);
  }

  /** Writes down what ends the process without any order. */
  logCrash(error: unknown): void {
    this.#tell(bugEvent('daemon.failed', error));
  }

  /** Replaces the process under the tunnel: the new one has every session and descriptor. */
  async upgrade(request: UpgradeRequest): Promise<UpgradeReply> {
    this.#upgrade.refuseOthers();
    this.#tell(upgradingEvent());
    return this.#upgrade.run(request);
  }

  /** The same for SIGUSR2, which has nobody to ask: it never interrupts traffic. The log says what became of it. */
  async upgradeBySignal(): Promise<void> {
    try {
      await this.upgrade({ restart: false });
    } catch (error) {
      if (!(error instanceof DtunnelError)) this.#bug(error);
    }
  }

  /** Tells peers to fail over and waits until nothing is left or `timeoutMs` have passed. The daemon goes on. */
  drain(timeoutMs: number): Promise<DrainReply> {
    return this.#shutdown.drain(timeoutMs);
  }

  /** Takes everything back; the process may end when `ended` resolves. Further calls wait for the first. */
  stop(status = 0): Promise<DownReply> {
    return this.#shutdown.stop(status);
  }

  async #start(): Promise<void> {
    await startAfresh(this.#starting());
    if (!this.#inForce.settings.interface.failClosed) this.#adjustHost();
    this.#watch();
    this.#announce();
    void this.#hooks.run(this.#inForce.settings.interface.onUp, this.#hookEnvironment());
  }

  async #continueFrom(takeover: Takeover): Promise<void> {
    await goOn(takeover, { ...this.#starting(), warn: (text) => this.#hostWarning(text) });
    this.#watch();
    this.#announce();
    this.#adjustHost();
    if (takeover.reload) await this.reload();
  }

  #starting(): Starting {
    return {
      ...this.#pieces,
      undo: this.#undo,
      makeTunnel: () => this.#makeTunnel(),
      serve: (beside) => this.#serve(beside),
      planeOptions: (mark) => this.#planeOptions(mark),
      drive: (tunnel, plane) => this.#drive(tunnel, plane),
    };
  }

  #planeOptions(mark: number | undefined): PlaneOptions {
    const { lanes } = this.#options.parts;
    return {
      ...planeOptions(this.#inForce.settings, { lanes, mark }),
      onEvent: (event) => this.#planeEvent(event),
    };
  }

  #makeTunnel(): TunnelFace {
    const { parts } = this.#options;
    const { settings, identity } = this.#inForce;
    const tunnel = parts.makeTunnel({
      settings,
      identity,
      crypto: parts.crypto,
      session: (slot) => this.#plane?.session(slot),
      changed: (part, parts) => this.#plane?.changedSessions(part, parts) ?? [],
      wallClock: () => parts.wallClock() / 1000,
      lastKnown: this.#lastKnown.read(),
    });
    this.#tunnel = tunnel;
    return tunnel;
  }

  #drive(tunnel: TunnelFace, plane: Plane): Driver {
    const { parts } = this.#options;
    this.#plane = plane;
    const driver = new Driver({
      tunnel,
      plane,
      clock: parts.clock,
      makeAlarm: parts.makeAlarm,
      resolve: parts.resolve,
      onEvent: (event, now) => this.#tunnelEvent(event, now),
      onFinished: (sessionsLeft) => this.#shutdown.finished(sessionsLeft),
      onPlaneNotice: (notice) => this.#planeNotice(notice),
    });
    this.#driver = driver;
    this.#undo.push(() => driver.stop());
    this.#undo.push(() => this.#lastKnown.stop());
    return driver;
  }

  /** Control socket: from here on others can ask. `beside`: once the daemon that has its place gives way. */
  async #serve(beside: boolean): Promise<void> {
    const { parts, pid, build } = this.#options;
    this.#control = await ControlServer.listen({
      path: socketPath(this.name, parts.runtimeDir),
      gid: parts.controlGid,
      handlers: controlHandlers({
        name: this.name,
        pid,
        version: build.version,
        log: this.#log,
        reloader: this.#reloader,
        peers: () => this.#views.peers(),
        status: () => this.#views.status(),
        rekey: (peer) => this.#running().driver.input((tunnel, now) => tunnel.rekey(peer, now)),
        drain: (timeoutMs) => this.drain(timeoutMs),
        upgrade: (request) => this.upgrade(request),
        refuseWhileUpgrading: () => this.#upgrade.refuseOthers(),
        stop: () => this.stop(),
        ping: (peer, timeoutMs) =>
          this.#pinger.ping(peer, timeoutMs, () =>
            this.#running().driver.input((tunnel, now) => tunnel.probe?.(peer.name, now)),
          ),
        rotateAsk: () => this.#rotation.ask(),
        fingerprint: () => formatFingerprint(this.#inForce.identity.fingerprint),
        metrics: () => this.#registry.expose('text'),
      }),
      onBug: (error) => this.#bug(error),
      beside,
    });
  }

  #watch(): void {
    const { plane, driver } = this.#running();
    this.#stopWatching = watchSurroundings({
      parts: this.#options.parts,
      manager: this.#manager,
      device: plane.deviceName,
      onLag: (seconds) => this.#metrics.eventLoopLag(seconds),
      onClockJump: (seconds) => {
        this.#metrics.clockJumped(seconds > 0 ? 'forward' : 'backward');
        this.#tell(clockEvent(seconds));
      },
      onMinute: () => {
        this.#log.summarize();
        this.#noticeExpiry();
      },
      onNetwork: () => {
        this.#tell(networkEvent());
        driver.enqueue((tunnel, now) => tunnel.networkChanged(this.#options.parts.localAddresses(), now));
      },
    });
    this.#undo.push(() => this.#stopWatching());
  }

  #announce(): void {
    const { clock } = this.#options.parts;
    this.#tell(readyEvent(this.#running().plane, clock() - this.#views.startedAt));
    this.#noticeExpiry();
    this.#manager.ready(this.#views.line());
  }

  #adopt(next: InForce): void {
    const rotated = next.identity.fingerprint !== this.#inForce.identity.fingerprint;
    this.#inForce = next;
    if (rotated) this.#tell(rotatedEvent(next.identity.fingerprint));
    const { settings, identity } = next;
    const names = settings.peers.map((peer) => peer.name);
    this.#log.setLevel(settings.interface.logLevel);
    this.#log.setFormat(this.#options.log.format(settings.interface.logFormat));
    this.#recorder.keepOnly(names);
    void this.#metrics.setPeers(names, metricsDetailOf(settings)).catch((error: unknown) => this.#bug(error));
    this.#running().driver.input((tunnel, now) => tunnel.reload(settings, identity, now));
    this.#adjustHost();
  }

  #reloadOutcome(outcome: 'applied' | 'reverted' | 'rejected', detail: string): void {
    this.#views.reloaded(outcome !== 'rejected');
    this.#metrics.reload(outcome);
    this.#tell(reloadEvent(outcome, detail));
  }

  #tunnelEvent(event: TunnelEvent, now: Instant): void {
    this.#recorder.record(event, now);
    if (event.kind === 'trial') this.#rotation.tried(event);
    if (event.kind === 'path-mtu' || event.kind === 'handshake-completed') this.#adjustHost();
    if (event.kind === 'endpoint-changed' || event.kind === 'handshake-completed') {
      this.#lastKnown.changed(() => this.#views.glance());
    }
  }

  #peerState(peer: string, from: PeerState, to: PeerState, reason: string): void {
    this.#looks.request(this.#inForce.settings.peers.length);
    const { failClosed, onPeerState } = this.#inForce.settings.interface;
    if (!failClosed) this.#adjustHost();
    void this.#hooks.run(onPeerState, {
      ...this.#hookEnvironment(),
      DTUNNEL_PEER: peer,
      DTUNNEL_STATE: to,
      DTUNNEL_PREVIOUS_STATE: from,
      DTUNNEL_REASON: reason,
    });
  }

  #adjustHost(): void {
    this.#hostSync.adjust(() => ({ settings: this.#inForce.settings, peers: this.#views.glance() }));
  }

  #planeEvent(event: PlaneEvent): void {
    if (this.#driver !== undefined) this.#driver.planeEvent(event);
    else if (event.kind === 'datagram') {
      // The sockets are open before the host is set up and the tunnel is there.
      const { path, at } = event;
      this.#recorder.record({ kind: 'handshake-ignored', path, reason: 'starting' }, at);
    } else if (event.kind === 'failed' || event.kind === 'offload-disabled') this.#planeNotice(event);
  }

  #planeNotice(notice: PlaneNotice): void {
    this.#tell(planeEvent(notice));
    // Ended as it is: blackholes outlive the device, so that nothing leaves in the clear until the next start.
    if (notice.kind === 'failed') this.#shutdown.end(1);
  }

  #noticeExpiry(): void {
    const own = { owner: undefined, notAfter: this.#inForce.certificateNotAfter };
    const peers = this.#views.glance().flatMap(({ name, association }) => {
      return association === undefined ? [] : [{ owner: name, notAfter: association.peerCertificateNotAfter }];
    });
    const due = this.#expiry.due([own, ...peers], this.#options.parts.wallClock() / 1000);
    for (const expiring of due) this.#tell(expiryEvent(expiring));
  }

  #hostChanged(change: string, done: 'made' | 'undone'): void {
    if (done === 'undone') this.#shutdown.undone(change);
    this.#tell(hostChangedEvent(change, done));
    this.#options.onChange(change, done);
  }

  #hostWarning(text: string): void {
    this.#views.warn(text);
    this.#tell(hostWarningEvent(text));
  }

  #hookEnvironment(): Readonly<Record<string, string>> {
    return {
      DTUNNEL_NAME: this.name,
      DTUNNEL_DEVICE: this.#plane?.deviceName ?? '',
      DTUNNEL_CONFIG: this.#options.configFile,
    };
  }

  #running(): { readonly plane: Plane; readonly tunnel: TunnelFace; readonly driver: Driver } {
    if (this.#plane === undefined || this.#tunnel === undefined || this.#driver === undefined) {
      throw new DtunnelError('S034', 'the tunnel is still starting');
    }
    return { plane: this.#plane, tunnel: this.#tunnel, driver: this.#driver };
  }

  #bug(error: unknown): void {
    this.#tell(bugEvent('control.bug', error));
  }

  #tell(event: DaemonEvent): void {
    this.#log.log(event);
  }
}
