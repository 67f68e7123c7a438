import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ROOT } from '../../repo/source-files.ts';
import { command, type Outcome } from '../../support/command.ts';

const ELEMENT = join(ROOT, 'config/dib/elements/dtunnel-heat-agent');

/**
 * A machine without a hypervisor: its own processes, mounts, network and file system on top of this machine's, joined
 * to the cloud's bridge. With user-data it runs the real agents as our image does, without it sleeps.
 */
export class Instance {
  readonly name: string;
  readonly address: string;
  readonly #folder: string;
  /** The program `dtunnel` on it. */
  readonly #program: string;
  #first: ChildProcess | undefined;
  /** What its console would show. */
  console = '';
  #over = false;

  constructor(name: string, address: string, parent: string) {
    this.name = name;
    this.address = address;
    this.#folder = mkdtempSync(join(parent, 'instance-'));
    this.#program = join(parent, 'dtunnel.sh');
  }

  /** Starts it; `userData` as Nova got it from Heat. */
  async boot(userData?: string, agents = true): Promise<void> {
    const layer = join(this.#folder, 'layer');
    mkdirSync(layer);
    if (userData !== undefined) writeFileSync(`${layer}.data`, initData(userData));
    const first = userData !== undefined && agents ? ['/usr/bin/os-collect-config'] : ['sleep', 'infinity'];
    const init = [join(import.meta.dirname, 'instance-init.sh'), layer, ELEMENT, this.#program, ...first];
    const child = spawn(
      'unshare',
      ['--mount', '--net', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', ...init],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      },
    );
    this.#first = child;
    child.once('close', () => {
      this.#over = true;
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.console += text;
      });
    }
    await this.#plug(child.pid ?? 0);
  }

  /** Runs a command on it. */
  async run(argv: readonly string[], timeoutMs = 300_000): Promise<Outcome> {
    return command('nsenter', [...(await this.#enter()), ...argv], { timeoutMs });
  }

  /** Starts a command on it that goes on; its output is collected by who asks. */
  async start(argv: readonly string[]): Promise<ChildProcess> {
    return spawn('nsenter', [...(await this.#enter()), ...argv], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  }

  /** Pulls the plug. */
  async destroy(): Promise<void> {
    const child = this.#first;
    if (child?.pid === undefined || this.#over) return;
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    process.kill(-child.pid, 'SIGKILL');
    await closed;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Joins it to the bridge as eth0. */
  async #plug(pid: number): Promise<void> {
    const device = `vm${this.address.split('.').at(-1)}`;
    const script = `
      until [ "$(readlink /proc/${pid}/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
      ip link add ${device} type veth peer name eth0 netns /proc/${pid}/ns/net
      ip link set ${device} master cloud up
      nsenter --net=/proc/${pid}/ns/net sh -c "ip address add ${this.address}/24 dev eth0; ip link set eth0 up"`;
    const { status, output } = await command('sh', ['-euc', script], { timeoutMs: 10_000 });
    if (status !== 0) throw new Error(`${this.name}: ${output}\n${this.console}`);
  }

  async #enter(): Promise<readonly string[]> {
    const { pid } = this.#first ?? {};
    if (pid === undefined) throw new Error(`${this.name} was not booted`);
    for (let left = 100; left > 0; left -= 1) {
      // The first process of the new process namespace is the only child of unshare.
      const { stdout } = await command('sh', ['-c', `cat /proc/${pid}/task/${pid}/children`]);
      const inner = stdout.trim().split(/\s+/)[0];
      const root = `/proc/${inner}/root${join(this.#folder, 'layer/root')}`;
      if (inner !== undefined && (await command('test', ['-e', `${root}/run/booted`])).status === 0) {
        return ['--target', inner, '--mount', '--net', '--uts', '--pid', 'chroot', join(this.#folder, 'layer/root')];
      }
      await delay(50);
    }
    throw new Error(`${this.name} does not come up\n${this.console}`);
  }
}

/** What Heat's user-data brings for the agents, out of its multipart document. */
function initData(userData: string): string {
  const part = userData.split(/^--===============.*$/m).find((text) => text.includes('filename="cfn-init-data"'));
  const data = part?.slice(part.indexOf('\n\n')).trim();
  if (data === undefined || !data.startsWith('{')) throw new Error('user-data without cfn-init-data');
  return data;
}
