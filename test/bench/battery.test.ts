import { describe, expect, it } from 'vitest';
import { type BatteryRun, type Floor, type Outcome, quantile, shortcomings } from '../../bench/battery/outcome.ts';
import { brokenPlan, randomPlan } from '../../bench/battery/plans.ts';
import { costTable } from '../../bench/battery/report.ts';
import { Choice } from '../../bench/battery/scenario.ts';
import { lapOf, totalsOf } from '../../bench/battery/traffic.ts';
import { parseSettings } from '../../src/config/load.ts';
import { planChanges } from '../../src/config/diff.ts';
import { FlowCounter } from '../../src/demo/udp-flow.ts';
import type { DirectionReport } from '../../src/demo/measure.ts';
import type { ConfigChanges } from '../../src/demo/link.ts';
import { site } from '../../src/demo/rig.ts';

const FLOOR: Floor = { lost: 0, reordered: 0, gapMs: 100, tookMs: 100 };

function outcome(over: Partial<Outcome> = {}): Outcome {
  const totals = totalsOf({ fromBerlin: carried([0, 1, 2]), fromParis: carried([0, 1, 2]) }, undefined);
  return {
    scenario: 'rekey',
    seed: 1,
    commit: 'c',
    load: '0',
    happenings: [{ kind: 'x', gapMs: 5 }],
    totals,
    failures: [],
    ...over,
  };
}

/** What a direction reports in which three datagrams were sent and `arrivals` came. */
function carried(arrivals: readonly number[], more: Partial<DirectionReport> = {}): DirectionReport {
  const counter = new FlowCounter();
  for (const n of arrivals) counter.count(n, 0, n);
  const seen = counter.report();
  const lost = 3 - seen.received;
  return { ...seen, sent: 3, sendErrors: 0, corrupted: 0, foreign: 0, overrun: 0, lost, ...more };
}

const whole = carried([0, 1, 2]);
const judged = (fromParis: DirectionReport) =>
  shortcomings(outcome({ totals: totalsOf({ fromBerlin: whole, fromParis }, undefined) }), FLOOR);

describe('the judge of the battery', () => {
  it('finds nothing where nothing is missing', () => {
    expect(judged(whole)).toEqual([]);
  });

  it.each([
    ['one lost', carried([0, 2]), ['lost: 1, at most 0']],
    ['the last one lost', carried([0, 1]), ['lost: 1, at most 0']],
    ['one twice', carried([0, 1, 1, 2]), ['duplicated: 1, at most 0']],
    ['two that changed places', carried([0, 2, 1]), ['reordered: 1, at most 0']],
    ['one damaged', carried([0, 1, 2], { corrupted: 1 }), ['damaged: 1, at most 0']],
  ])('sees %s in either direction', (_, direction, expected) => {
    expect(judged(direction)).toEqual(expected);
    const mirrored = totalsOf({ fromBerlin: direction, fromParis: whole }, undefined);
    expect(shortcomings(outcome({ totals: mirrored }), FLOOR)).toEqual(expected);
  });

  it('allows nothing twice or damaged where losses are allowed', () => {
    const totals = totalsOf({ fromBerlin: carried([0, 1, 1, 2]), fromParis: whole }, undefined);
    expect(shortcomings(outcome({ totals }), {})).toEqual(['duplicated: 1, at most 0']);
  });

  it('sees a gap, a delay, a damaged TCP flow, and a packet in the clear', () => {
    const happenings = [{ kind: 'x', gapMs: 101, tookMs: 250 }];
    const tcp = { bytes: 1, intact: false, longestStallMs: 0, seconds: 1, bitsPerSecond: 8 };
    const totals = totalsOf({ fromBerlin: whole, fromParis: whole }, tcp);
    expect(shortcomings(outcome({ happenings, totals, inTheClear: 2 }), FLOOR)).toEqual([
      'in the clear: 2, at most 0',
      'longest gap, ms: 101, at most 100',
      'longest time, ms: 250, at most 100',
      'TCP: damaged, or nothing came',
    ]);
  });

  it('does not take idleness for success', () => {
    const nothing = totalsOf({ fromBerlin: { ...whole, sent: 0 }, fromParis: { ...whole, sent: 0 } }, undefined);
    expect(shortcomings(outcome({ happenings: [], totals: nothing }), FLOOR)).toEqual([
      'nothing was done',
      'no traffic',
    ]);
  });

  it('ranks as percentiles do', () => {
    const values = Array.from({ length: 200 }, (_, i) => i);
    expect([quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1), quantile([], 1)]).toEqual([
      100,
      198,
      199,
      undefined,
    ]);
  });
});

