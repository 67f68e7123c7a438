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

  /** Starts the system whose root is `folder`; returns as soon as its namespaces exist. */
  static async boot(folder: string, name: string): Promise<BootedSystem> {
    const script = join(import.meta.dirname, 'boot.sh');
    const child = spawn('bash', [script, folder, name], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const system = new BootedSystem(name, child);
    await system.#first();
    return system;
  }

  /** Joins the system to the caller's namespace: device `here` there, `there` in the system, with an address. */
  async plug(here: string, there: string, address: string | undefined): Promise<void> {
    const pid = await this.#first();
    const configure = address === undefined ? '' : `ip address add ${address} dev ${there};`;
    const script = `
      ip link add ${here} type veth peer name ${there} netns /proc/${pid}/ns/net
      ip link set ${here} up
      nsenter --net=/proc/${pid}/ns/net sh -c "${configure} ip link set ${there} up"`;
    const { status, output } = await command('sh', ['-euc', script]);
    if (status !== 0) throw new Error(`${this.name}: ${output}`);
  }

  /** Runs a command in it. */
  async run(argv: readonly string[], timeoutMs = 60_000): Promise<Outcome> {
    const pid = await this.#first();
    const enter = ['--target', String(pid), '--mount', '--net', '--uts', '--ipc', '--pid', '--cgroup'];
    return command('nsenter', [...enter, '--root', '--wd', ...argv], {
      timeoutMs,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
    });
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

  /** Process id of its init, as this process sees it, once that has made its root the root. */
  async #first(): Promise<number> {
    const { pid } = this.#child;
    for (let left = 200; left > 0 && !this.#over; left -= 1) {
      const { stdout } = await command('sh', [
        '-c',
        `for p in $(cat /proc/${pid}/task/${pid}/children); do cat /proc/$p/task/$p/children; done`,
      ]);
      const first = Number(stdout.trim().split(/\s+/)[0]);
      if (first > 0) {
        const { stdout: name } = await command('cat', [`/proc/${first}/comm`]);
        if (name.trim() === 'systemd') return first;
      }
      await delay(50);
    }
    throw new Error(`${this.name} does not boot\n${this.console.slice(-4000)}`);
  }
}
