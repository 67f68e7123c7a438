import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bestPeer } from './goals.ts';
import { aligned, table } from './report.ts';
import { type Run, roundsOf, spread } from './run.ts';

/** A run that is kept, with the name of its file. */
export interface KeptRun {
  readonly name: string;
  readonly run: Run;
}

/** The newest run below `results`; undefined when none is kept. */
export function newestRun(results: string): KeptRun | undefined {
  const name = readdirSync(results)
    .filter((file) => /^\d{4}-\d\d-\d\dT\d+\.json$/.test(file))
    .sort()
    .at(-1);
  return name === undefined ? undefined : { name, run: JSON.parse(readFileSync(join(results, name), 'utf8')) };
}

/** `text` with what stands between the markers replaced; unchanged without markers. */
export function withBlock(text: string, block: string): string {
  const from = text.indexOf(BEGIN);
  const to = text.indexOf(END);
  if (from < 0 || to < from) return text;
  return `${text.slice(0, from)}${BEGIN}\n\n${block.trim()}\n\n${text.slice(to)}`;
}

/** What the project's README says of a run. */
export function summary({ name, run }: KeptRun): string {
  const { machine } = run;
  const rounds = roundsOf(run, 'tcp1');
  const idle = roundsOf(run, 'rtt');
  const peers = Object.keys(run.about).filter((peer) => !ONLY_IN_THE_LONG_TABLE.has(peer));
  const head = ['', ...peers.map((peer) => (peer === 'dtunnel' ? '**dtunnel**' : peer)), 'dtunnel to the best other'];
  const rows = ROWS.flatMap((row) => {
    const cells = peers.map((peer) => spread(run, peer, row.path, row.test, row.figure)?.median);
    const mine = cells[peers.indexOf('dtunnel')];
    if (mine === undefined) return [];
    const best = bestPeer(run, row);
    const written = cells.map((value, i) => {
      const text = value === undefined ? '–' : value.toFixed(row.digits);
      return peers[i] === 'dtunnel' ? `**${text}**` : text;
    });
    return [[row.title, ...written, best === undefined ? '–' : `${(mine / best.value).toFixed(2)} ×`]];
  });
  return [
    'LAN to LAN through two gateways in network namespaces of one machine ' +
      `(${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}), whose cores both gateways, both hosts and the load ` +
      `share: absolute figures are low, ratios count. ${machine.date.slice(0, 10)}, medians of ${rounds} interleaved ` +
      `round${rounds === 1 ? '' : 's'}${idle > rounds ? ` (${idle} of idle round trips)` : ''}, [raw data](bench/results/${name}), [all figures and the method](bench/README.md), ` +
      'written by `npm run bench`.',
    aligned(head, rows),
  ].join('\n\n');
}

/** What the bench's README says of a run: everything. */
export function details({ name, run }: KeptRun): string {
  return `[\`results/${name}\`](results/${name}), load before it ${run.machine.load}.\n\n${table(run)}`;
}

const BEGIN = '<!-- begin: written by npm run bench -->';
const END = '<!-- end: written by npm run bench -->';

const ONLY_IN_THE_LONG_TABLE: ReadonlySet<string> = new Set(['dtunnel-openssl', 'null-cipher', 'fastd-null']);

const PATHS = [
  { path: 'pass', title: 'pass-through offload' },
  { path: 'nic', title: 'software GSO and GRO' },
  { path: 'off', title: 'no offload' },
];

const ROWS = [
  ...PATHS.map(({ path, title }) => row(`TCP, 1 stream, Gbit/s, ${title}`, path, 'tcp1', 'gbps', 1, 'more')),
  ...PATHS.map(({ path, title }) => row(`TCP, 4 streams, Gbit/s, ${title}`, path, 'tcp4', 'gbps', 1, 'more')),
  row('UDP 64 octets, best, 1000/s', 'pass', 'udp64', 'kpps', 0, 'more'),
  row('UDP 64 octets, < 1 % lost, 1000/s', 'pass', 'udp64', 'cleanKpps', 0, 'more'),
  row('UDP 1300 octets, best, 1000/s', 'pass', 'udp1300', 'kpps', 0, 'more'),
  row('round trip, idle, p50, µs', 'pass', 'rtt', 'p50Us', 0, 'less'),
  row('round trip, idle, p99, µs', 'pass', 'rtt', 'p99Us', 0, 'less'),
  row('round trip beside TCP, p99, µs', 'pass', 'rtt-loaded', 'p99Us', 0, 'less'),
  row('CPU s/GB, TCP, 1 stream', 'pass', 'tcp1', 'daemonSecondsPerGB', 1, 'less'),
  row('memory of a daemon, MiB', 'pass', 'memory', 'rssMiB', 0, 'less'),
];

function row(title: string, path: string, test: string, figure: string, digits: number, want: 'more' | 'less') {
  return { title, path, test, figure, digits, want };
}
