import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { PlaneEvent, PlaneOptions, PlaneStats, SessionStats } from '../../../src/plane/plane.ts';
import type { Endpoint } from '../../../src/net/endpoint.ts';
import type { EchoOptions, EchoReport } from '../../../src/plane/host.ts';

/** Why these tests cannot run here, or undefined when they can. */
export function unable(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root (network namespaces and a TUN device)';
  if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun';
  const missing = addonMissing();
  if (missing !== undefined) return missing;
  try {
    execFileSync('ip', ['netns', 'list'], { stdio: 'ignore' });
  } catch {
    return 'needs iproute2';
  }
  return undefined;
}

/** Why the addon cannot even be loaded here, or undefined when it can. */
export function addonMissing(): string | undefined {
  const there = existsSync(`${ROOT}native/build/Release/dtunnel.node`);
  return there ? undefined : 'needs the native addon (npm run build:native)';
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The child runs compiled code: compiles it again when a source of the plane is newer. */
function ensureCompiled(): void {
  const built = `${ROOT}dist/plane/native-plane.js`;
  const sources = ['base', 'net', 'plane'].flatMap((folder) =>
    readdirSync(`${ROOT}src/${folder}`).map((file) => `${ROOT}src/${folder}/${file}`),
  );
  const newest = Math.max(...sources.map((file) => statSync(file).mtimeMs));
  if (existsSync(built) && statSync(built).mtimeMs > newest) return;
  // Errors elsewhere in the tree are another test's business; what is emitted decides.
  try {
    execFileSync('npx', ['tsc', '-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'ignore' });
  } catch {
    if (!existsSync(built)) throw new Error('cannot compile src/plane');
  }
}

/** A process in a network namespace, with a native plane or making traffic; see plane-child.mjs for its methods. */
export class RemotePlane {
  readonly events: PlaneEvent[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly #listeners = new Set<() => void>();
  #nextId = 1;

  constructor(namespace: string) {
    ensureCompiled();
    const child = fileURLToPath(new URL('./plane-child.mjs', import.meta.url));
    const env = { ...process.env, ...sanitizerEnvironment() };
    this.#child = spawn('ip', ['netns', 'exec', namespace, process.execPath, child], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      serialization: 'advanced',
      env,
    });
    this.#child.on('message', (message: Answer) => {
      if ('event' in message) {
        this.events.push(message.event);
        for (const listener of this.#listeners) listener();
        return;
      }
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error === undefined) waiting?.resolve(message.value);
      else
        waiting?.reject(
          Object.assign(new Error(message.error.message), { code: message.error.code, name: message.error.name }),
        );
    });
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`plane process ended: ${code ?? signal}`));
      this.#waiting.clear();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  call(method: string, ...args: unknown[]): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, method, args });
    });
  }

  open(options: Omit<PlaneOptions, 'onEvent'>): Promise<Opened> {
    return this.call('open', options) as Promise<Opened>;
  }

  stats(): Promise<PlaneStats> {
    return this.call('stats') as Promise<PlaneStats>;
  }

  session(slot: number): Promise<SessionStats | undefined> {
    return this.call('session', slot) as Promise<SessionStats | undefined>;
  }

  icmpEcho(address: string, options: EchoOptions): Promise<EchoReport> {
    return this.call('icmpEcho', address, options) as Promise<EchoReport>;
  }

  /** Resolves with the first event, past or future, that `wanted` accepts. */
  event<T extends PlaneEvent>(wanted: (event: PlaneEvent) => event is T, timeoutMs = 5000): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        const found = this.events.find(wanted);
        if (found !== undefined) resolve(found);
        return found !== undefined;
      };
      if (look()) return;
      const timer = setTimeout(() => {
        this.#listeners.delete(listener);
        reject(new Error(`no such event within ${timeoutMs} ms`));
      }, timeoutMs);
      const listener = (): void => {
        if (!look()) return;
        clearTimeout(timer);
        this.#listeners.delete(listener);
      };
      this.#listeners.add(listener);
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.disconnect();
    await gone;
  }
}

interface Opened {
  readonly deviceName: string;
  readonly listening: readonly Endpoint[];
  readonly features: { readonly offloads: readonly string[]; readonly aead: string; readonly realtime: boolean };
}

type Answer =
  | { readonly event: PlaneEvent }
  | {
      readonly id: number;
      readonly value?: unknown;
      readonly error?: { message: string; code?: string; name: string };
    };

/** When the addon is built with a sanitizer, its runtime must come first in the process. */
function sanitizerEnvironment(): Record<string, string> {
  const preload = process.env['DTUNNEL_TEST_PRELOAD'];
  return preload === undefined ? {} : { LD_PRELOAD: preload };
}

/** Runs ip(8), or any program. */
export function run(...command: string[]): string {
  const [program = '', ...args] = command;
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Two network namespaces joined by a veth pair, with unique names. */
export class Namespaces {
  readonly a: string;
  readonly b: string;
  /** Outer devices. */
  readonly deviceA: string;
  readonly deviceB: string;

  constructor(tag: string) {
    const id = `${process.pid % 10_000}${tag}`;
    this.a = `dt${id}a`;
    this.b = `dt${id}b`;
    this.deviceA = `v${id}a`;
    this.deviceB = `v${id}b`;
    run('ip', 'netns', 'add', this.a);
    run('ip', 'netns', 'add', this.b);
    run(
      'ip',
      'link',
      'add',
      this.deviceA,
      'netns',
      this.a,
      'type',
      'veth',
      'peer',
      'name',
      this.deviceB,
      'netns',
      this.b,
    );
    for (const [ns, device, host] of [
      [this.a, this.deviceA, '1'],
      [this.b, this.deviceB, '2'],
    ] as const) {
      run('ip', '-n', ns, 'addr', 'add', `10.77.0.${host}/24`, 'dev', device);
      run('ip', '-n', ns, 'addr', 'add', `fd77::${host}/64`, 'dev', device, 'nodad');
      run('ip', '-n', ns, 'link', 'set', 'lo', 'up');
      run('ip', '-n', ns, 'link', 'set', device, 'up');
    }
  }

  /** Addresses, and brings up, the TUN device of side `host` (1 or 2). */
  bringUp(namespace: string, device: string, host: string): void {
    run('ip', '-n', namespace, 'addr', 'add', `192.168.77.${host}/24`, 'dev', device);
    run('ip', '-n', namespace, 'addr', 'add', `fd78::${host}/64`, 'dev', device, 'nodad');
    run('ip', '-n', namespace, 'link', 'set', device, 'up');
  }

  remove(): void {
    for (const ns of [this.a, this.b]) {
      try {
        run('ip', 'netns', 'del', ns);
      } catch {
        // gone already
      }
    }
  }
}