describe('a lap', () => {
  it('tells what was lost since the one before, and the longest silence with its end', () => {
    const counter = new FlowCounter();
    for (const n of [0, 1, 2]) counter.count(n, 0, n);
    counter.lap(3);
    counter.count(5, 0, 60);
    counter.count(6, 0, 61);
    const lap = counter.lap(62);
    expect(lap).toMatchObject({ expected: 4, received: 2, longestGap: { ms: 58, endedAt: 60 } });
    const other = { ...lap, expected: 3, received: 3, longestGap: { ms: 1, endedAt: 1 } };
    expect(lapOf({ fromBerlin: other, fromParis: lap })).toEqual({
      gapMs: 58,
      gapEndedAt: 60,
      lost: 2,
      lostFrom: { berlin: 0, paris: 2 },
    });
  });

  it('counts a silence that has not ended', () => {
    const counter = new FlowCounter();
    counter.count(0, 0, 10);
    expect(counter.lap(500).longestGap).toEqual({ ms: 490, endedAt: 500 });
  });
});

describe('the table', () => {
  const described = { name: 'rekey', title: 'rekey', floor: FLOOR, promise: '0 lost' };
  const machine = { date: '2026-01-02T03:04:05Z', cpu: 'c', cores: 2, memoryGiB: 1, kernel: 'k', node: 'n', load: '0' };
  const run = (one: Outcome): BatteryRun => ({ schema: 'dtunnel.battery/1', machine, outcomes: [one] });

  it('says whether the floor holds, and why a scenario was not run', () => {
    expect(costTable(run(outcome()), [described])).toMatch(/\| rekey +\| 1 +\| 0 lost \| 0 of 6 lost.*\| ✓ \|/);
    const lost = totalsOf({ fromBerlin: carried([0]), fromParis: whole }, undefined);
    expect(costTable(run(outcome({ totals: lost })), [described])).toMatch(/2 of 6 lost.*\| ✗ \|/);
    expect(costTable(run(outcome({ skipped: 'no TUN' })), [described])).toContain('not run: no TUN');
  });
});

describe('plans', () => {
  const paris = site('paris', false);
  const allowedIps = '172.31.0.1/32, 10.1.0.0/16';
  let text = '';
  /** A link that keeps its only file here. */
  const link: Parameters<typeof randomPlan>[0] = {
    allowedIps: () => allowedIps,
    configure: (_, changes: ConfigChanges) => {
      const general = { Address: '172.31.0.2/30', ListenPort: '4433', Certificate: '/c', PrivateKey: '/k' };
      const peer = {
        Name: 'berlin',
        Fingerprint: '12'.repeat(32),
        Endpoint: '203.0.113.10:4433',
        AllowedIPs: allowedIps,
      };
      const lines = (values: object) => Object.entries(values).map(([key, value]) => `${key} = ${value}\n`);
      const sections = [lines({ ...general, ...changes.interface }), lines({ ...peer, ...changes.peer })];
      text = `[Interface]\n${sections[0]?.join('')}[Peer]\n${sections[1]?.join('')}`;
    },
    text: () => text,
  };
  const parse = (plan: string) => parseSettings('paris.conf', plan);

  it('by any seed are right, hitless, and not all the same', () => {
    const texts = new Set<string>();
    let before: ReturnType<typeof parse> | undefined;
    for (let seed = 1; seed <= 200; seed++) {
      const plan = randomPlan(link, paris, new Choice(seed));
      const loaded = parse(plan.text);
      if (!loaded.ok) throw new Error(`${seed}: ${plan.summary}: ${JSON.stringify(loaded.error.items)}`);
      if (before?.ok === true) {
        expect(planChanges(before.value.settings, loaded.value.settings).hitless, plan.summary).toBe(true);
      }
      before = loaded;
      texts.add(plan.text);
    }
    expect(texts.size).toBeGreaterThan(150);
  });

  it('that are broken are refused, or cannot be applied while running', () => {
    link.configure(paris, {});
    const good = link.text(paris);
    const fine = parse(good);
    for (let seed = 1; seed <= 100; seed++) {
      const plan = brokenPlan(good, new Choice(seed));
      const loaded = parse(plan.text);
      if (!loaded.ok || plan.codes.test('K001')) continue;
      const changes = fine.ok ? planChanges(fine.value.settings, loaded.value.settings) : undefined;
      expect(changes?.hitless, plan.summary).toBe(false);
    }
  });
});
