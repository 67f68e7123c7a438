import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Instant, ms } from '../../src/base/brand.ts';
import type { Path } from '../../src/net/endpoint.ts';
import { backoff } from '../../src/tunnel/leg.ts';
import { CONNECTION_ID_LENGTH, RETRY_MAX, SLOT_QUARANTINE } from '../../src/tunnel/limits.ts';
import { PathMemory } from '../../src/tunnel/path-memory.ts';
import { PathMtuSearch, type SearchInput } from '../../src/tunnel/path-mtu-search.ts';
import { Probes } from '../../src/tunnel/probes.ts';
import { Recalls } from '../../src/tunnel/recalls.ts';
import { PathQuality } from '../../src/tunnel/rtt.ts';
import { Schedule, type Scheduled } from '../../src/tunnel/schedule.ts';
import { SlotTable, slotOf } from '../../src/tunnel/slots.ts';
import { KeyedBuckets, TokenBucket } from '../../src/tunnel/token-bucket.ts';
import { Traffic } from '../../src/tunnel/traffic.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const at = (n: number): Instant => n as Instant;

describe('SlotTable', () => {
  it('gives out the smallest free slot, with its number at the head of an id nobody can guess', () => {
    const slots = new SlotTable(new SeededRandom(1));
    const leases = [0, 1, 2].map(() => slots.take(at(0)));
    expect(leases.map((lease) => lease?.slot)).toEqual([0, 1, 2]);
    const ids = leases.map((lease) => lease?.connectionId ?? new Uint8Array(0));
    expect(ids.map(slotOf)).toEqual([0, 1, 2]);
    expect(ids.every((id) => id.length === CONNECTION_ID_LENGTH)).toBe(true);
    expect(new Set(ids.map((id) => Buffer.from(id.subarray(3)).toString('hex'))).size).toBe(3);
  });

  it('lets a used slot rest before it is used again, and knows its id as late until then', () => {
    const slots = new SlotTable(new SeededRandom(1));
    const first = slots.take(at(0));
    if (first === undefined) throw new Error('a slot is free');
    slots.release(first, true, at(1000));
    expect(slots.isLate(first.connectionId, at(1001))).toBe(true);
    expect(slots.take(at(1001))?.slot).toBe(1);
    expect(slots.take(at(1000 + SLOT_QUARANTINE))?.slot).toBe(0);
    expect(slots.isLate(first.connectionId, at(1000 + SLOT_QUARANTINE))).toBe(false);
  });

  it('takes a slot whose id was never on the wire back at once', () => {
    const slots = new SlotTable(new SeededRandom(1));
    const first = slots.take(at(0));
    if (first === undefined) throw new Error('a slot is free');
    slots.release(first, false, at(1));
    expect(slots.take(at(1))?.slot).toBe(0);
  });

  it('has an end', () => {
    const slots = new SlotTable(new SeededRandom(1), 2);
    expect([slots.take(at(0)), slots.take(at(0)), slots.take(at(0))].map((l) => l?.slot)).toEqual([0, 1, undefined]);
  });

  it('never gives one slot to two owners', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 300 }), (steps) => {
        const slots = new SlotTable(new SeededRandom(1), 40);
        const held: NonNullable<ReturnType<SlotTable['take']>>[] = [];
        steps.forEach((take, i) => {
          const now = at(i * 3000);
          if (take) {
            const lease = slots.take(now);
            if (lease === undefined) return;
            expect(held.some((other) => other.slot === lease.slot)).toBe(false);
            held.push(lease);
          } else {
            const lease = held.splice((i * 7) % Math.max(held.length, 1), 1)[0];
            if (lease !== undefined) slots.release(lease, i % 3 > 0, now);
          }
        });
      }),
    );
  });
});

