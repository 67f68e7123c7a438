/** What the service manager is told (sd_notify(3)); silent when there is none. */

/** Sends a state string to the manager's socket. */
export type SendNotification = (socket: string, state: string) => void;

/** What `ServiceManager` needs of its environment. */
export interface NotifyEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly WATCHDOG_USEC?: string | undefined;
  readonly WATCHDOG_PID?: string | undefined;
}

/** Tells systemd how the daemon is. Failures to tell are ignored: the manager draws its own conclusions. */
export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #send: SendNotification;
  /** Half the manager's patience, ms (sd_watchdog_enabled(3) recommends half); undefined: no watchdog. */
  readonly watchdogInterval: number | undefined;

  constructor(environment: NotifyEnvironment, send: SendNotification, pid = process.pid) {
    this.#socket = environment.NOTIFY_SOCKET === '' ? undefined : environment.NOTIFY_SOCKET;
    this.#send = send;
    const microseconds = Number(environment.WATCHDOG_USEC ?? 0);
    const isOurs = environment.WATCHDOG_PID === undefined || Number(environment.WATCHDOG_PID) === pid;
    this.watchdogInterval =
      this.#socket !== undefined && isOurs && microseconds > 0 ? Math.max(1, microseconds / 2000) : undefined;
  }

  /** Start-up or a reload is complete. */
  ready(status: string): void {
    this.#tell(`READY=1\nSTATUS=${oneLine(status)}`);
  }

  /** A reload has begun (`MONOTONIC_USEC`: systemd.service(5), Type=notify-reload). */
  reloading(nowMs: number): void {
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${Math.trunc(nowMs * 1000)}`);
  }

  /** The daemon is on its way out. */
  stopping(status: string): void {
    this.#tell(`STOPPING=1\nSTATUS=${oneLine(status)}`);
  }

  /** Another process is the service from now on; what this one says does not count any more. */
  mainProcess(pid: number): void {
    this.#tell(`MAINPID=${pid}`);
  }

  /** One line for `systemctl status`. */
  status(status: string): void {
    this.#tell(`STATUS=${oneLine(status)}`);
  }

  /** The event loop turns. */
  alive(): void {
    this.#tell('WATCHDOG=1');
  }

  #tell(state: string): void {
    if (this.#socket === undefined) return;
    try {
      this.#send(this.#socket, state);
    } catch {
      // A manager that is restarting or gone.
    }
  }
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}
