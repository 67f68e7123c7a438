import { describe, expect, it } from 'vitest';
import { Pattern, PERIOD } from '../../src/demo/pattern.ts';

describe('Pattern', () => {
  const pattern = new Pattern(5);

  it('is the same for the same seed and repeats after its period', () => {
    expect(pattern.at(100, 50).equals(new Pattern(5).at(100, 50))).toBe(true);
    expect(pattern.at(100, 50).equals(new Pattern(6).at(100, 50))).toBe(false);
    expect(pattern.at(100, 50).equals(pattern.at(100 + PERIOD, 50))).toBe(true);
  });

  it('matches any stretch of itself, however long and wherever it begins', () => {
    const long = Buffer.concat([pattern.at(7, PERIOD), pattern.at(7 + PERIOD, 1000)]);
    expect(pattern.matches(long, 7)).toBe(true);
    expect(pattern.matches(long.subarray(0, 100), PERIOD * 3 + 7)).toBe(true);
  });

  it('notices one changed bit, and a stretch in the wrong place', () => {
    const bytes = Buffer.from(pattern.at(0, 1500));
    expect(pattern.matches(bytes, 1)).toBe(false);
    bytes[1499] = (bytes[1499] ?? 0) ^ 1;
    expect(pattern.matches(bytes, 0)).toBe(false);
  });
});
