import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_SEQUENCE, type SequenceNumber } from '../../src/base/brand.ts';
import { ReplayWindow } from '../../src/dtls/replay.ts';

const n = (value: number) => value as SequenceNumber;

/** What the window means, without any cleverness: all numbers ever accepted. */
class Oracle {
  readonly #accepted = new Set<number>();
  #newest = -1;

  check(value: number): boolean {
    return value > this.#newest - 64 && !this.#accepted.has(value);
  }

  commit(value: number): void {
    this.#accepted.add(value);
    this.#newest = Math.max(this.#newest, value);
  }
}

describe('ReplayWindow (RFC 6347 §4.1.2.6)', () => {
  it('agrees with a set of all accepted numbers', () => {
    const number = fc.oneof(fc.nat(200), fc.nat(100_000), fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 33 + 5, 2 ** 47));
    const near = fc.tuple(number, fc.integer({ min: -70, max: 70 })).map(([base, by]) => Math.max(0, base + by));
    fc.assert(
      fc.property(fc.array(near, { maxLength: 200 }), (numbers) => {
        const window = new ReplayWindow();
        const oracle = new Oracle();
        for (const value of numbers) {
          expect(window.check(n(value))).toBe(oracle.check(value));
          if (oracle.check(value)) {
            window.commit(n(value));
            oracle.commit(value);
          }
          expect(window.check(n(value))).toBe(false);
        }
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it.each([0, 1, 31, 32, 33, 63])('keeps what is %i behind the newest, once', (distance) => {
    const window = new ReplayWindow();
    window.commit(n(1000));
    expect(window.check(n(1000 - distance))).toBe(distance > 0);
    window.commit(n(1000 - distance));
    expect(window.check(n(1000 - distance))).toBe(false);
  });

  it('refuses what is 64 or more behind, seen or not', () => {
    const window = new ReplayWindow();
    window.commit(n(1000));
    expect(window.check(n(937))).toBe(true);
    expect(window.check(n(936))).toBe(false);
    expect(window.check(n(0))).toBe(false);
  });

  it.each([1, 31, 32, 33, 63, 64, 65, 2 ** 31, 2 ** 32, 2 ** 47])('moves by %i without forgetting', (by) => {
    const window = new ReplayWindow();
    for (const value of [990, 998, 1000]) window.commit(n(value));
    window.commit(n(1000 + by));
    for (let value = 1000 + by - 63; value <= 1000 + by; value++) {
      const seen = [990, 998, 1000, 1000 + by].includes(value);
      if (value >= 0) expect(window.check(n(value)), `${value}`).toBe(!seen);
    }
  });

  it('reaches the last number there is', () => {
    const window = new ReplayWindow();
    window.commit(MAX_SEQUENCE);
    expect(window.check(MAX_SEQUENCE)).toBe(false);
    expect(window.check(n(MAX_SEQUENCE - 1))).toBe(true);
  });

  it('tells what it has accepted, and never moves by a check', () => {
    const window = new ReplayWindow();
    expect(window.accepted()).toEqual([]);
    for (const value of [3, 0, 7]) window.commit(n(value));
    for (let value = 8; value < 500; value++) window.check(n(value));
    expect(window.accepted()).toEqual([7, 3, 0]);
  });
});