describe('Schedule', () => {
  interface Item extends Scheduled {
    readonly name: number;
  }
  const item = (name: number): Item => ({ name, heapIndex: -1, due: undefined });

  it('yields what is due in order of time, whatever was changed before', () => {
    const change = fc.tuple(fc.nat(19), fc.option(fc.nat(1000), { nil: undefined }));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
        const items = Array.from({ length: 20 }, (_, i) => item(i));
        const schedule = new Schedule<Item>();
        const truth = new Map<number, number>();
        for (const [name, due] of changes) {
          const target = items[name];
          if (target === undefined) continue;
          schedule.set(target, due === undefined ? undefined : at(due));
          if (due === undefined) truth.delete(name);
          else truth.set(name, due);
          expect(schedule.deadline).toBe(truth.size === 0 ? undefined : Math.min(...truth.values()));
          expect(schedule.size).toBe(truth.size);
        }
        const order: number[] = [];
        for (let next = schedule.takeDue(at(600)); next !== undefined; next = schedule.takeDue(at(600))) {
          order.push(truth.get(next.name) ?? -1);
        }
        expect(order).toEqual([...truth.values()].filter((due) => due <= 600).sort((a, b) => a - b));
      }),
    );
  });
});

describe('TokenBucket', () => {
  it('allows a burst, then its rate', () => {
    const bucket = new TokenBucket(10, 5);
    const taken = (from: number, until: number, step: number): number => {
      let n = 0;
      for (let t = from; t < until; t += step) if (bucket.take(at(t))) n++;
      return n;
    };
    expect(taken(0, 1, 0.1)).toBe(5);
    expect(taken(1, 10_001, 1)).toBeGreaterThanOrEqual(99);
    expect(taken(10_001, 20_001, 1)).toBeLessThanOrEqual(101);
  });

  it('is bounded in number of keys', () => {
    const buckets = new KeyedBuckets(1, 1, 100);
    for (let i = 0; i < 100_000; i++) expect(buckets.take(`source ${i}`, at(i))).toBe(true);
    expect(buckets.size).toBe(100);
  });

  it('keeps the sources that are active', () => {
    const buckets = new KeyedBuckets(0.001, 1, 10);
    expect(buckets.take('noisy', at(0))).toBe(true);
    for (let i = 0; i < 1000; i++) {
      buckets.take(`other ${i}`, at(i));
      if (i % 5 === 0) expect(buckets.take('noisy', at(i))).toBe(false);
    }
  });
});

describe('PathQuality (RFC 6298)', () => {
  it('begins with the first measurement and follows later ones slowly', () => {
    const quality = new PathQuality();
    expect(quality.rtt).toBeUndefined();
    quality.answered(ms(100));
    expect(quality.rtt).toEqual({ smoothed: 100, variation: 50 });
    expect(quality.timeout).toBe(300);
    quality.answered(ms(200));
    expect(quality.rtt).toEqual({ smoothed: 112.5, variation: 62.5 });
  });

  it('counts the loss of the last hundred probes', () => {
    const quality = new PathQuality();
    for (let i = 0; i < 100; i++) quality.lost();
    expect(quality.loss).toBe(1);
    for (let i = 0; i < 75; i++) quality.answered(ms(10));
    expect(quality.loss).toBe(0.25);
    for (let i = 0; i < 25; i++) quality.answered(ms(10));
    expect(quality.loss).toBe(0);
  });
});

describe('backoff', () => {
  it('doubles from a quarter of a second to half a minute, half of it at random', () => {
    expect([1, 2, 3, 4].map((n) => backoff(n, RETRY_MAX, 1))).toEqual([250, 500, 1000, 2000]);
    expect(backoff(1, RETRY_MAX, 0)).toBe(125);
    expect(backoff(50, RETRY_MAX, 1)).toBe(RETRY_MAX);
  });
});

describe('Recalls', () => {
  const path = {} as Path;

  it('wait while this process is behind, and leave those out who have called meanwhile', () => {
    const called: number[] = [];
    const peers = Array.from({ length: 300 }, (_, i) => ({
      reachable: false,
      settings: { enabled: i % 2 === 0 },
      callAt: () => called.push(i),
    }));
    const recalls = new Recalls<(typeof peers)[number]>();
    const first = recalls.begin(
      peers.slice(0, 10).map((peer) => ({ peer, path })),
      0 as Instant,
    );
    expect(first.length).toBe(5);
    expect(called).toEqual([0, 2, 4, 6, 8]);
    expect(recalls.deadline).toBeUndefined();

    const all = peers.map((peer) => ({ peer: Object.assign(peer, { settings: { enabled: true } }), path }));
    expect(recalls.begin(all, 0 as Instant).length).toBe(200);
    called.length = 0;
    for (let now = 71; now < 1000; now += 71) expect(recalls.tick(now as Instant)).toEqual([]);
    for (const peer of peers.slice(200, 250)) peer.reachable = true;
    while (recalls.deadline !== undefined) recalls.tick(recalls.deadline);
    expect(called).toEqual(peers.slice(250).map((_, i) => 250 + i));
  });
});

