import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { NO_FILES, parseSettings } from '../src/config/load.ts';
import { ControlClient } from '../src/control/client.ts';
import { PATH_PREFIX, PROTOCOL, PROTOCOL_HEADER } from '../src/control/protocol.ts';
import { formatFingerprint } from '../src/crypto/fingerprint.ts';
import { builtProgram } from '../src/demo/built.ts';
import { stop } from '../src/demo/enclosure.ts';
import { buildRig, type Rig } from '../src/demo/rig.ts';
import { HUB_PORT, innerPrefix, makeIdentityFiles, SpokeIdentities } from './hub/names.ts';
import type { SpokesReport } from './hub/spokes.ts';
import { machineFacts, usageOf } from './machine.ts';
import { prioritized } from './priority.ts';

const USAGE = `usage: node build/bench/bench/many-peers.js [--peers 1,100,1000,10000] [--idle SECONDS] [--priority]
       [--profile FOLDER] [--json]

A hub with many configured peers, and a process that plays them all: memory, idle CPU, the handshake storm after a hub
restart, status, reload and scrape. Needs root, or user namespaces. Raw results go to bench/results/.`;

/** One row of the table. Times in ms, memory in MiB. */
interface Row {
  readonly peers: number;
  /** Parsing and judging the configuration, in this process. */
  readonly configMs: number;
  readonly configBytes: number;
  /** From exec to the first answer on the control socket. */
  readonly startMs: number;
  /** Resident before any peer called, and with every peer up. */
  readonly rssConfiguredMiB: number;
  readonly rssUpMiB: number;
  /** Share of one core with every peer up and no traffic. */
  readonly idleCpuPercent: number;
  /** From the start of the peers' process until all had made their first handshake. */
  readonly firstMs: number;
  /**
   * After kill -9 and a new start, while every peer sends a packet a second: until each has completed a handshake with the
   * new process. Peers without traffic find out with their next keepalive.
   */
  readonly stormMs: number;
  /** The same for half and nine tenths of them. */
  readonly stormHalfMs: number;
  readonly stormMostMs: number;
  /** The same from the moment that the new process answers on its control socket. */
  readonly stormAfterStartMs: number;
  readonly stormHandshakes: number;
  readonly stormFailures: Readonly<Record<string, number>>;
  /** CPU of the hub: for a start without any call, and until all have called for the first time, per handshake. */
  readonly startCpuSeconds: number;
  readonly hubCpuPerHandshakeMs: number;
  /** Share of one core that the hub takes while every peer sends a packet a second. */
  readonly talkCpuPercent: number;
  /** CPU of both sides in the storm, the start and the packets included. The simulated far ends share the machine. */
  readonly stormHubCpuSeconds: number;
  readonly stormSpokesCpuSeconds: number;
  /** CPU of a status, a scrape and a reload; wall time says less on a busy machine. */
  readonly statusCpuMs: number;
  readonly scrapeCpuMs: number;
  readonly reloadCpuMs: number;
  readonly statusMs: number;
  readonly statusBytes: number;
  readonly scrapeMs: number;
  readonly scrapeBytes: number;
  /** One peer changed, one gone, one new. */
  readonly reloadMs: number;
  /** Nothing changed. */
  readonly reloadNothingMs: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      peers: { type: 'string', default: '1,100,1000,10000' },
      idle: { type: 'string', default: '10' },
      profile: { type: 'string' },
      priority: { type: 'boolean', default: false },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const rows: Row[] = [];
  const run = { schema: 'dtunnel.many-peers/1', machine: machineFacts(), rows };
  mkdirSync(RESULTS, { recursive: true });
  const file = join(RESULTS, `many-peers-${run.machine.date.slice(0, 19).replaceAll(':', '')}.json`);
  for (const peers of values.peers.split(',').map(Number)) {
    process.stderr.write(`${peers} peers\n`);
    rows.push(await measure(peers, Number(values.idle) * 1000, values));
    writeFileSync(file, `${JSON.stringify(run, null, 1)}\n`);
  }
  process.stdout.write(values.json === true ? `${JSON.stringify(run)}\n` : `${table(rows)}\nraw results: ${file}\n`);
}

