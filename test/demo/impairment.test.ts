import { describe, expect, it } from 'vitest';
import { type Impairment, ImpairedPath } from '../../src/demo/impairment.ts';

/** Sends `count` datagrams of 1000 octets, one each millisecond; yields the arrivals in order of sending. */
function sendMany(impairment: Impairment, count = 10_000, seed = 3) {
  const path = new ImpairedPath(impairment, seed);
  const arrivals = Array.from({ length: count }, (_, i) => path.send(1000, i));
  return { path, arrivals };
}

describe('ImpairedPath', () => {
  it('passes everything at once and intact when nothing is asked for', () => {
    const { path, arrivals } = sendMany({}, 100);
    expect(path.counts).toMatchObject({ passed: 100, lost: 0 });
    expect(arrivals.every(([one, two]) => one?.inMs === 0 && one.flipBit === undefined && two === undefined)).toBe(
      true,
    );
  });

  it('meets the same fate for the same seed, another for another', () => {
    const impairment = { loss: 0.3, duplicate: 0.2, corrupt: 0.1, jitterMs: 5 };
    expect(sendMany(impairment, 200).arrivals).toEqual(sendMany(impairment, 200).arrivals);
    expect(sendMany(impairment, 200).arrivals).not.toEqual(sendMany(impairment, 200, 4).arrivals);
  });

  it.each(['loss', 'duplicate', 'corrupt'] as const)('has the asked share of %s', (what) => {
    const { counts } = sendMany({ [what]: 0.2 }).path;
    const count = { loss: counts.lost, duplicate: counts.duplicated, corrupt: counts.corrupted }[what];
    expect(Math.abs(count - 2000)).toBeLessThan(160); // Four standard deviations.
  });

  it('loses in bursts whose mean length is what the chance to leave says', () => {
    const { arrivals } = sendMany({ burst: { enter: 0.01, leave: 0.1, loss: 1 } });
    const runs =
      arrivals
        .map((a) => (a.length === 0 ? 'x' : '.'))
        .join('')
        .match(/x+/g) ?? [];
    const mean = runs.reduce((sum, run) => sum + run.length, 0) / runs.length;
    expect(mean).toBeGreaterThan(7);
    expect(mean).toBeLessThan(14);
  });

  it('keeps order under jitter, and only breaks it when asked to', () => {
    const arrivesAt = (impairment: Impairment) =>
      sendMany(impairment, 500).arrivals.map(([a], i) => i + (a?.inMs ?? 0));
    const inversions = (times: number[]) => times.filter((t, i) => t < (times[i - 1] ?? 0)).length;
    expect(inversions(arrivesAt({ delayMs: 20, jitterMs: 20 }))).toBe(0);
    expect(inversions(arrivesAt({ reorder: { share: 0.2, byMs: 5 } }))).toBeGreaterThan(50);
  });

  it('serves a rate, and loses what would wait longer than the queue holds', () => {
    // 1028 octets a millisecond are offered to a link that carries half of them.
    const { path } = sendMany({ rate: 514 * 8 * 1000, queueMs: 50 }, 2000);
    expect(path.counts.passed).toBeGreaterThan(990);
    expect(path.counts.passed).toBeLessThan(1060);
  });

  it('swallows what is larger than the path carries', () => {
    const path = new ImpairedPath({ maxPayload: 1200 }, 1);
    expect([path.send(1200, 0).length, path.send(1201, 0).length]).toEqual([1, 0]);
    expect(path.counts.tooLarge).toBe(1);
  });

  it('becomes another path without forgetting its counts', () => {
    const path = new ImpairedPath({}, 1);
    path.send(100, 0);
    path.become({ loss: 1 });
    expect(path.send(100, 1)).toEqual([]);
    expect(path.counts).toMatchObject({ passed: 1, lost: 1 });
  });
});