describe('Traffic', () => {
  const counted = (sealed: bigint, opened: bigint) => ({
    sealedRecords: sealed,
    sealedBytes: 0n,
    sealedLarge: 0n,
    openedRecords: opened,
    openedBytes: 0n,
    failedOpens: 0n,
    lastReceive: undefined,
  });

  it('takes all records for inner packets but those it is told of, and tells each once', () => {
    let now = counted(0n, 0n);
    const traffic = new Traffic(() => now);
    traffic.sealedOwn();
    traffic.openedOwn();
    now = counted(1n, 1n);
    traffic.look();
    expect([traffic.flowed, traffic.take()]).toEqual([false, { sent: false, came: false }]);
    now = counted(2n, 1n);
    expect(traffic.flowed).toBe(false);
    traffic.look();
    expect([traffic.flowed, traffic.take(), traffic.take()]).toEqual([
      true,
      { sent: true, came: false },
      { sent: false, came: false },
    ]);
    now = counted(2n, 2n);
    traffic.look();
    expect([traffic.flowed, traffic.take()]).toEqual([true, { sent: false, came: true }]);
  });

  it('goes on in another process without taking what was counted for news', () => {
    const traffic = new Traffic(() => counted(5n, 5n));
    traffic.sealedOwn();
    traffic.look();
    traffic.take();
    const next = new Traffic(() => counted(5n, 5n));
    next.continueFrom(traffic.export());
    next.look();
    expect(next.flowed).toBe(false);
    expect(new Traffic(() => undefined).readings.sealedRecords).toBe(0n);
  });
});

describe('Probes', () => {
  it('knows each answer once, and none that came after its time', () => {
    const probes = new Probes();
    for (const n of [1, 2, 3]) probes.sent(n, at(n * 100));
    expect([probes.answered(2, at(250)), probes.answered(2, at(260)), probes.answered(9, at(260))]).toEqual([
      50,
      undefined,
      undefined,
    ]);
    expect([probes.expire(ms(200), at(310)), probes.answered(1, at(310)), probes.pending]).toEqual([
      1,
      undefined,
      true,
    ]);
    expect([probes.expire(ms(200), at(500)), probes.pending]).toEqual([1, false]);
  });
});

describe('PathMtuSearch', () => {
  const input: SearchInput = {
    family: 4,
    ceiling: 9000,
    isCurrent: true,
    sealedLarge: 0n,
    isAlive: true,
    lastReceive: at(0),
    peerCount: 1,
  };
  const searched = () => {
    const memory = new PathMemory(at(0));
    const sent: number[] = [];
    const changes: number[] = [];
    const search = new PathMtuSearch({
      memory,
      probeSize: (size) => sent.push(size),
      sizeChanged: (before) => changes.push(before),
    });
    return { memory, sent, changes, search };
  };

  it('adopts the size whose probe was answered, once', () => {
    const { memory, sent, changes, search } = searched();
    search.look(input, at(0));
    expect([sent, memory.pathMtu.mtu]).toEqual([[1472], 1200]);
    expect([search.arrived(7, at(10)), search.arrived(1, at(10)), search.arrived(1, at(11))]).toEqual([
      false,
      true,
      false,
    ]);
    expect([memory.pathMtu.mtu, changes]).toEqual([1472, [1200]]);
  });

  it('goes below what our own device refuses', () => {
    const { sent, changes, search } = searched();
    search.look(input, at(0));
    search.refused(1472, at(1));
    search.look(input, at(1));
    expect(sent[1]).toBeLessThan(1472);
    expect(changes).toEqual([]);
  });
});
