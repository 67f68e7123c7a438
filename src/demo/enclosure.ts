import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DtunnelError } from '../base/errors.ts';

/**
 * A private world of namespaces (network, mount, process ids; users too when not root) in which whole networks can be
 * built and daemons started without touching the machine. Its `/run` is its own, so `ip netns` names and control
 * sockets cannot clash with anything. It lives exactly as long as this process holds the pipe to its first process: when
 * this process ends, however it ends, the kernel ends every process inside and takes the networks down.
 */
export interface Enclosure {
  /** The first process inside, as seen from outside. */
  readonly pid: number;
  /** The path outside of `inside`, a file of the enclosure (its `/run` is visible nowhere else). */
  path(inside: string): string;
  /** Runs `argv` inside to its end. Throws DtunnelError when it fails, unless `failureOk`. */
  run(argv: readonly string[], options?: RunOptions): Promise<Finished>;
  /** Starts `argv` inside; the caller ends it (`stop`), or it ends with the enclosure. */
  start(argv: readonly string[], options?: StartOptions): ChildProcess;
  /** Ends everything inside. Idempotent. */
  close(): Promise<void>;
}

/** Where and how to start a program. */
export interface StartOptions {
  /** Named network namespace; the enclosure's own one when left out. */
  readonly netns?: string;
  /** Variables beside the inherited ones. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stdio?: SpawnOptions['stdio'];
}

/** How to run a program to its end. */
export interface RunOptions extends StartOptions {
  readonly input?: string | Uint8Array;
  /** Default 30 s. */
  readonly timeoutMs?: number;
  readonly failureOk?: boolean;
}

/** What a program left. `code` is 128 + the signal's number, or 124 after a time-out. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Opens an enclosure. Throws DtunnelError with what to do about it when this machine has no iproute2, allows no
 * namespaces to this user, or does not let it open the TUN device.
 */
export async function openEnclosure(options: { readonly needsTun: boolean }): Promise<Enclosure> {
  requireIproute2();
  if (options.needsTun) requireTun();
  const root = process.getuid?.() === 0;
  const child = spawn(
    'unshare',
    [...(root ? [] : ['--user', '--map-root-user']), ...UNSHARE, '--', 'sh', '-c', FIRST_PROCESS],
    // Its own process group: Ctrl-C reaches this process alone, which then cleans up in order.
    { stdio: ['pipe', 'pipe', 'pipe'], detached: true, env: environment({}) },
  );
  const pid = await firstProcess(child);
  return new NamespaceEnclosure(child, pid, root);
}

/** Sends `signal` to a process from `start` and everything it started; waits until its output has closed. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM', waitMs = 5000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  signalGroup(child, signal);
  const late = await Promise.race([closed.then(() => false), delay(waitMs, true, { ref: false })]);
  if (late) {
    signalGroup(child, 'SIGKILL');
    await closed;
  }
}

class NamespaceEnclosure implements Enclosure {
  readonly pid: number;
  /** Alive as long as the pipe to its standard input is open. */
  readonly #first: ChildProcess;
  readonly #enter: readonly string[];

  constructor(first: ChildProcess, pid: number, root: boolean) {
    this.#first = first;
    this.pid = pid;
    this.#enter = ['--target', String(pid), '--mount', '--pid', ...(root ? [] : ['--user', '--preserve-credentials'])];
  }

  path(inside: string): string {
    return `/proc/${this.pid}/root${inside}`;
  }

  start(argv: readonly string[], options: StartOptions = {}): ChildProcess {
    const net = options.netns === undefined ? '--net' : `--net=${this.path(`/run/netns/${options.netns}`)}`;
    return spawn('nsenter', [...this.#enter, net, '--', ...argv], {
      stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'],
      // nsenter forks to enter the process-id namespace: one group, so that one signal reaches both.
      detached: true,
      env: environment(options.env ?? {}),
    });
  }

