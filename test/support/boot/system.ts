import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { command, type Outcome } from '../command.ts';

/** A system in a folder, booted with its own systemd in namespaces: a machine without a hypervisor. */
export class BootedSystem {
  readonly name: string;
  readonly #child: ChildProcess;
  /** What its console has shown. */
  console = '';
  #over = false;

  private constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.console += text;
      });
    }
    child.once('close', () => {
      this.#over = true;
    });
  }

  /** Starts the system whose root is `folder`; with `device` it waits until that is plugged in. */
  static boot(folder: string, name: string, device?: string): BootedSystem {
    const args = [join(import.meta.dirname, 'boot.sh'), folder, name, ...(device === undefined ? [] : [device])];
    return new BootedSystem(name, spawn('bash', args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true }));
  }

  /** Joins the system to a bridge of the caller's namespace, by device `there` in the system. */
  async plug(bridge: string, here: string, there: string): Promise<void> {
    const pid = await this.#first(false);
    const script = `
      ip link add ${here} type veth peer name ${there} netns /proc/${pid}/ns/net
      ip link set ${here} master ${bridge} up`;
    const { status, output } = await command('sh', ['-euc', script]);
    if (status !== 0) throw new Error(`${this.name}: ${output}`);
  }

  /** Runs a command in it. */
  async run(argv: readonly string[], timeoutMs = 60_000): Promise<Outcome> {
    const pid = await this.#first();
    const enter = ['--target', String(pid), '--mount', '--net', '--uts', '--ipc', '--pid', '--cgroup'];
    // Nothing of our own environment: it may name files that the system does not have.
    const clean = ['-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root'];
    return command('env', [...clean, 'nsenter', ...enter, '--root', '--wd', ...argv], { timeoutMs });
  }

  /** Runs a command in it; throws what it said when it fails. */
  async must(argv: readonly string[], timeoutMs = 60_000): Promise<string> {
    const { status, stdout, output } = await this.run(argv, timeoutMs);
    if (status !== 0) throw new Error(`${this.name}: ${argv.join(' ')}: ${output}`);
    return stdout;
  }

  /** Waits until its systemd has started everything, or says what it could not start. */
  async started(timeoutMs = 120_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const { stdout } = await this.run(['systemctl', 'is-system-running']);
      const state = stdout.trim();
      if (state === 'running' || state === 'degraded') return;
      if (this.#over || Date.now() > end) throw new Error(`${this.name} is ${state}\n${this.console.slice(-4000)}`);
      await delay(200);
    }
  }

  /** Shuts it down as its power button would, and waits until it is gone. */
  async shutDown(timeoutMs = 60_000): Promise<void> {
    if (this.#over) return;
    const closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    await this.run(['systemctl', 'poweroff', '--no-block']);
    const timer = setTimeout(() => this.#kill(), timeoutMs);
    await closed;
    clearTimeout(timer);
    await this.#forget();
  }

  /** Pulls the plug. */
  async destroy(): Promise<void> {
    if (this.#over) return;
    const closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#kill();
    await closed;
    await this.#forget();
  }

  /** Removes its control groups, which outlive the processes in them. */
  async #forget(): Promise<void> {
    const script =
      'for base in /sys/fs/cgroup/unified /sys/fs/cgroup; do find "$base/$0" -depth -type d -exec rmdir {} +; done';
    await command('sh', ['-c', script, this.name]);
  }

  #kill(): void {
    if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL');
  }

  /** Process id of its first process, as this process sees it; normally once that has become its systemd. */
  async #first(settled = true): Promise<number> {
    const { pid } = this.#child;
    for (let left = 200; left > 0 && !this.#over; left -= 1) {
      const { stdout } = await command('sh', [
        '-c',
        `for p in $(cat /proc/${pid}/task/${pid}/children); do cat /proc/$p/task/$p/children; done`,
      ]);
      const first = Number(stdout.trim().split(/\s+/)[0]);
      if (first > 0 && !settled) return first;
      if (first > 0) {
        const { stdout: name } = await command('cat', [`/proc/${first}/comm`]);
        if (name.trim() === 'systemd') return first;
      }
      await delay(50);
    }
    throw new Error(`${this.name} does not boot\n${this.console.slice(-4000)}`);
  }
}
