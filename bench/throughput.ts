import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { stop } from '../src/demo/enclosure.ts';
import { firstPing } from '../src/demo/measure.ts';
import { buildRig } from '../src/demo/rig.ts';
import { isInstalled, machineFacts, tuneSocketBuffers } from './machine.ts';
import { type Figures, measure } from './measurements.ts';
import { setOuterPath } from './outer-path.ts';
import type { Peer } from './peers/support.ts';
import { FULL, PACKAGES, PEERS, type Plan, QUICK, type Visit, visitsOf } from './plan.ts';
import { plots } from './plot.ts';
import { prioritized } from './priority.ts';
import { details, summary, withBlock } from './readme.ts';
import { table } from './report.ts';
import type { HandshakeCost, HandshakeCosts, Outcome, Run } from './run.ts';

const USAGE = `usage: npm run bench -- [--quick] [--rounds N] [--only PEER,…] [--path pass,nic,off] [--priority] [--json] [--out FILE] [--install]

Measures dtunnel, the bare path and every other tunnel that is installed between two LANs in network namespaces,
one after the other, round by round. Needs root, iperf3, a C compiler and ethtool.
A full run keeps its raw results in bench/results/, draws the plots there and writes the tables of both READMEs from them;
a narrowed one keeps its results where --out says.
--install gets what is missing from the distribution first (apt-get). --priority keeps other work on the machine out of the
figures. WIREGUARD_GO names a wireguard-go beside the distribution's.`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean' },
      json: { type: 'boolean' },
      priority: { type: 'boolean' },
      help: { type: 'boolean' },
      install: { type: 'boolean' },
      rounds: { type: 'string' },
      only: { type: 'string' },
      path: { type: 'string' },
      out: { type: 'string' },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  if (values.install === true) install();
  requireTools();
  progress('building plane_peer');
  execFileSync('make', ['-s', '-j2', '-C', join(ROOT, 'native/test'), 'build/bench/plane_peer'], { stdio: 'inherit' });
  nameAbsent();
  const plan = narrowed(values.quick === true ? QUICK : FULL, values.rounds, values.path);
  const peers = chosen(values.only?.split(','));
  const run = await runAll(plan, peers, values.priority === true);
  const whole = values.quick !== true && values.only === undefined && values.path === undefined;
  const name = `${run.machine.date.slice(0, 19).replaceAll(':', '')}.json`;
  const file = values.out ?? (whole ? join(RESULTS, name) : undefined);
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(run, null, 1)}\n`);
  if (whole && values.out === undefined) publish(name, run);
  process.stdout.write(values.json === true ? `${JSON.stringify(run)}\n` : table(run));
  if (file !== undefined) process.stderr.write(`raw results: ${file}\n`);
}

/** Makes the plots and the READMEs' tables say what was just measured. */
function publish(name: string, run: Run): void {
  for (const [plot, svg] of Object.entries(plots(run))) writeFileSync(join(RESULTS, plot), svg);
  for (const [readme, block] of [
    ['README.md', summary({ name, run })],
    ['bench/README.md', details({ name, run })],
  ] as const) {
    writeFileSync(join(ROOT, readme), withBlock(readFileSync(join(ROOT, readme), 'utf8'), block));
  }
}

async function runAll(plan: Plan, peers: readonly Peer[], priority: boolean): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'dtunnel-bench-'));
  const buffers = tuneSocketBuffers();
  const outcomes: Outcome[] = [];
  const offloads: Record<string, Readonly<Record<string, string>>> = {};
  const interrupted = (): never => {
    buffers.restore();
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const udpLoad = compileUdpLoad(folder);
    const machine = machineFacts();
    const visits = visitsOf(plan, peers);
    for (const [i, visit] of visits.entries()) {
      const { path, peer, round } = visit;
      progress(`${i + 1}/${visits.length}  round ${round + 1}  ${path}  ${peer.name}`);
      const found = await runPeer(visit, { udpLoad, priority }, (state) => {
        offloads[path] = state;
      });
      for (const outcome of found) outcomes.push({ ...outcome, round });
    }
    if (plan.handshakes) progress('handshakes');
    const handshakes = plan.handshakes ? handshakeCosts() : undefined;
    progress(undefined);
    const versions = Object.fromEntries(peers.map((peer) => [peer.name, peer.version() ?? '']));
    const about = Object.fromEntries(peers.map((peer) => [peer.name, peer.about]));
    const absent = PEERS.flatMap((p) => (p.missing() === undefined ? [] : [`${p.name}: ${p.missing()}`]));
    return {
      schema: 'dtunnel.bench/1',
      machine,
      versions,
      about,
      absent,
      offloads,
      tuned: buffers.applied,
      priority,
      outcomes,
      ...(handshakes !== undefined && { handshakes }),
    };
  } finally {
    process.removeListener('SIGINT', interrupted).removeListener('SIGTERM', interrupted);
    buffers.restore();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs handshake.ts, which keeps its raw results too, and takes the medians of its rounds. */
function handshakeCosts(): HandshakeCosts {
  const program = fileURLToPath(new URL('./handshake.js', import.meta.url));
  const said = execFileSync(process.execPath, [program], { encoding: 'utf8' });
  const { rounds } = JSON.parse(readFileSync(/^raw results: (.*)$/m.exec(said)?.[1] ?? '', 'utf8'));
  const median = (of: 'ours' | 'openssl', side: keyof HandshakeCost): number =>
    rounds
      .map((round: Record<string, HandshakeCost>) => Number(round[of]?.[side]))
      .sort((a: number, b: number) => a - b)[rounds.length >> 1];
  const cost = (of: 'ours' | 'openssl'): HandshakeCost => ({
    client: median(of, 'client'),
    server: median(of, 'server'),
  });
  return { ours: cost('ours'), openssl: rounds[0]?.openssl === undefined ? undefined : cost('openssl') };
}

/** A fresh rig for every visit: nothing of one is left for the next. */
async function runPeer(
  { peer, path, tests }: Visit,
  means: { readonly udpLoad: string; readonly priority: boolean },
  sawOffloads: (state: Readonly<Record<string, string>>) => void,
): Promise<readonly Omit<Outcome, 'round'>[]> {
  const plain = await buildRig({ internet: 'direct', needsTun: peer.name !== 'bare' });
  const rig = means.priority ? prioritized(plain) : plain;
  const base = { peer: peer.name, path };
  try {
    sawOffloads(await setOuterPath(rig, path));
    const started = await peer.start(rig);
    if ((await firstPing(rig.enclosure, rig.berlin.host, rig.paris.host4, 15_000)) === undefined) {
      return [{ ...base, test: 'start', figures: {}, failure: 'no ping from LAN to LAN within 15 s' }];
    }
    await delay(SETTLE_MS);
    const outcomes: Omit<Outcome, 'round'>[] = [];
    for (const test of tests) {
      outcomes.push({ ...base, test: test.name, ...(await attempt(() => measure(rig, started, means.udpLoad, test))) });
    }
    for (const daemon of started.daemons) await stop(daemon, 'SIGKILL');
    return outcomes;
  } catch (error) {
    return [{ ...base, test: 'start', figures: {}, failure: reason(error) }];
  } finally {
    await rig.close();
  }
}

/** A test that fails is a result too. */
async function attempt(run: () => Promise<Figures>): Promise<{ readonly figures: Figures; readonly failure?: string }> {
  try {
    return { figures: await run() };
  } catch (error) {
    return { figures: {}, failure: reason(error) };
  }
}

function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 300);
}

function compileUdpLoad(folder: string): string {
  const program = join(folder, 'udp_load');
  const source = join(ROOT, 'bench/udp_load.c');
  execFileSync('cc', ['-O2', '-std=c11', '-o', program, source], { stdio: 'inherit' });
  return program;
}

function narrowed(plan: Plan, rounds: string | undefined, paths: string | undefined): Plan {
  const wanted = paths?.split(',');
  return {
    rounds: rounds === undefined ? plan.rounds : Math.max(1, Number.parseInt(rounds, 10) || 1),
    paths: wanted === undefined ? plan.paths : FULL.paths.filter((path) => wanted.includes(path)),
    tests: plan.tests,
    idleRounds: wanted === undefined || wanted.includes('pass') ? plan.idleRounds : 0,
    handshakes: plan.handshakes,
  };
}

function chosen(only: readonly string[] | undefined): readonly Peer[] {
  const unknown = only?.filter((name) => !PEERS.some((peer) => peer.name === name)) ?? [];
  if (unknown.length > 0) quit(`no such peer: ${unknown.join(', ')}; there are ${PEERS.map((p) => p.name).join(', ')}`);
  return PEERS.filter((peer) => peer.missing() === undefined && (only === undefined || only.includes(peer.name)));
}

function requireTools(): void {
  if (process.getuid?.() !== 0) quit('run it as root: socket buffers and device offloads are set');
  const missing = ['ip', 'iperf3', 'ethtool', 'ping', 'cc', 'c++', 'make'].filter((program) => !isInstalled(program));
  if (missing.length > 0) quit(`not installed: ${missing.join(', ')} (--install, or apt-get install ${PACKAGES})`);
}

function nameAbsent(): void {
  for (const peer of PEERS) {
    const why = peer.missing();
    if (why !== undefined) process.stderr.write(`bench: ${peer.name} takes no part: ${why}\n`);
  }
}

function install(): void {
  if (!isInstalled('apt-get')) quit(`there is no apt-get here; what is needed: ${PACKAGES}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  execFileSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...PACKAGES.split(' ')], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env,
  });
}

function quit(message: string): never {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(2);
}

/** One line that is overwritten on a terminal, one line each elsewhere. */
function progress(text: string | undefined): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text ?? ''}`);
  else if (text !== undefined) process.stderr.write(`${text}\n`);
}

/** For everybody alike: by then what a tunnel finds out at its start, the path MTU say, is found out. */
const SETTLE_MS = 3000;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const RESULTS = join(ROOT, 'bench/results');

await main();
