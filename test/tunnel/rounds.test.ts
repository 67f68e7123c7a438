import { describe, expect, it } from 'vitest';
import { type Instant, seconds, type SessionSlot } from '../../src/base/brand.ts';
import { Rounds } from '../../src/tunnel/rounds.ts';

const at = (n: number): Instant => n as Instant;

describe('rounds', () => {
  const looked = (peers: number, deadAfter = seconds(10)) => {
    const asked: { part: number; parts: number }[] = [];
    const found: { slot: SessionSlot; before: Instant }[] = [];
    const changed = new Set<number>();
    const rounds: Rounds = new Rounds(
      (part, parts) => {
        asked.push({ part, parts });
        return [...changed].filter((slot) => slot % parts === part) as SessionSlot[];
      },
      (slot) => found.push({ slot, before: rounds.lookedAt(slot) }),
    );
    const arrange = (count: number, now: number): void =>
      rounds.arrange(
        Array.from({ length: count }, () => deadAfter),
        at(now),
      );
    /** Ticks at every deadline until `end`; yields when. */
    const run = (end: number): number[] => {
      const times: number[] = [];
      while (rounds.deadline !== undefined && rounds.deadline <= end) {
        times.push(rounds.deadline);
        rounds.tick(rounds.deadline);
      }
      return times;
    };
    arrange(peers, 0);
    asked.length = 0;
    return { rounds, asked, found, changed, arrange, run };
  };

  it('look at a few sessions together, a quarter of DeadAfter apart', () => {
    const { asked, run } = looked(100);
    expect(run(10_000)).toEqual([2500, 5000, 7500, 10_000]);
    expect(asked).toEqual(Array.from({ length: 4 }, () => ({ part: 0, parts: 1 })));
  });

  it('look at thousands a part at a time, and at all of them in half of DeadAfter', () => {
    const { asked, run } = looked(10_000);
    const times = run(5000);
    expect(times).toHaveLength(100);
    expect(asked.map(({ part }) => part)).toEqual(Array.from({ length: 100 }, (_, part) => part));
    expect(times[0]).toBe(50);
  });

  it('tell what has changed, and when it had not yet', () => {
    const { rounds, found, changed, run } = looked(1000);
    run(2500);
    changed.add(3).add(13).add(4);
    run(3750);
    expect(found.map(({ slot }) => slot)).toEqual([3, 13, 4]);
    expect(found.map(({ before }) => before)).toEqual([1000, 1000, 1250]);
    expect(rounds.lookedAt(3 as SessionSlot)).toBe(3500);
    expect(rounds.lookedAt(5 as SessionSlot)).toBe(1500);
  });

  it('look at everybody when the parts become others, and so know of everybody when', () => {
    const { rounds, asked, arrange, run } = looked(1000);
    run(1000);
    asked.length = 0;
    arrange(1001, 1100);
    expect(asked).toEqual([{ part: 0, parts: 1 }]);
    for (const slot of [0, 1, 999]) expect(rounds.lookedAt(slot as SessionSlot)).toBe(1100);
  });

  it('catch up after an absence with one round', () => {
    const { rounds, asked } = looked(1000);
    rounds.tick(at(3_600_000));
    expect(asked).toHaveLength(10);
    expect(rounds.deadline).toBeGreaterThan(3_600_000);
  });
});
