import type { Duration, Instant } from '../base/brand.ts';
import type { DownReply, DrainReply } from '../control/protocol.ts';
import type { ControlServer } from '../control/server.ts';
import type { TunnelFace } from '../tunnel/face.ts';
import type { Driver } from './driver.ts';
import type { Hooks } from './hooks.ts';
import type { HostSync } from './host/host-sync.ts';
import type { Log } from './log.ts';
import type { ServiceManager } from './notify.ts';
import type { UndoStack } from './undo.ts';
import type { Views } from './views.ts';
import { within } from './within.ts';

/** A tunnel that is told to close has done so within this, ms; what has not is cut off. */
const CLOSE_LIMIT = 1_000;

/** Time for the last datagrams (close_notify) to leave the data plane before it is closed, ms. */
const LINGER = 20;

/** The parts of a daemon that stopping takes hold of. Functions are asked at the time. */
export interface Stoppable {
  readonly clock: () => Instant;
  readonly log: Log;
  readonly manager: ServiceManager;
  readonly views: Views;
  readonly hooks: Hooks;
  readonly hostSync: HostSync;
  /** Everything but the control socket, which must outlive the reply to `down`. */
  readonly undo: UndoStack;
  /** Undefined while the tunnel is still starting. */
  readonly driver: () => Driver | undefined;
  readonly control: () => ControlServer | undefined;
  /** The hook that is run last, and what it is told. */
  readonly onDown: () => readonly string[] | undefined;
  readonly hookEnvironment: () => Readonly<Record<string, string>>;
  /** Gives up an upgrade under way. True: too late, another process has the tunnel. */
  readonly interruptUpgrade: () => Promise<boolean>;
}

/** The end of a daemon: draining, stopping, and taking everything back. */
export class Shutdown {
  readonly #daemon: Stoppable;
  /** Resolves with the sessions left when the tunnel has drained or closed, whoever asked for it. */
  readonly #finished: Promise<number>;
  #finish: (sessionsLeft: number) => void = () => undefined;
  #stopping: Promise<DownReply> | undefined;
  /** What tearing down has undone, in the words of `[-]` lines. */
  readonly #undone: string[] = [];
  /** Done last, when nothing of this process is left in the world. */
  #last: (() => void) | undefined;
  #end: (status: number) => void = () => undefined;

  /** The exit status, once everything is undone. */
  readonly ended: Promise<number>;

  constructor(daemon: Stoppable) {
    this.#daemon = daemon;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Somebody has ordered it. */
  get begun(): boolean {
    return this.#stopping !== undefined;
  }

  /** The tunnel has drained or closed. */
  finished(sessionsLeft: number): void {
    this.#finish(sessionsLeft);
  }

  /** A change of the host was taken back. */
  undone(change: string): void {
    this.#undone.push(change);
  }

  /** Resolves `ended` as things are. */
  end(status: number): void {
    this.#end(status);
  }

  /** Tells peers to fail over and waits until nothing is left or `timeoutMs` have passed. The daemon goes on. */
  async drain(timeoutMs: number): Promise<DrainReply> {
    if (await this.#daemon.interruptUpgrade()) return { result: 'drained', sessionsLeft: 0, durationMs: 0 };
    return this.#drain(timeoutMs);
  }

  /** Takes everything back; the process may end when `ended` resolves. Further calls wait for the first. */
  stop(status: number): Promise<DownReply> {
    this.#stopping ??= this.#stop(status);
    return this.#stopping;
  }

  /** Drains, stops, and has `last` done when nothing of this process is left in the world. */
  stopBefore(last: () => void, drainMs: number): void {
    this.#last = last;
    setImmediate(() => void this.#drain(drainMs).then(() => this.stop(0)));
  }

  async #drain(timeoutMs: number): Promise<DrainReply> {
    const { clock, log, manager } = this.#daemon;
    const began = clock();
    log.log({ event: 'daemon.drain', level: 'info', msg: 'draining', fields: { timeoutMs } });
    manager.status('draining');
    const sessionsLeft = await this.#until(
      (tunnel, now) => tunnel.drain(timeoutMs as Duration, now),
      timeoutMs + CLOSE_LIMIT,
    );
    const result = sessionsLeft === 0 ? 'drained' : 'timeout';
    return { result, sessionsLeft, durationMs: Math.round(clock() - began) };
  }

  async #stop(status: number): Promise<DownReply> {
    const { log, manager, views, hooks, hostSync, undo } = this.#daemon;
    // Too late: the new process was told, and undoes what is to be undone.
    if (await this.#daemon.interruptUpgrade()) return { changes: [], told: [] };
    const told = views
      .glance()
      .filter((peer) => peer.association !== undefined)
      .map((peer) => peer.name);
    manager.stopping('stopping');
    this.#undone.length = 0;
    await hostSync.stop();
    await this.#until((tunnel, now) => tunnel.close(now), CLOSE_LIMIT);
    await new Promise((resolve) => setTimeout(resolve, LINGER));
    const environment = this.#daemon.hookEnvironment();
    await undo.unwind();
    await hooks.run(this.#daemon.onDown(), environment);
    log.summarize();
    log.log({ event: 'daemon.stop', level: 'info', msg: 'stopped', fields: { exit: status } });
    // The reply that waits for this leaves first; closing the socket waits for it.
    setImmediate(() => {
      void (this.#daemon.control()?.close() ?? Promise.resolve()).then(() => {
        this.#last?.();
        this.#end(status);
      });
    });
    return { changes: [...this.#undone], told };
  }

  /** Gives an input that ends in `finished`; yields the sessions left, at the latest after `limitMs`. */
  async #until(give: (tunnel: TunnelFace, now: Instant) => void, limitMs: number): Promise<number> {
    const driver = this.#daemon.driver();
    // A driver that holds has handed its keys on: nothing may be said under them.
    if (driver?.holds === true) return 0;
    driver?.input(give);
    const established = (): number =>
      this.#daemon.views.glance().filter((peer) => peer.association !== undefined).length;
    return within(this.#finished, limitMs, established);
  }
}
