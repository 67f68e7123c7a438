import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { firstPing } from '../src/demo/measure.ts';
import { stop } from '../src/demo/enclosure.ts';
import { buildRig } from '../src/demo/rig.ts';
import { forecast, type LaneCost } from './lane-model.ts';
import { type MachineFacts, machineFacts, threadSeconds, tuneSocketBuffers, usageOf } from './machine.ts';
import { measure, type Test } from './measurements.ts';
import { OUTER_PATHS, type OuterPath, setOuterPath } from './outer-path.ts';
import { dtunnel } from './peers/dtunnel.ts';
import { median } from './run.ts';

const USAGE = `usage: npm run bench:lanes -- [--lanes 1,2,4] [--path pass,nic,off] [--rounds N] [--json]

TCP over dtunnel with several lanes, in turns: rate, and CPU time of the threads. And what that comes to with more cores than
this machine has, by bench/lane-model.ts. Needs root. Raw results go to bench/results/.`;

/** One measurement. CPU seconds are per 10⁹ bytes of TCP payload. */
interface Sample extends LaneCost {
  readonly path: OuterPath;
  readonly round: number;
  readonly gbps: number;
  /** Everything this machine did: both gateways, both hosts and the load. */
  readonly machine: number;
}

interface Results {
  readonly schema: 'dtunnel.lanes/1';
  readonly machine: MachineFacts;
  readonly samples: readonly Sample[];
}

/** As many streams as give each of four lanes some. */
const LOAD: Test & { kind: 'tcp' } = {
  kind: 'tcp',
  name: 'tcp12',
  streams: 12,
  reverse: false,
  traffic: 'lan',
  seconds: 3,
};

async function sample(lanes: number, path: OuterPath, round: number): Promise<Sample> {
  const peer = dtunnel(`${lanes} lanes`, '', 'ours', [`Lanes = ${lanes}`]);
  const rig = await buildRig({ internet: 'direct' });
  try {
    await setOuterPath(rig, path);
    const started = await peer.start(rig);
    if ((await firstPing(rig.enclosure, rig.berlin.host, rig.paris.host4, 15_000)) === undefined) {
      throw new Error(`no ping from LAN to LAN within 15 s, ${lanes} lanes`);
    }
    const pids = started.daemons.map(({ pid }) => pid ?? 0);
    const spent = () => pids.map((pid) => ({ all: usageOf([pid]).cpuSeconds, threads: threadSeconds(pid) }));
    const before = spent();
    const figures = await measure(rig, started, '', LOAD);
    const after = spent();
    for (const daemon of started.daemons) await stop(daemon, 'SIGKILL');
    const gbps = figures['gbps'] ?? Number.NaN;
    const perGb = (seconds: number): number => seconds / ((gbps / 8) * LOAD.seconds);
    const thread = (end: number, name: string): number => {
      const of = (threads?: ReadonlyMap<string, number>): number =>
        [...(threads ?? [])].reduce((sum, [one, seconds]) => (one.startsWith(name) ? sum + seconds : sum), 0);
      return of(after[end]?.threads) - of(before[end]?.threads);
    };
    return {
      lanes,
      path,
      round,
      gbps,
      transmit: perGb(thread(0, 'dtunnel-tx')),
      receive: perGb(thread(1, 'dtunnel-rx')),
      gateway: perGb(Math.max(...after.map(({ all }, end) => all - (before[end]?.all ?? 0)))),
      machine: figures['machineSecondsPerGB'] ?? Number.NaN,
    };
  } finally {
    await rig.close();
  }
}

/** The medians of the rounds, by lanes. */
function medians(samples: readonly Sample[], path: OuterPath): readonly Omit<Sample, 'round'>[] {
  const counts = [...new Set(samples.map(({ lanes }) => lanes))].sort((a, b) => a - b);
  return counts.map((lanes) => {
    const of = samples.filter((one) => one.path === path && one.lanes === lanes);
    const middle = (figure: 'gbps' | 'transmit' | 'receive' | 'gateway' | 'machine'): number =>
      median(of.map((one) => one[figure]));
    return {
      lanes,
      path,
      gbps: middle('gbps'),
      transmit: middle('transmit'),
      receive: middle('receive'),
      gateway: middle('gateway'),
      machine: middle('machine'),
    };
  });
}

/** A gateway of so many cores runs half as many lanes: each has two threads. */
const CORES = [2, 4, 8, 16] as const;

function report({ machine, samples }: Results): string {
  const lines: string[] = [];
  for (const path of new Set(samples.map((one) => one.path))) {
    const rows = medians(samples, path);
    lines.push(
      `${path}: measured on ${machine.cores} cores for everything, ${LOAD.streams} streams`,
      '| lanes | Gbit/s | CPU s/GB: transmit | receive | busier gateway | machine |',
      '| ----: | -----: | -----------------: | ------: | -------------: | ------: |',
      ...rows.map(({ lanes, gbps, ...cpu }) => {
        const seconds = [cpu.transmit, cpu.receive, cpu.gateway, cpu.machine].map((value) => value.toFixed(2));
        return `| ${[lanes, gbps.toFixed(2), ...seconds].join(' | ')} |`;
      }),
      `${path}: modelled, gateways with cores of their own`,
      ...CORES.flatMap((cores) => {
        const expected = forecast(rows, cores / 2, cores);
        if (expected === undefined) return [];
        return [`  ${cores} cores, ${expected.lanes} lanes: ${expected.gbps.toFixed(1)} Gbit/s (${expected.limit})`];
      }),
      '',
    );
  }
  return lines.join('\n');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      lanes: { type: 'string', default: '1,2,4' },
      path: { type: 'string', default: 'pass,nic' },
      rounds: { type: 'string', default: '3' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return;
  }
  const lanes = values.lanes.split(',').map(Number);
  const paths = OUTER_PATHS.filter((path) => values.path.split(',').includes(path));
  const isSound = lanes.every((count) => Number.isInteger(count) && count >= 1 && count <= MAX_LANES);
  if (!isSound || paths.length === 0 || !(Number(values.rounds) >= 1) || process.getuid?.() !== 0) {
    process.stderr.write(`${USAGE}\n`);
    process.exit(2);
  }
  const buffers = tuneSocketBuffers();
  const samples: Sample[] = [];
  const facts = machineFacts();
  try {
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const path of paths) {
        for (const count of round % 2 === 0 ? lanes : lanes.toReversed())
          samples.push(await sample(count, path, round));
      }
    }
  } finally {
    buffers.restore();
  }
  const results: Results = { schema: 'dtunnel.lanes/1', machine: facts, samples };
  const file = join(RESULTS, `lanes-${facts.date.slice(0, 19).replaceAll(':', '')}.json`);
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
  process.stdout.write(values.json === true ? `${JSON.stringify(results)}\n` : report(results));
  process.stderr.write(`raw results: ${file}\n`);
}

/** What `Lanes` may be (config/README.md). */
const MAX_LANES = 16;
const RESULTS = fileURLToPath(new URL('../../../bench/results', import.meta.url));

await main();
