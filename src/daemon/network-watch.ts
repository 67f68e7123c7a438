import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Told at most once per quiet period that local addresses, links or routes changed. */
export type NetworkChanged = () => void;

/** How to watch; everything but `onChange` has a default. */
export interface NetworkWatchOptions {
  readonly onChange: NetworkChanged;
  /** The tunnel's own device: its changes are ours and are not reported. */
  readonly ownDevice: string;
  /** Several kernel messages of one change are one notice, sent this many milliseconds after the first. Default 50. */
  readonly settleMs?: number;
  /** The monitor to run. Default: `ip -o monitor link address route` (ip-monitor(8), rtnetlink(7)). */
  readonly command?: readonly [string, ...string[]];
}

/**
 * Notices changes of the host's network as the kernel announces them (rtnetlink through ip-monitor(8)), so that a lost
 * uplink is found at once and not by a time-out. A monitor that cannot run or dies is started again after `RESTART_MS`:
 * without it the tunnel still works, by its timers.
 */
export class NetworkWatch {
  readonly #options: NetworkWatchOptions;
  #child: ChildProcess | undefined;
  #settling: NodeJS.Timeout | undefined;
  #restarting: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: NetworkWatchOptions) {
    this.#options = options;
    this.#start();
  }

  /** Stops the monitor; no notice comes afterwards. Idempotent. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#settling);
    clearTimeout(this.#restarting);
    // One that could not be run has no pid, and Node would signal whatever number its handle holds: 0 is our own group.
    if (this.#child?.pid !== undefined) this.#child.kill('SIGTERM');
  }

  #start(): void {
    const [program, ...args] = this.#options.command ?? ['ip', '-o', 'monitor', 'link', 'address', 'route'];
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child = child;
    child.unref();
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => this.#line(line));
    // `error` comes instead of `exit` when the program cannot be run; both may come: restart once.
    const ended = (): void => {
      lines.close();
      if (this.#closed || this.#child !== child) return;
      this.#child = undefined;
      this.#restarting = setTimeout(() => this.#start(), RESTART_MS).unref();
    };
    child.on('error', ended);
    child.on('exit', ended);
  }

  #line(line: string): void {
    if (this.#closed || this.#settling !== undefined || !concerns(line, this.#options.ownDevice)) return;
    this.#settling = setTimeout(() => {
      this.#settling = undefined;
      if (!this.#closed) this.#options.onChange();
    }, this.#options.settleMs ?? SETTLE_MS).unref();
  }
}

/**
 * Whether a line of ip-monitor(8) speaks of another device than `ownDevice`. Neighbour and nexthop lines are not asked
 * for; lines naming our device (its addresses, MTU, routes through it) are consequences of what we did.
 */
export function concerns(line: string, ownDevice: string): boolean {
  if (line.trim() === '') return false;
  const words = line.split(/[\s:@]+/);
  return !words.includes(ownDevice);
}

const SETTLE_MS = 50;
const RESTART_MS = 5_000;
