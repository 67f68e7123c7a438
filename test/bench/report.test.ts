import { describe, expect, it } from 'vitest';
import { verdicts } from '../../bench/goals.ts';
import { plots } from '../../bench/plot.ts';
import { summary, withBlock } from '../../bench/readme.ts';
import { table } from '../../bench/report.ts';
import { type Outcome, type Run, spread } from '../../bench/run.ts';

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

describe('what must hold', () => {
  const outcome = (peer: string, test: string, figures: Record<string, number>): Outcome => ({
    peer,
    path: 'pass',
    round: 0,
    test,
    figures,
  });
  const judged = (mine: number, theirs: number, without: number) => {
    const one = run([
      outcome('dtunnel', 'tcp1', { gbps: mine, daemonSecondsPerGB: 1 }),
      outcome('a<b', 'tcp1', { gbps: theirs, daemonSecondsPerGB: 4 }),
      outcome('c', 'tcp1', { gbps: theirs / 2, daemonSecondsPerGB: 9 }),
      outcome('null-cipher', 'tcp1', { gbps: without, daemonSecondsPerGB: 0.5 }),
    ]);
    const about = { ...one.about, c: 'slower', 'null-cipher': 'ours without a cipher' };
    return verdicts({ ...one, about }).map(({ against, value, holds }) => [against, value, holds]);
  };

  it('is judged against the best other tunnel, not ourselves without a cipher', () => {
    expect(judged(4, 1, 4)).toEqual([
      ['a<b', 4, 'goal'],
      ['null-cipher', 1, 'goal'],
      ['a<b', 0.25, 'floor'],
    ]);
  });

  it('is missed below the floor', () => {
    expect(judged(2.4, 1, 3)).toEqual([
      ['a<b', 2.4, 'MISSED'],
      ['null-cipher', expect.closeTo(0.8), 'floor'],
      ['a<b', 0.25, 'floor'],
    ]);
  });

  it('is part of the table', () => {
    const one = run([outcome('dtunnel', 'memory', { rssMiB: 120 })]);
    expect(table(one)).toMatch(/memory of a daemon, MiB \|\s+itself \|\s+120 \|\s+≤ 100 \|\s+\|\s+MISSED/);
  });
});

describe('the tables in the READMEs', () => {
  it('stand between their markers, and nothing else changes', () => {
    const text = 'a\n<!-- begin: written by npm run bench -->\nold\n<!-- end: written by npm run bench -->\nb\n';
    const written = withBlock(text, 'new');
    expect(written).toContain('\n\nnew\n\n');
    expect(written).not.toContain('old');
    expect(withBlock(written, 'new')).toBe(written);
    expect([written.startsWith('a\n'), written.endsWith('\nb\n')]).toEqual([true, true]);
    expect(withBlock('no markers', 'new')).toBe('no markers');
  });

  it('compare with the best of the field', () => {
    const text = summary({ name: 'x.json', run: run([tcp('dtunnel', 0, 3), tcp('a<b', 0, 1.5)]) });
    expect(text).toMatch(/\| TCP, 1 stream, Gbit\/s, pass-through offload \|\s+\*\*3\.0\*\* \| 1\.5 \|\s+2\.00 × \|/);
    expect(text).toContain('(bench/results/x.json)');
  });
});
