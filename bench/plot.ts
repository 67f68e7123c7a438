import { type Run, type Spread, spread } from './run.ts';

/** The two plots of a run, by file name: throughput and CPU per GB, one group of bars for each outer path. */
export function plots(run: Run): Readonly<Record<string, string>> {
  return {
    'throughput.svg': barChart(run, {
      title: 'TCP between two LANs, one stream, Gbit/s (more is better)',
      test: 'tcp1',
      figure: 'gbps',
      digits: 2,
      leaveOut: ['bare'],
    }),
    'cpu-per-gb.svg': barChart(run, {
      title: 'CPU seconds of both daemons for each GB carried (less is better)',
      test: 'tcp1',
      figure: 'daemonSecondsPerGB',
      digits: 1,
      leaveOut: ['bare'],
    }),
  };
}

interface Chart {
  readonly title: string;
  readonly test: string;
  readonly figure: string;
  readonly digits: number;
  /** Peers whose bars would dwarf or mean nothing beside the others. */
  readonly leaveOut: readonly string[];
}

/** Horizontal bars: names stay readable however many there are. A thin line shows the extremes of the rounds. */
function barChart(run: Run, chart: Chart): string {
  const groups = PATHS.flatMap(({ name, title }) => {
    const bars = Object.keys(run.about)
      .filter((peer) => !chart.leaveOut.includes(peer))
      .flatMap((peer) => {
        const value = spread(run, peer, name, chart.test, chart.figure);
        return value === undefined ? [] : [{ peer, value }];
      });
    return bars.length === 0 ? [] : [{ title, bars }];
  });
  const top = Math.max(...groups.flatMap((group) => group.bars.map((bar) => bar.value.max)), Number.MIN_VALUE);
  const scale = (value: number): number => (value / top) * (WIDTH - LEFT - RIGHT);
  const parts: string[] = [text(16, 24, chart.title, 'title')];
  let y = 40;
  for (const group of groups) {
    parts.push(text(16, y + 16, group.title, 'group'));
    y += 24;
    for (const { peer, value } of group.bars) {
      parts.push(...bar(peer, value, y, scale, chart.digits));
      y += BAR + 6;
    }
    y += 10;
  }
  const legend = `${run.machine.cpu}, ${run.machine.cores} cores, Linux ${run.machine.kernel}, ${run.machine.date.slice(0, 10)}`;
  parts.push(text(16, y + 8, `${legend}; median, line: min to max`, 'small'));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 20}" role="img">${STYLE}
<rect width="100%" height="100%" class="ground"/>
${parts.join('\n')}
</svg>
`;
}

function bar(peer: string, value: Spread, y: number, scale: (v: number) => number, digits: number): readonly string[] {
  const middle = y + BAR / 2;
  const [from, to] = [LEFT + scale(value.min), LEFT + scale(value.max)].map((x) => x.toFixed(1));
  return [
    text(LEFT - 8, middle + 4, peer, 'name'),
    `<rect x="${LEFT}" y="${y}" width="${scale(value.median).toFixed(1)}" height="${BAR}" rx="2" class="${peer.startsWith('dtunnel') ? 'ours' : 'other'}"/>`,
    `<line x1="${from}" y1="${middle}" x2="${to}" y2="${middle}" class="extremes"/>`,
    text(LEFT + scale(Math.max(value.max, value.median)) + 8, middle + 4, value.median.toFixed(digits), 'value'),
  ];
}

function text(x: number, y: number, content: string, kind: string): string {
  const safe = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" class="${kind}">${safe}</text>`;
}

const WIDTH = 760;
const LEFT = 150;
const RIGHT = 70;
const BAR = 16;

const PATHS = [
  { name: 'pass', title: 'pass-through segmentation offload' },
  { name: 'nic', title: 'software segmentation and receive coalescing' },
  { name: 'off', title: 'no offload' },
];

/** Readable on a light and on a dark page. */
const STYLE = `<style>
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: 600; } .group { font-weight: 600; } .small { font-size: 11px; fill: #57606a; }
.name { text-anchor: end; } .ground { fill: #ffffff; } .ours { fill: #0969da; } .other { fill: #b6bec7; }
.extremes { stroke: #24292f; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; } .ground { fill: #0d1117; } .ours { fill: #58a6ff; }
  .other { fill: #4b535d; } .extremes { stroke: #e6edf3; }
}
</style>`;
