import { describe, expect, it } from 'vitest';
import { plots } from '../../bench/plot.ts';
import { type Outcome, type Run, spread, table } from '../../bench/report.ts';

function run(outcomes: readonly Outcome[]): Run {
  const machine = { date: '2026-01-02T03:04:05Z', cpu: 'c', cores: 2, memoryGiB: 1, kernel: 'k', node: 'n', load: '0' };
  const about = { dtunnel: 'ours', 'a<b': 'theirs' };
  return {
    schema: 'dtunnel.bench/1',
    machine,
    versions: {},
    about,
    absent: ['x: not installed'],
    offloads: {},
    tuned: true,
    priority: false,
    outcomes,
  };
}

function tcp(peer: string, round: number, gbps: number): Outcome {
  return { peer, path: 'pass', round, test: 'tcp1', figures: { gbps } };
}

describe('the report', () => {
  it('gives the median of the rounds with the extremes', () => {
    const three = run([tcp('dtunnel', 0, 3), tcp('dtunnel', 1, 1), tcp('dtunnel', 2, 2)]);
    expect(spread(three, 'dtunnel', 'pass', 'tcp1', 'gbps')).toEqual({ median: 2, min: 1, max: 3 });
    const two = run([tcp('dtunnel', 0, 3), tcp('dtunnel', 1, 1)]);
    expect(spread(two, 'dtunnel', 'pass', 'tcp1', 'gbps')?.median).toBe(2);
    expect(spread(two, 'dtunnel', 'off', 'tcp1', 'gbps')).toBeUndefined();
  });

  it('shows a dash for what was not measured, and every failure with its reason', () => {
    const failed: Outcome = { peer: 'a<b', path: 'pass', round: 0, test: 'tcp1', figures: {}, failure: 'no route' };
    const text = table(run([tcp('dtunnel', 0, 1.5), failed]));
    expect(text).toMatch(/\| dtunnel\s*\|\s*1\.50 \|/);
    expect(text).toMatch(/\| a<b\s*\|\s*– \|/);
    expect(text).toContain('a<b, pass, tcp1, round 1: no route');
    expect(text).toContain('Not here: x: not installed');
  });

  it('draws well-formed bars in proportion, with names escaped', () => {
    const svg = plots(run([tcp('dtunnel', 0, 4), tcp('a<b', 0, 1)]))['throughput.svg'] ?? '';
    const [long = 0, short = 0] = [...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map(([, w]) =>
      Number(w),
    );
    expect(long / short).toBeCloseTo(4, 1);
    expect(svg).toContain('a&lt;b');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });
});