async function measure(
  peers: number,
  idleMs: number,
  { profile, priority }: { readonly profile?: string | undefined; readonly priority: boolean },
): Promise<Row> {
  const plain = await buildRig({ internet: 'direct' });
  const rig = priority ? prioritized(plain) : plain;
  try {
    const hub = await Hub.prepare(rig, peers, profile);
    const text = hub.config();
    const began = now();
    const parsed = parseSettings('hub.conf', text, NO_FILES);
    const configMs = now() - began;
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.error).slice(0, 1000));

    const startMs = await hub.start();
    const startCpuSeconds = hub.cpu();
    const rssConfiguredMiB = hub.rss();
    const calling = now();
    const spokes = await Spokes.start(rig, peers, hub.fingerprint);
    const first = await spokes.all(calling);
    const hubCpuPerHandshakeMs = ((hub.cpu() - startCpuSeconds) * 1000) / first.report.handshakes;
    await delay(SETTLE_MS);

    const before = hub.cpu();
    await delay(idleMs);
    const idleCpuPercent = ((hub.cpu() - before) / (idleMs / 1000)) * 100;
    const rssUpMiB = hub.rss();
    const status = await best(hub, () => hub.get('status'));
    const scrape = await best(hub, () => hub.get('metrics'));
    const nothing = await best(hub, () => hub.reload());
    hub.rewrite(hub.config(true));
    const changed = await hub.reload();

    hub.rewrite(text);
    spokes.say('talk');
    await delay(TALK_MS);
    const beforeTalk = hub.cpu();
    await delay(TALK_MS);
    const talkCpuPercent = ((hub.cpu() - beforeTalk) / (TALK_MS / 1000)) * 100;
    await hub.kill();
    const spokesBefore = spokes.cpu();
    spokes.say('mark');
    const restarted = now();
    const answered = await hub.start();
    const storm = await spokes.all(restarted);
    const [stormHubCpuSeconds, stormSpokesCpuSeconds] = [hub.cpu(), spokes.cpu() - spokesBefore];
    process.stderr.write(`  failures in the storm: ${JSON.stringify(storm.report.failures)}\n`);
    return {
      peers,
      configMs,
      configBytes: text.length,
      startMs,
      rssConfiguredMiB,
      rssUpMiB,
      idleCpuPercent,
      firstMs: first.ms,
      stormMs: storm.ms,
      stormHalfMs: storm.report.halfAt - restarted,
      stormMostMs: storm.report.mostAt - restarted,
      stormAfterStartMs: storm.ms - answered,
      stormHandshakes: storm.report.handshakes,
      stormFailures: storm.report.failures,
      startCpuSeconds,
      statusCpuMs: status.cpuMs,
      scrapeCpuMs: scrape.cpuMs,
      reloadCpuMs: nothing.cpuMs,
      hubCpuPerHandshakeMs,
      talkCpuPercent,
      stormHubCpuSeconds,
      stormSpokesCpuSeconds,
      statusMs: status.ms,
      statusBytes: status.bytes,
      scrapeMs: scrape.ms,
      scrapeBytes: scrape.bytes,
      reloadMs: changed.ms,
      reloadNothingMs: nothing.ms,
    };
  } finally {
    await rig.close();
  }
}

/** The daemon under test. */
class Hub {
  readonly fingerprint: string;
  readonly #rig: Rig;
  readonly #peers: number;
  readonly #identities: SpokeIdentities;
  readonly #client: ControlClient;
  readonly #profile: string | undefined;
  #process: ChildProcess | undefined;

  private constructor(rig: Rig, peers: number, fingerprint: string, profile: string | undefined) {
    this.#rig = rig;
    this.#peers = peers;
    this.fingerprint = fingerprint;
    this.#profile = profile;
    this.#identities = new SpokeIdentities(rig.enclosure.path(`${FOLDER}/spoke`));
    this.#client = new ControlClient('hub', { dir: rig.enclosure.path('/run/dtunnel'), timeoutMs: 120_000 });
  }

  static async prepare(rig: Rig, peers: number, profile: string | undefined): Promise<Hub> {
    const { enclosure, berlin, paris } = rig;
    mkdirSync(enclosure.path(FOLDER), { recursive: true, mode: 0o700 });
    await makeIdentityFiles(enclosure.path(`${FOLDER}/spoke`), 'spoke');
    const identity = await makeIdentityFiles(enclosure.path(`${FOLDER}/hub`), 'hub');
    // Every spoke has an address of its own, as spokes have: what is bounded per address is not in the way.
    await enclosure.run(['ip', 'route', 'add', '100.64.0.0/10', 'via', paris.public4], { netns: berlin.gateway });
    const hub = new Hub(rig, peers, formatFingerprint(identity.fingerprint), profile);
    hub.rewrite(hub.config());
    return hub;
  }

