import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sameData } from '../../src/base/same-data.ts';

describe('sameData', () => {
  it('compares scalars, lists and records by what they say', () => {
    expect(sameData({ a: [1, { b: 'x' }], c: undefined }, { c: undefined, a: [1, { b: 'x' }] })).toBe(true);
    for (const other of [{}, [], undefined, null, 'a', { a: 1, b: 1 }, { a: undefined }, { a: [1] }, { b: 1 }]) {
      expect(sameData({ a: 1 }, other), JSON.stringify(other)).toBe(false);
      expect(sameData(other, { a: 1 }), JSON.stringify(other)).toBe(false);
    }
    expect(sameData([1, 2], [2, 1])).toBe(false);
    expect(sameData([], {})).toBe(false);
    expect(sameData(Number.NaN, Number.NaN)).toBe(true);
  });

  it('finds a copy the same, and a copy with one change different', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const copy: unknown = structuredClone(value);
        expect(sameData(value, copy)).toBe(true);
        expect(sameData({ value, more: 1 }, { value: copy, more: 2 })).toBe(false);
      }),
    );
  });
});
