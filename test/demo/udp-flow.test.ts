import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlowCounter } from '../../src/demo/udp-flow.ts';

function countAll(numbers: readonly number[]): ReturnType<FlowCounter['report']> {
  const counter = new FlowCounter();
  for (const [i, n] of numbers.entries()) counter.count(n, i, i + 2);
  return counter.report();
}

describe('FlowCounter', () => {
  it('counts distinct numbers, repeats, and arrivals behind a higher number', () => {
    expect(countAll([0, 1, 3, 2, 2, 4])).toMatchObject({ received: 5, duplicated: 1, reordered: 1, longestLoss: 0 });
  });

  it('finds the longest run of missing numbers and the longest silence', () => {
    const counter = new FlowCounter();
    counter.count(0, 0, 10);
    counter.count(1, 0, 11);
    counter.count(5, 0, 61);
    counter.count(7, 0, 62);
    expect(counter.report()).toMatchObject({ longestLoss: 3, longestGapMs: 50 });
  });

  it('takes numbers far beyond its first size', () => {
    expect(countAll([0, 200_000]).longestLoss).toBe(199_999);
  });

  it('agrees with a set for any order of arrival', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(500), { maxLength: 300 }), (numbers) => {
        const { received, duplicated } = countAll(numbers);
        expect(received).toBe(new Set(numbers).size);
        expect(received + duplicated).toBe(numbers.length);
      }),
      { seed: 11 },
    );
  });

  it('gives delays by rank', () => {
    expect(countAll([0, 1, 2]).delayMs).toEqual({ p50: 2, p99: 2, max: 2 });
  });
});
