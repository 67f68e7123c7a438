import { verdicts } from './goals.ts';
import { type HandshakeCosts, type Outcome, type Run, roundsOf, type Spread, spread } from './run.ts';

/** The run as Markdown: one table of throughput per outer path, one of packets, one of time and cost. */
export function table(run: Run): string {
  const { machine } = run;
  const rounds = roundsOf(run, 'tcp1');
  const idle = roundsOf(run, 'rtt');
  const parts = [
    `${machine.cpu}, ${machine.cores} cores shared by both gateways, both hosts and the load, Linux ${machine.kernel}, ` +
      `Node ${machine.node}, ${machine.date.slice(0, 10)}. ${rounds} interleaved round${rounds > 1 ? 's' : ''}` +
      `${idle > rounds ? `, ${idle} of idle round trips` : ''}: median (min–max).`,
  ];
  for (const path of PATHS.filter((one) => run.outcomes.some((o) => o.path === one.name))) {
    for (const section of SECTIONS) {
      const columns = section.columns.filter((c) => run.outcomes.some((o) => o.path === path.name && has(o, c)));
      if (columns.length === 0) continue;
      parts.push(`### ${section.title}, ${path.title}`, grid(run, path.name, columns));
    }
  }
  if (run.handshakes !== undefined) parts.push('### Handshakes', handshakes(run.handshakes));
  const judged = verdicts(run);
  if (judged.length > 0) parts.push('### What must hold', judgement(judged));
  const failures = run.outcomes.flatMap((o) =>
    o.failure === undefined ? [] : [`- ${o.peer}, ${o.path}, ${o.test}, round ${o.round + 1}: ${o.failure}`],
  );
  if (failures.length > 0) parts.push('### Failed', failures.join('\n'));
  const used = Object.entries(run.about).map(([name, about]) =>
    `- ${name}: ${about}. ${run.versions[name] ?? ''}`.trimEnd(),
  );
  parts.push('### Who', used.join('\n'));
  if (run.absent.length > 0) parts.push(`Not here: ${run.absent.join('; ')}`);
  return `${parts.join('\n\n')}\n`;
}

function handshakes({ ours, openssl }: HandshakeCosts): string {
  const line = (side: 'client' | 'server'): string => {
    const rate = (us: number): string => `${(1e6 / us).toFixed(0)} a second of CPU`;
    const other = openssl === undefined ? 'OpenSSL was not measured' : `OpenSSL's libssl ${rate(openssl[side])}`;
    return `- full mutual handshake, ${side}: ${rate(ours[side])}; ${other}`;
  };
  return `${line('client')}\n${line('server')}`;
}

function judgement(judged: ReturnType<typeof verdicts>): string {
  const rows = judged.map(({ title, against, value, floor, goal, holds }) => [
    title,
    against === '' ? 'itself' : against,
    against === '' ? value.toFixed(0) : `${value.toFixed(2)} ×`,
    floor,
    goal,
    holds,
  ]);
  return aligned(['dtunnel', 'against', 'is', 'floor', 'goal', 'holds'], rows);
}

function grid(run: Run, path: string, columns: readonly Column[]): string {
  const peers = [...new Set(run.outcomes.map((o) => o.peer))];
  const order = Object.keys(run.about).filter((name) => peers.includes(name));
  const rows = order.map((peer) => [
    peer,
    ...columns.map((c) => {
      const found = spread(run, peer, path, c.test, c.figure);
      return found === undefined ? '–' : written(found, c.digits);
    }),
  ]);
  return aligned(['', ...columns.map((c) => c.title)], rows);
}

/** A Markdown table as the formatter leaves it; all columns but the first are figures. */
export function aligned(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

function written({ median, min, max }: Spread, digits: number): string {
  const one = median.toFixed(digits);
  return min === max ? one : `${one} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

interface Column {
  readonly title: string;
  readonly test: string;
  readonly figure: string;
  readonly digits: number;
}

function has(outcome: Outcome, column: Column): boolean {
  return outcome.test === column.test && outcome.figures[column.figure] !== undefined;
}

function column(title: string, test: string, figure: string, digits: number): Column {
  return { title, test, figure, digits };
}

const PATHS = [
  { name: 'pass', title: 'outer path with pass-through segmentation offload' },
  { name: 'nic', title: 'outer path with software segmentation and receive coalescing' },
  { name: 'off', title: 'outer path without any offload' },
];

const SECTIONS: readonly { readonly title: string; readonly columns: readonly Column[] }[] = [
  {
    title: 'TCP between the LANs, Gbit/s, and CPU seconds of both daemons per GB',
    columns: [
      column('1 stream →', 'tcp1', 'gbps', 2),
      column('1 stream ←', 'tcp1-reverse', 'gbps', 2),
      column('4 streams →', 'tcp4', 'gbps', 2),
      column('4 streams ←', 'tcp4-reverse', 'gbps', 2),
      column('gateway to gateway', 'tcp1-local', 'gbps', 2),
      column('CPU s/GB, 1', 'tcp1', 'daemonSecondsPerGB', 2),
      column('CPU s/GB, 4', 'tcp4', 'daemonSecondsPerGB', 2),
    ],
  },
  {
    title: 'UDP between the LANs, thousand packets/s: best delivered, and best with less than 1 % lost',
    columns: [
      column('64 B best', 'udp64', 'kpps', 0),
      column('64 B < 1 %', 'udp64', 'cleanKpps', 0),
      column('1300 B best', 'udp1300', 'kpps', 0),
      column('1300 B < 1 %', 'udp1300', 'cleanKpps', 0),
      column('IMIX best', 'imix', 'kpps', 0),
      column('IMIX < 1 %', 'imix', 'cleanKpps', 0),
    ],
  },
  {
    title: 'Round trips between the LANs, µs, idle and beside one TCP stream, and memory',
    columns: [
      column('idle p50', 'rtt', 'p50Us', 0),
      column('idle p99', 'rtt', 'p99Us', 0),
      column('loaded p50', 'rtt-loaded', 'p50Us', 0),
      column('loaded p99', 'rtt-loaded', 'p99Us', 0),
      column('RSS MiB', 'memory', 'rssMiB', 0),
    ],
  },
];