  async run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const child = this.start(argv, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.stdin?.on('error', () => undefined); // It may end without having read its input.
    child.stdin?.end(options.input ?? '');
    let expired = false;
    const timer = setTimeout(() => {
      expired = true;
      signalGroup(child, 'SIGKILL');
    }, options.timeoutMs ?? 30_000);
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status, signal) => resolve(status ?? 128 + (SIGNALS[signal ?? ''] ?? 0)));
    }).finally(() => clearTimeout(timer));
    const finished = { code: expired ? 124 : code, stdout: stdout(), stderr: stderr() };
    if (finished.code !== 0 && options.failureOk !== true) {
      const said = finished.stderr.trim() || finished.stdout.trim() || 'it said nothing';
      const how = expired ? 'did not end in time' : `ended with status ${finished.code}`;
      throw new DtunnelError('S025', `${argv.slice(0, 6).join(' ')} ${how}: ${said.slice(-2000)}`);
    }
    return finished;
  }

  async close(): Promise<void> {
    if (this.#first.exitCode !== null || this.#first.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#first.once('exit', () => resolve()));
    this.#first.stdin?.destroy();
    const late = await Promise.race([ended.then(() => false), delay(5000, true, { ref: false })]);
    if (late) signalGroup(this.#first, 'SIGKILL');
  }
}

const UNSHARE = ['--net', '--mount', '--pid', '--fork', '--kill-child'];

/**
 * The enclosure's init. It reads its own number before /proc becomes the new namespace's, waits for the pipe to close,
 * and meanwhile reaps what daemons leave behind (`wait` collects any child). Where /proc cannot be mounted (some
 * containers) the outer one stays, which only shows other numbers.
 */
const FIRST_PROCESS = `
read -r pid rest < /proc/self/stat
mount -t tmpfs -o mode=0755 tmpfs /run || exit 1
mkdir -p /run/netns /run/lock
mount -t proc proc /proc 2>/dev/null
ip link set lo up
echo "ready $pid"
exec 3<&0
cat <&3 >/dev/null &
wait $!
`;

async function firstProcess(child: ChildProcess): Promise<number> {
  const stderr = collect(child.stderr);
  const pid = await new Promise<number | undefined>((resolve) => {
    let text = '';
    const timer = setTimeout(() => resolve(undefined), 10_000);
    const settle = (value: number | undefined): void => {
      clearTimeout(timer);
      resolve(value);
    };
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const match = /^ready (\d+)$/m.exec(text);
      if (match !== null) settle(Number(match[1]));
    });
    child.once('error', () => settle(undefined));
    child.once('close', () => settle(undefined));
  });
  if (pid !== undefined) return pid;
  signalGroup(child, 'SIGKILL');
  const said = stderr().trim().split('\n').at(-1) ?? '';
  throw new DtunnelError('S026', `cannot make namespaces: ${said === '' ? 'unshare(1) gave no answer' : said}`);
}

function requireIproute2(): void {
  const found = spawnSync('ip', ['-V'], { env: environment({}), stdio: 'ignore', timeout: 5000 });
  if (found.error !== undefined || found.status !== 0) {
    throw new DtunnelError('S013', 'ip(8) was not found: it builds the networks and sets up the tunnel');
  }
}

function requireTun(): void {
  try {
    closeSync(openSync('/dev/net/tun', constants.O_RDWR));
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error';
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO') {
      throw new DtunnelError('S011', `open /dev/net/tun: ${code}, the kernel's TUN driver is not there`, { cause });
    }
    throw new DtunnelError('S010', `open /dev/net/tun: ${code}`, {
      hint: 'run it as root (sudo), or: sudo chmod 0666 /dev/net/tun (in a container: --device /dev/net/tun)',
      cause,
    });
  }
}

/** The inherited variables, with the folders of ip(8) and ethtool(8) on the path of a user who lacks them. */
function environment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`, ...more };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has ended already.
  }
}

/** Gathers a stream's text, up to 8 MiB. */
function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length < 8 << 20) text += chunk;
  });
  return () => text;
}

const SIGNALS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };
