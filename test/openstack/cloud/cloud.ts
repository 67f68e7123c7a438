import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT } from '../../repo/source-files.ts';
import { command } from '../../support/command.ts';
import { Figures } from './figures.ts';
import { Heat } from './heat.ts';
import { Instance } from './instance.ts';
import { CLOUD, Services } from './services.ts';
import { type ServerRecord, StandIns } from './stand-ins.ts';

/** A whole cloud: real Heat and keystone, stand-ins for the rest, and instances that boot when Nova is asked to. */
export class Cloud {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dtunnel-cloud-'));
  readonly #instances = new Map<string, Instance>();
  readonly #others: Instance[] = [];
  readonly standIns: StandIns;
  readonly services: Services;
  readonly heat: Heat;
  readonly #figures: Figures;
  /** New servers get no agents: what an image without them, or one that hangs, looks like to Heat. */
  withoutAgents = false;

  /** `name` is that of the file with the seconds that each step took. */
  constructor(name: string) {
    this.#figures = new Figures(`openstack-${name}`);
    this.standIns = new StandIns({
      boot: async (server) => {
        const instance = new Instance(server.name, server.address, this.#folder);
        this.#instances.set(server.id, instance);
        await instance.boot(server.userData, !this.withoutAgents);
      },
      destroy: async (server) => this.#instances.get(server.id)?.destroy(),
    });
    this.services = new Services(this.#folder, this.standIns.address);
    this.heat = new Heat(this.services, this.#figures);
  }

  async start(): Promise<void> {
    const began = performance.now();
    await this.#install();
    await this.standIns.start();
    await this.services.startHeat();
    this.#figures.note('services up, s', (performance.now() - began) / 1000);
  }

  /** Puts what a release would hold where instances run it from, so that nobody's next build changes it meanwhile. */
  async #install(): Promise<void> {
    const stage = join(this.#folder, 'dtunnel');
    const release = join(ROOT, 'config/release');
    const addon = join(stage, 'native/prebuilt', `linux-${process.arch}`, 'dtunnel.node');
    const built = join(ROOT, 'native/build/Release/dtunnel.node');
    await must(join(release, 'stage.sh'), [stage]);
    mkdirSync(dirname(addon), { recursive: true });
    if (existsSync(built)) await must('cp', [built, addon]);
    else await must(join(release, 'addon.sh'), [process.arch, addon]);
    writeFileSync(`${stage}.sh`, `#!/bin/sh\nexec ${process.execPath} ${stage}/dist/main.js "$@"\n`, { mode: 0o755 });
  }

  async stop(): Promise<void> {
    this.#figures.write();
    this.services.stop();
    this.standIns.stop();
    for (const instance of [...this.#instances.values(), ...this.#others]) await instance.destroy();
    // For whoever looks for the reason of a failure.
    const kept = process.env['DTUNNEL_CLOUD_LOGS'];
    if (kept !== undefined)
      await command('sh', ['-c', 'mkdir -p "$1"; cp "$0"/*.log "$0"/*.out "$1"', this.#folder, kept]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A machine outside the cloud, on the same wire. */
  async machine(name: string, lastOctet: number): Promise<Instance> {
    const machine = new Instance(name, `${CLOUD.split('.').slice(0, 3).join('.')}.${lastOctet}`, this.#folder);
    this.#others.push(machine);
    await machine.boot();
    return machine;
  }

  /** The instances of servers that exist, by server, oldest first. */
  running(): readonly { readonly server: ServerRecord; readonly instance: Instance }[] {
    return [...this.standIns.servers.values()].flatMap((server) => {
      const instance = this.#instances.get(server.id);
      return server.status === 'DELETED' || instance === undefined ? [] : [{ server, instance }];
    });
  }
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const { status, output } = await command(program, args, { timeoutMs: 300_000 });
  if (status !== 0) throw new Error(`${program}: ${output}`);
}