  /** With `changed`: the first peer has another prefix, the last is gone, and one is new. */
  config(changed = false): string {
    const sections = Array.from({ length: this.#peers }, (_, i) => {
      const index = changed && i === this.#peers - 1 ? this.#peers : i;
      const prefix = changed && i === 0 ? '10.255.255.255/32' : innerPrefix(index);
      return `[Peer]\nName = spoke${index}\nFingerprint = ${this.#identities.fingerprint(index)}\nAllowedIPs = ${prefix}\n`;
    });
    return `[Interface]
Name = hub
Address = 172.31.0.1/32
ListenPort = ${HUB_PORT}
Certificate = ${FOLDER}/hub.crt
PrivateKey = ${FOLDER}/hub.key
LogLevel = warn

${sections.join('\n')}`;
  }

  rewrite(text: string): void {
    writeFileSync(this.#rig.enclosure.path(`${FOLDER}/hub.conf`), text, { mode: 0o600 });
  }

  /** Yields how long it took until the daemon answered. */
  async start(): Promise<number> {
    const began = now();
    const flags = this.#profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${this.#profile}`];
    const child = this.#rig.enclosure.start(
      [process.execPath, ...flags, builtProgram('main.js'), 'run', `${FOLDER}/hub.conf`],
      { netns: this.#rig.berlin.gateway, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process = child;
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (more: string) => {
      if (said.length < 10_000) said += more;
    });
    while (child.exitCode === null) {
      try {
        await this.#client.hello();
        return now() - began;
      } catch {
        await delay(10);
      }
    }
    throw new Error(`the hub did not start: ${said}`);
  }

  async kill(): Promise<void> {
    // A profile is written at an orderly end only.
    if (this.#profile !== undefined) return this.down();
    if (this.#process !== undefined) await stop(this.#process, 'SIGKILL');
  }

  async down(): Promise<void> {
    const child = this.#process;
    const ended = new Promise((resolve) => child?.once('close', resolve));
    await this.#client.down();
    await ended;
  }

  cpu(): number {
    return usageOf([this.#process?.pid ?? 0]).cpuSeconds;
  }

  rss(): number {
    return usageOf([this.#process?.pid ?? 0]).rssMiB[0] ?? 0;
  }

  async reload(): Promise<Timed> {
    const began = now();
    await this.#client.reload({ plan: false, revert: false });
    return { ms: now() - began, bytes: 0 };
  }

  /** Time and size of an answer on the control socket, unread. */
  get(what: 'status' | 'metrics'): Promise<Timed> {
    const began = now();
    return new Promise((resolve, reject) => {
      const socketPath = this.#rig.enclosure.path('/run/dtunnel/hub.sock');
      const headers = { [PROTOCOL_HEADER]: PROTOCOL };
      const query = request({ socketPath, path: `${PATH_PREFIX}/${what}`, headers }, (answer) => {
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        answer.on('end', () => {
          if (answer.statusCode === 200) resolve({ ms: now() - began, bytes });
          else reject(new Error(`${what}: ${answer.statusCode}`));
        });
      });
      query.on('error', reject).end();
    });
  }
}

/** The process that plays the peers. */
class Spokes {
  readonly #child: ChildProcess;
  readonly #count: number;
  #report: SpokesReport | undefined;
  #changed: () => void = () => undefined;

  private constructor(child: ChildProcess, count: number) {
    this.#child = child;
    this.#count = count;
    if (child.stdout === null) throw new Error('spokes have an output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#report = JSON.parse(line);
      this.#changed();
    });
  }

  static async start(rig: Rig, count: number, fingerprint: string): Promise<Spokes> {
    const program = fileURLToPath(new URL('./hub/spokes.js', import.meta.url));
    const options = { count, hub: rig.berlin.public4, fingerprint, identity: `${FOLDER}/spoke` };
    const wrapper = rig.enclosure.path(`${FOLDER}/tun_exec`);
    execFileSync('cc', ['-O2', '-std=gnu11', '-o', wrapper, join(SOURCES, 'hub/tun_exec.c')], { stdio: 'inherit' });
    const argv = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const netns = rig.paris.gateway;
    // Room for young objects: the far ends are only played here, and what they cost is the hub's loss.
    const child = rig.enclosure.start(
      [`${FOLDER}/tun_exec`, 'spokes', process.execPath, '--max-semi-space-size=64', program, ...argv],
      { netns, stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const up = 'until ip link set spokes up mtu 1500 txqueuelen 5000 2>/dev/null; do sleep 0.01; done';
    await rig.enclosure.run(['sh', '-c', `${up}; ip route add 100.64.0.0/10 dev spokes`], { netns });
    return new Spokes(child, count);
  }

  cpu(): number {
    return usageOf([this.#child.pid ?? 0]).cpuSeconds;
  }

  say(what: 'mark' | 'talk'): void {
    if (what === 'mark') this.#report = undefined;
    this.#child.stdin?.write(`${what}\n`);
  }

  /** Waits until every spoke has completed a handshake since the mark; yields how long after `since` that was. */
  async all(since: number): Promise<{ readonly ms: number; readonly report: SpokesReport }> {
    const end = now() + STORM_TIMEOUT_MS;
    for (;;) {
      const report = this.#report;
      if (report !== undefined && report.spokes === this.#count) return { ms: report.lastAt - since, report };
      if (this.#child.exitCode !== null) throw new Error('the spokes ended');
      if (now() > end) throw new Error(`only ${report?.spokes ?? 0} of ${this.#count} peers came up`);
      const woken = new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
      await Promise.race([woken, delay(1000)]);
    }
  }
}

interface Timed {
  readonly ms: number;
  readonly bytes: number;
}

/** The median time of five, and the mean of the hub's CPU for each. */
async function best(hub: Hub, run: () => Promise<Timed>): Promise<Timed & { readonly cpuMs: number }> {
  const all: Timed[] = [];
  const before = hub.cpu();
  for (let i = 0; i < REPEATS; i++) all.push(await run());
  const cpuMs = ((hub.cpu() - before) * 1000) / REPEATS;
  const middle = all.sort((a, b) => a.ms - b.ms)[Math.floor(REPEATS / 2)] ?? { ms: Number.NaN, bytes: 0 };
  return { ...middle, cpuMs };
}

const REPEATS = 5;

function table(rows: readonly Row[]): string {
  const first = rows[0];
  const lines: (readonly [string, (row: Row) => string])[] = [
    ['peers', (row) => String(row.peers)],
    ['configuration read, ms', (row) => row.configMs.toFixed(0)],
    ['start to first answer, ms', (row) => row.startMs.toFixed(0)],
    ['RSS configured, MiB', (row) => row.rssConfiguredMiB.toFixed(0)],
    ['RSS all up, MiB', (row) => row.rssUpMiB.toFixed(0)],
    [
      'memory per peer, KiB',
      (row) =>
        first === undefined || row === first
          ? ''
          : (((row.rssUpMiB - first.rssUpMiB) * 1024) / (row.peers - first.peers)).toFixed(1),
    ],
    ['idle CPU, % of a core', (row) => row.idleCpuPercent.toFixed(1)],
    ['first calls of all, s', (row) => (row.firstMs / 1000).toFixed(1)],
    ['restart to all back, s', (row) => (row.stormMs / 1000).toFixed(1)],
    ['… nine tenths, s', (row) => (row.stormMostMs / 1000).toFixed(1)],
    ['… half, s', (row) => (row.stormHalfMs / 1000).toFixed(1)],
    ['… all, after the first answer, s', (row) => (row.stormAfterStartMs / 1000).toFixed(1)],
    ['handshakes in the storm', (row) => String(row.stormHandshakes)],
    ['… failed', (row) => String(Object.values(row.stormFailures).reduce((sum, n) => sum + n, 0))],
    ['start, CPU s', (row) => row.startCpuSeconds.toFixed(2)],
    ['first calls, hub CPU per handshake, ms', (row) => row.hubCpuPerHandshakeMs.toFixed(2)],
    ['storm, CPU s of the hub', (row) => row.stormHubCpuSeconds.toFixed(1)],
    ['storm, CPU s of the simulated far ends', (row) => row.stormSpokesCpuSeconds.toFixed(1)],
    ['a packet a second each, % of a core', (row) => row.talkCpuPercent.toFixed(1)],
    ['status, ms', (row) => row.statusMs.toFixed(0)],
    ['… CPU ms', (row) => row.statusCpuMs.toFixed(0)],
    ['scrape, ms', (row) => row.scrapeMs.toFixed(0)],
    ['… CPU ms', (row) => row.scrapeCpuMs.toFixed(0)],
    ['reload of three changes, ms', (row) => row.reloadMs.toFixed(0)],
    ['reload of nothing, ms', (row) => row.reloadNothingMs.toFixed(0)],
    ['… CPU ms', (row) => row.reloadCpuMs.toFixed(0)],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines
    .map(([name, cell]) => `${name.padEnd(width)}  ${rows.map((row) => cell(row).padStart(9)).join(' ')}`)
    .join('\n');
}

/** CLOCK_MONOTONIC, the same in every process of the machine. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

const FOLDER = '/run/sites';
const SOURCES = fileURLToPath(new URL('../../../bench', import.meta.url));
const RESULTS = fileURLToPath(new URL('../../../bench/results', import.meta.url));
/** For the first probes, path MTU searches and the memory of the handshakes to pass. */
const SETTLE_MS = 15_000;
const TALK_MS = 3000;
const STORM_TIMEOUT_MS = 1_200_000;

await main();
