import { describe, expect, it } from 'vitest';
import { shortcomings } from '../../bench/battery/outcome.ts';
import { perform } from '../../bench/battery/scenario.ts';
import { SCENARIOS } from '../../bench/battery/scenarios.ts';
import { UNABLE } from './support.ts';

/** The other tests here have them already, or they take minutes. */
const ELSEWHERE = ['rekey', 'failover', 'crash', 'path-mtu', 'freeze-30s', 'freeze-10min'];

/**
 * A few seconds of each scenario of `npm run battery`. What is counted (lost, twice, out of order, damaged, in the clear) is
 * judged as in the full run; times are not: this machine may be busy.
 */
describe.skipIf(UNABLE !== undefined)('the battery', () => {
  const scenarios = SCENARIOS.filter(({ name }) => !ELSEWHERE.includes(name));
  it.each(scenarios.map((scenario) => [scenario.title, scenario] as const))('%s', async (_, scenario) => {
    const outcome = await perform(scenario, { count: scenario.few, seed: 7, progress: () => undefined });
    if (outcome.skipped !== undefined) {
      console.log(`${scenario.name}: not run: ${outcome.skipped}`);
      return;
    }
    const { lost, reordered } = scenario.floor;
    const counted = { ...(lost === undefined ? {} : { lost }), ...(reordered === undefined ? {} : { reordered }) };
    expect(shortcomings(outcome, counted)).toEqual([]);
  });
});
