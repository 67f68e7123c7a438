import { describe, expect, it } from 'vitest';
import { type Burst, RateSearch } from '../../bench/rate-search.ts';

/** A path that carries `capacity` datagrams a second, less the more it is flooded, fed by a generator that makes `most`. */
function path(capacity: number, most: number): (rate: number) => Burst {
  return (rate) => {
    const offered = Math.min(rate, most);
    const delivered = offered <= capacity ? offered : Math.max(capacity * 0.3, capacity - (offered - capacity) / 2);
    return { offered, delivered };
  };
}

function searched(send: (rate: number) => Burst, tries: number): RateSearch {
  const search = new RateSearch(send(Number.POSITIVE_INFINITY));
  for (let i = 0; i < tries; i++) search.record(send(search.next));
  return search;
}

describe('RateSearch', () => {
  it.each([20_000, 50_000, 90_000, 140_000])('finds the clean rate of a path of %i/s within a tenth', (capacity) => {
    const { cleanRate } = searched(path(capacity, 150_000), 8);
    expect(cleanRate / capacity).toBeGreaterThan(0.9);
    expect(cleanRate).toBeLessThanOrEqual(capacity);
  });

  it('takes what the generator makes when the path carries all of it', () => {
    const search = searched(path(1e9, 120_000), 3);
    expect([search.cleanRate, search.best.delivered]).toEqual([120_000, 120_000]);
  });

  it('says nothing was clean when nothing was', () => {
    expect(
      searched((rate) => ({ offered: Math.min(rate, 1e5), delivered: Math.min(rate, 1e5) / 2 }), 6).cleanRate,
    ).toBe(0);
  });

  it('forgives a bad burst below a good one', () => {
    const search = new RateSearch({ offered: 100, delivered: 80 });
    search.record({ offered: 70, delivered: 40 });
    search.record({ offered: 90, delivered: 90 });
    expect(search.next).toBeGreaterThan(90);
  });
});
