import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { command, type Outcome } from '../../support/command.ts';

/** One end of the test: a network namespace with an outer address and, once its tunnel is there, an inner one. */
export interface Site {
  readonly netns: string;
  readonly outer: string;
  readonly inner: string;
}

/** Two namespaces joined by one cable, and everything that was started in them. */
export class Sites {
  readonly near: Site;
  readonly far: Site;
  readonly #children: ChildProcess[] = [];

  private constructor(near: Site, far: Site) {
    this.near = near;
    this.far = far;
  }

  /** Lays the cable. Names carry the process id, so that runs beside each other do not meet. */
  static async open(): Promise<Sites> {
    const id = process.pid.toString(36);
    const sites = new Sites(
      { netns: `dtn-${id}`, outer: '192.0.2.1', inner: '10.77.0.1' },
      { netns: `dtf-${id}`, outer: '192.0.2.2', inner: '10.77.0.2' },
    );
    for (const { netns } of [sites.near, sites.far]) {
      await must(['ip', 'netns', 'add', netns]);
      await must(['ip', '-n', netns, 'link', 'set', 'lo', 'up']);
    }
    await must([
      'ip',
      '-n',
      sites.near.netns,
      'link',
      'add',
      'outer',
      'type',
      'veth',
      'peer',
      'outer',
      'netns',
      sites.far.netns,
    ]);
    for (const { netns, outer } of [sites.near, sites.far]) {
      await must(['ip', '-n', netns, 'addr', 'add', `${outer}/24`, 'dev', 'outer']);
      await must(['ip', '-n', netns, 'link', 'set', 'outer', 'up']);
    }
    return sites;
  }

  /** Gives a TUN device its inner address and brings it up; both sites' inner addresses are one network. */
  async address(site: Site, device: string, mtu: number): Promise<void> {
    await must(['ip', '-n', site.netns, 'addr', 'add', `${site.inner}/24`, 'dev', device]);
    await must(['ip', '-n', site.netns, 'link', 'set', device, 'mtu', String(mtu), 'up']);
  }

  /** Runs a program inside a site to its end. */
  async run(site: Site, line: readonly string[], timeoutMs = 30_000): Promise<Outcome> {
    return await command('ip', ['netns', 'exec', site.netns, ...line], { timeoutMs });
  }

  /** Starts a program inside a site; `close` ends it if it has not ended. */
  start(site: Site, line: readonly string[]): Running {
    // `exec` replaces ip(8) by the program: the process id is its own.
    const child = spawn('ip', ['netns', 'exec', site.netns, ...line], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    return new Running(child, line.join(' '));
  }

  /** Echo server on the inner address of a site. */
  async serve(site: Site, port: number): Promise<void> {
    await this.start(site, [process.execPath, TRAFFIC, 'serve', site.inner, String(port)]).line(/"serving":true/);
  }

  async close(): Promise<void> {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL');
    for (const { netns } of [this.near, this.far]) await command('ip', ['netns', 'del', netns]);
  }
}

/** A started program and what it has said. */
export class Running {
  readonly #child: ChildProcess;
  readonly #title: string;
  readonly #ended: Promise<number | null>;
  #said = '';
  #complained = '';
  #wake: () => void = () => {};

  constructor(child: ChildProcess, title: string) {
    this.#child = child;
    this.#title = title;
    this.#ended = new Promise((resolve) => child.once('close', (status) => resolve(status)));
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#said += text;
      this.#wake();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#complained += text;
    });
    void this.#ended.then(() => this.#wake());
  }

  /** Waits until it has printed a match. */
  async line(pattern: RegExp, withinMs = 15_000): Promise<RegExpExecArray> {
    const until = performance.now() + withinMs;
    for (;;) {
      const match = pattern.exec(this.#said);
      if (match !== null) return match;
      const left = until - performance.now();
      if (left <= 0 || this.#child.exitCode !== null) {
        throw new Error(`${this.#title} did not print ${pattern}: ${this.#said}${this.#complained}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 200));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Asks it to end, and yields everything it printed. */
  async stop(): Promise<string> {
    this.#child.kill('SIGTERM');
    await this.#ended;
    return this.#said;
  }
}

/** The traffic program. */
export const TRAFFIC = fileURLToPath(new URL('traffic.mjs', import.meta.url));

async function must(line: readonly string[]): Promise<void> {
  const [program = '', ...args] = line;
  const { status, output } = await command(program, args, { timeoutMs: 10_000 });
  if (status !== 0) throw new Error(`${line.join(' ')}: ${output.trim()}`);
}
