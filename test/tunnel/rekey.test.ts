import { describe, expect, it } from 'vitest';
import { seconds } from '../../src/base/brand.ts';
import { losses, plus } from '../support/world.ts';
import { bothWays, linkedSites, type PairOfSites, REAL } from './sites.ts';

/** Traffic both ways for a while; nothing may be lost or come twice. */
function expectNoLoss(sites: PairOfSites, duration: number, meanwhile: () => void, interval = 8): void {
  const { toBerlin, toParis } = bothWays(sites, interval, duration);
  meanwhile();
  sites.world.run(duration + 5000);
  expect(toBerlin.length).toBeGreaterThan(duration / interval - 2);
  expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
  expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
}

const rekeys = (sites: PairOfSites): number =>
  sites.paris.eventsOf('handshake-completed').filter((e) => e.isRekey).length;

describe('rekey', () => {
  it('on command loses nothing, at the client', () => {
    const sites = linkedSites(REAL);
    expectNoLoss(sites, 10_000, () => {
      sites.world.after(1000, () => sites.paris.do((t, now) => t.rekey('berlin', now)));
    });
    expect(rekeys(sites)).toBe(1);
    expect(sites.paris.plane.installed).toBe(1);
    expect(sites.berlin.plane.installed).toBe(1);
  });

  it('on command loses nothing, at the server, which asks the client', () => {
    const sites = linkedSites(REAL);
    expectNoLoss(sites, 10_000, () => {
      sites.world.after(1000, () => sites.berlin.do((t, now) => t.rekey(undefined, now)));
    });
    expect(sites.paris.eventsOf('handshake-completed').map((e) => e.trigger)).toEqual(['start', 'peer']);
  });

  it('on command at both ends at once is one rekey', () => {
    const sites = linkedSites(REAL);
    expectNoLoss(sites, 10_000, () => {
      sites.world.after(1000, () => {
        sites.berlin.do((t, now) => t.rekey('paris', now));
        sites.paris.do((t, now) => t.rekey('berlin', now));
      });
    });
    expect(rekeys(sites)).toBe(1);
  });

  it('by time happens before RekeyAfter, again and again', () => {
    const sites = linkedSites({
      parisPeer: { rekeyAfter: seconds(60) },
      berlinPeer: { rekeyAfter: seconds(60) },
    });
    expectNoLoss(sites, 300_000, () => undefined, 50);
    expect(rekeys(sites)).toBeGreaterThanOrEqual(5);
    expect(rekeys(sites)).toBeLessThanOrEqual(6);
    expect(sites.paris.eventsOf('handshake-completed').at(-1)?.trigger).toBe('time');
  });

  it("by time is the server's concern when the client has it off", () => {
    const sites = linkedSites({
      parisPeer: { rekeyAfter: 'off' },
      berlinPeer: { rekeyAfter: seconds(60) },
    });
    expectNoLoss(sites, 300_000, () => undefined, 50);
    expect(rekeys(sites)).toBeGreaterThanOrEqual(4);
    expect(sites.paris.eventsOf('handshake-completed').at(-1)?.trigger).toBe('peer');
  });

  it('by volume happens after RekeyAfterData octets', () => {
    const sites = linkedSites({ parisInterface: { rekeyAfterData: 100_000 } });
    expectNoLoss(sites, 60_000, () => undefined, 10);
    const volume = (60_000 / 10) * 100;
    expect(rekeys(sites)).toBeGreaterThanOrEqual(Math.floor(volume / 150_000));
    expect(sites.paris.eventsOf('handshake-completed').at(-1)?.trigger).toBe('data');
  });

  it('that fails keeps the keys in force and is tried again', () => {
    const sites = linkedSites();
    sites.world.filter = (_from, _to, datagram) => datagram[0] !== 22;
    expectNoLoss(
      sites,
      60_000,
      () => {
        sites.world.after(1000, () => sites.paris.do((t, now) => t.rekey('berlin', now)));
        sites.world.after(40_000, () => {
          sites.world.filter = undefined;
        });
      },
      20,
    );
    expect(sites.paris.eventsOf('handshake-failed').every((e) => e.isRekey)).toBe(true);
    expect(sites.paris.eventsOf('handshake-failed').length).toBeGreaterThan(1);
    expect(rekeys(sites)).toBe(1);
  });

  it.each([1, 2, 3, 4])('on a path that duplicates, reorders and delays loses nothing (seed %i)', (seed) => {
    const sites = linkedSites({
      ...REAL,
      seed,
      berlinCalls: seed % 2 === 0,
      quality: { delay: 5, jitter: 40, duplicate: 0.2 },
    });
    expectNoLoss(
      sites,
      60_000,
      () => {
        for (let i = 0; i < 20; i++) {
          const site = i % 3 === 0 ? sites.berlin : sites.paris;
          sites.world.after(1000 + i * 2500, () => site.do((t, now) => t.rekey(undefined, now)));
        }
      },
      11,
    );
    expect(rekeys(sites) + sites.berlin.eventsOf('handshake-completed').length).toBeGreaterThan(10);
  });

  it('works a thousand times without a packet lost', { timeout: 300_000 }, () => {
    const sites = linkedSites({ quality: { delay: 3, jitter: 1 } });
    expectNoLoss(
      sites,
      300_000,
      () => {
        for (let i = 0; i < 1000; i++) {
          const site = i % 2 === 0 ? sites.berlin : sites.paris;
          sites.world.after(200 + i * 300, () => site.do((t, now) => t.rekey(undefined, now)));
        }
      },
      20,
    );
    expect(rekeys(sites)).toBeGreaterThan(900);
    sites.world.run(60_000);
    expect(sites.paris.plane.installed).toBe(1);
    expect(sites.berlin.plane.installed).toBe(1);
  });

  it('never uses a record number twice under one key', () => {
    const sites = linkedSites({ ...REAL, quality: { delay: 5, loss: 0.2, jitter: 20 } });
    const seen = new Map<string, string>();
    let twice = 0;
    sites.world.filter = (from, _to, datagram) => {
      // Type 25: header, then the id that names the receiver's keys.
      if (datagram[0] === 25) {
        const key = `${from.name} ${Buffer.from(datagram.subarray(3, 19)).toString('hex')}`;
        const body = Buffer.from(datagram.subarray(21)).toString('hex');
        if (seen.has(key) && seen.get(key) !== body) twice++;
        seen.set(key, body);
      }
      return true;
    };
    bothWays(sites, 20, 60_000);
    for (let i = 0; i < 20; i++)
      sites.world.after(500 + i * 2500, () => sites.paris.do((t, n) => t.rekey(undefined, n)));
    sites.world.run(70_000);
    expect(seen.size).toBeGreaterThan(5000);
    expect(twice).toBe(0);
  });
});

