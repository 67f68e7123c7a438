import { type Run, spread } from './run.ts';

/** What a figure of ours is held against. */
type Against = 'best peer' | 'null cipher' | 'bare path' | 'itself';

/** One requirement: a ratio of ours to something, or a figure itself. */
interface Goal {
  readonly title: string;
  readonly path: string;
  readonly test: string;
  readonly figure: string;
  readonly against: Against;
  /** At least or at most. */
  readonly want: 'more' | 'less';
  readonly floor: number;
  readonly goal?: number;
}

/** A requirement with what a run found. */
export interface Verdict {
  readonly title: string;
  readonly against: string;
  readonly value: number;
  readonly floor: string;
  readonly goal: string;
  readonly holds: 'goal' | 'floor' | 'MISSED';
}

/** Every requirement that the figures of `run` can answer. */
export function verdicts(run: Run): readonly Verdict[] {
  return GOALS.flatMap((goal) => {
    const mine = spread(run, 'dtunnel', goal.path, goal.test, goal.figure)?.median;
    const other = rival(run, goal);
    if (mine === undefined || other === undefined) return [];
    const value = mine / other.value;
    const meets = (limit: number): boolean => (goal.want === 'more' ? value >= limit : value <= limit);
    const limit = (n: number | undefined): string =>
      n === undefined ? '' : `${goal.want === 'more' ? '≥' : '≤'} ${n}`;
    const reached = goal.goal !== undefined && meets(goal.goal) ? 'goal' : 'floor';
    const holds = meets(goal.floor) ? reached : 'MISSED';
    return [{ title: goal.title, against: other.name, value, floor: limit(goal.floor), goal: limit(goal.goal), holds }];
  });
}

/** The other tunnel with the best median, where there is one. */
export function bestPeer(
  run: Run,
  { path, test, figure, want }: Pick<Goal, 'path' | 'test' | 'figure' | 'want'>,
): { readonly name: string; readonly value: number } | undefined {
  const field = Object.keys(run.about)
    .filter((name) => !OUTSIDE_THE_FIELD.has(name))
    .flatMap((name) => {
      const value = spread(run, name, path, test, figure)?.median;
      return value === undefined ? [] : [{ name, value }];
    })
    .sort((a, b) => (want === 'more' ? b.value - a.value : a.value - b.value));
  return field[0];
}

function rival(run: Run, goal: Goal): { readonly name: string; readonly value: number } | undefined {
  if (goal.against === 'itself') return { name: '', value: 1 };
  if (goal.against === 'best peer') return bestPeer(run, goal);
  const name = goal.against === 'bare path' ? 'bare' : 'null-cipher';
  const value = spread(run, name, goal.path, goal.test, goal.figure)?.median;
  return value === undefined ? undefined : { name, value };
}

/** What is measured for comparison only: ourselves, no tunnel, and tunnels without encryption. */
const OUTSIDE_THE_FIELD: ReadonlySet<string> = new Set([
  'bare',
  'dtunnel',
  'dtunnel-openssl',
  'null-cipher',
  'fastd-null',
]);

const PATHS = [
  { path: 'pass', title: 'pass-through offload', floor: 2.5, goal: 4 },
  { path: 'nic', title: 'software GSO and GRO', floor: 2.5, goal: 4 },
  { path: 'off', title: 'no offload', floor: 1.3, goal: 2.5 },
];
const STREAMS = [
  { test: 'tcp1', title: 'TCP 1 →' },
  { test: 'tcp1-reverse', title: 'TCP 1 ←' },
  { test: 'tcp4', title: 'TCP 4 →' },
  { test: 'tcp4-reverse', title: 'TCP 4 ←' },
];

const GOALS: readonly Goal[] = [
  ...PATHS.flatMap(({ path, title, floor, goal }) =>
    STREAMS.flatMap((streams): Goal[] => {
      const common = {
        title: `${streams.title}, ${title}`,
        path,
        test: streams.test,
        figure: 'gbps',
        want: 'more' as const,
      };
      return [
        { ...common, against: 'best peer', floor, goal },
        { ...common, against: 'null cipher', floor: 0.7, goal: 0.9 },
      ];
    }),
  ),
  ...PATHS.map(({ path, title }): Goal => {
    const cost = { test: 'tcp1', figure: 'daemonSecondsPerGB', against: 'best peer', want: 'less' } as const;
    return { title: `CPU s/GB, TCP 1 →, ${title}`, path, ...cost, floor: 0.35, goal: 0.2 };
  }),
  packets('UDP 64 octets, best delivered', 'udp64', 'bare path', 1.5),
  packets('UDP 64 octets, best delivered', 'udp64', 'best peer', 3),
  packets('UDP 1300 octets, best delivered', 'udp1300', 'best peer', 2),
  delay('round trip p50, idle', 'rtt', 'p50Us', 1),
  delay('round trip p99, idle', 'rtt', 'p99Us', 1),
  delay('round trip p99, beside one TCP stream', 'rtt-loaded', 'p99Us', 0.5),
  {
    title: 'memory of a daemon, MiB',
    path: 'pass',
    test: 'memory',
    figure: 'rssMiB',
    against: 'itself',
    want: 'less',
    floor: 100,
  },
];

function packets(title: string, test: string, against: Against, floor: number): Goal {
  return { title, path: 'pass', test, figure: 'kpps', against, want: 'more', floor };
}

function delay(title: string, test: string, figure: string, floor: number): Goal {
  return { title, path: 'pass', test, figure, against: 'best peer', want: 'less', floor };
}