describe('the path MTU after a rekey', () => {
  it.each(['berlin', 'paris'] as const)('is the one that was found, at both ends, when %s asked for it', (which) => {
    // The server installs its keys before it knows whose they are, with a size that fits every path: it used to stay so,
    // and an IPv6 packet of 1280 octets did not get through any more.
    const sites = linkedSites();
    const { world, berlin, paris } = sites;
    world.run(5000);
    sites[which].do((tunnel, now) => tunnel.rekey(undefined, now));
    world.run(3000);
    expect(berlin.eventsOf('handshake-completed').length).toBe(2);
    const until = plus(world.now, 1000);
    const toBerlin: number[] = [];
    const toParis: number[] = [];
    world.every(10, until, (n) => {
      paris.send('10.2.0.1', '10.1.0.1', n, 1400);
      berlin.send('10.1.0.1', '10.2.0.1', n, 1400);
      toBerlin.push(n);
      toParis.push(n);
    });
    world.run(2000);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, paris)).toEqual({ lost: 0, duplicated: 0 });
  });

  it('follows for every association along the path when it falls', () => {
    const sites = linkedSites();
    const { world, berlin, paris } = sites;
    world.run(5000);
    bothWays(sites, 10, 20_000, 1000);
    paris.do((tunnel, now) => tunnel.rekey(undefined, now));
    world.run(200);
    world.quality('203.0.113.10', '198.51.100.7', { mtu: 1300 });
    world.run(4000);
    for (const [from, to] of [
      [berlin, paris],
      [paris, berlin],
    ] as const) {
      const inner = (site: typeof from) => (site === berlin ? '10.1.0.1' : '10.2.0.1');
      from.send(inner(from), inner(to), 900_000, 1400);
      expect([...from.plane.stats().peers.values()][0]?.drops.out.too_big).toBeGreaterThan(0n);
    }
  });
});
