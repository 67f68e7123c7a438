import { describe, expect, it, vi } from 'vitest';
import { bothWays, linked, linkedSites, twoSites } from './sites.ts';
import { World } from '../support/world.ts';

const mtuOf = (sites: ReturnType<typeof linkedSites>): number => sites.paris.peer('berlin').association?.pathMtu ?? 0;

describe('path MTU', () => {
  it.each([1280, 1400, 1420, 1442, 1450, 1460, 1492, 1500, 8896, 9001])(
    'of a link of %i octets is found within two seconds',
    (mtu) => {
      const sites = linkedSites({ quality: { mtu } });
      sites.world.run(2000);
      expect(mtuOf(sites)).toBe(mtu - 28);
    },
  );

  it.each([1333, 1371, 1477])('of a link of %i octets is found to eight octets', (mtu) => {
    const sites = linkedSites({ quality: { mtu } });
    sites.world.run(3000);
    expect(mtuOf(sites)).toBeLessThanOrEqual(mtu - 28);
    expect(mtuOf(sites)).toBeGreaterThanOrEqual(mtu - 28 - 8);
  });

  it('is found in the first round trip on Ethernet', () => {
    const sites = linkedSites();
    expect(sites.world.until(() => mtuOf(sites) === 1472)).toBeLessThanOrEqual(20);
  });

  it('takes few records of a new link on Ethernet: what is carried at once is asked once', () => {
    const sites = twoSites({ largest: 1472 });
    const sealed = [sites.berlin, sites.paris].map((site) => vi.spyOn(site.plane, 'sealAndSend'));
    sites.berlin.start();
    sites.paris.start();
    sites.world.until(() => linked(sites));
    sites.world.run(5000);
    expect(mtuOf(sites)).toBe(1472);
    // Either end: what it does with the association, Ethernet's size, the answers to both, and a jumbo size in vain.
    for (const records of sealed) expect(records.mock.calls.length).toBe(5);
  });

  it('asks once only for what its own device does not take', () => {
    const sites = twoSites({ largest: 1472 });
    const sealed = vi.spyOn(sites.paris.plane, 'sealAndSend');
    sites.berlin.start();
    sites.paris.start();
    sites.world.run(590_000);
    expect(mtuOf(sites)).toBe(1472);
    expect(sealed.mock.results.filter(({ value }) => value === false).length).toBe(1);
    // PMTU_RAISE_TIMER: the device may have been given another MTU.
    sites.world.run(60_000);
    expect(sealed.mock.results.filter(({ value }) => value === false).length).toBe(2);
  });

  it('finds the largest size below what its own device takes', () => {
    for (const [largest, found] of [
      [1422, 1422],
      [1372, 1372],
      [1349, 1345],
    ] as const) {
      const sites = linkedSites({ largest });
      sites.world.run(3000);
      expect(mtuOf(sites)).toBeGreaterThanOrEqual(found);
      expect(mtuOf(sites)).toBeLessThanOrEqual(largest);
    }
  });

  it('respects a configured ceiling', () => {
    const sites = linkedSites({ parisPeer: { mtu: 1300 as never } });
    sites.world.run(5000);
    expect(sites.paris.peer('berlin').association?.innerMtu).toBe(1300);
    expect(sites.paris.peer('berlin').association?.pathMtu).toBeLessThan(1400);
  });

  it('is kept over a rekey', () => {
    const sites = linkedSites({ quality: { mtu: 1450 } });
    sites.world.run(3000);
    const before = sites.paris.eventsOf('path-mtu').length;
    sites.paris.do((t, now) => t.rekey(undefined, now));
    sites.world.run(10_000);
    expect(mtuOf(sites)).toBe(1422);
    expect(sites.paris.eventsOf('path-mtu').length).toBe(before);
  });

  it('follows a path that narrows without a word within two seconds, and widens again within a minute', () => {
    const sites = linkedSites();
    const { world } = sites;
    bothWays(sites, 10, 300_000, 1000);
    world.run(5000);
    const narrow = (mtu: number): void => world.quality('203.0.113.10', '198.51.100.7', { mtu });
    narrow(1280);
    expect(world.until(() => mtuOf(sites) <= 1252)).toBeLessThan(2000);
    world.run(5000);
    expect(mtuOf(sites)).toBe(1252);
    narrow(576);
    expect(world.until(() => mtuOf(sites) <= 548)).toBeLessThan(2000);
    world.run(10_000);
    narrow(1500);
    expect(world.until(() => mtuOf(sites) === 1472, 120_000)).toBeLessThan(60_000);
    expect(linked(sites)).toBe(true);
  });

  it('is asked about again only while something is sent that a narrower path would not carry', () => {
    const sites = linkedSites();
    const { world } = sites;
    world.run(10_000);
    world.keepWire = true;
    // In a record with connection id and tag a packet of 502 octets makes a datagram of 548, which every path carries.
    bothWays(sites, 10, 60_000, 502);
    world.run(60_000);
    expect(world.wire.filter(({ size }) => size > 548).map(({ size }) => size)).toEqual([]);
    expect(world.wire.length).toBeGreaterThan(10_000);
    // Nobody has noticed that the path is narrow by now, and nobody was hurt. Two large packets, and both ends know.
    world.quality('203.0.113.10', '198.51.100.7', { mtu: 1280 });
    world.run(60_000);
    expect(mtuOf(sites)).toBe(1472);
    sites.paris.send('10.2.0.1', '10.1.0.1', 900_000, 1000);
    sites.berlin.send('10.1.0.1', '10.2.0.1', 900_001, 503);
    const fallen = (): boolean =>
      [sites.paris.peer('berlin'), sites.berlin.peer('paris')].every(
        ({ association }) => (association?.pathMtu ?? 0) <= 1252,
      );
    expect(world.until(fallen)).toBeLessThan(6000);
  });

  it.each([1, 2, 3, 4])('survives loss: a third of all datagrams lost is no black hole (seed %i)', (seed) => {
    const sites = linkedSites({ seed, quality: { loss: 0.3 } });
    bothWays(sites, 20, 300_000);
    sites.world.run(120_000);
    let low = 0;
    sites.world.every(1000, (sites.world.now + 120_000) as typeof sites.world.now, () => {
      if (mtuOf(sites) < 1472) low++;
    });
    sites.world.run(120_000);
    expect(low).toBeLessThan(6);
  });

  it('is not probed when nothing is sent', () => {
    const sites = linkedSites();
    sites.world.run(10_000);
    sites.world.keepWire = true;
    sites.world.run(500_000);
    expect(sites.world.wire.filter((d) => d.size > 1000).length).toBeLessThanOrEqual(2);
    expect(sites.world.wire.length).toBeLessThan(150);
  });
});

describe('the world that tests run in', () => {
  it('loses what is larger than the link', () => {
    expect(new World({ quality: { mtu: 576 } }).options.quality?.mtu).toBe(576);
    const sites = twoSites({ quality: { mtu: 100 } });
    sites.berlin.start();
    sites.paris.start();
    sites.world.run(10_000);
    expect(linked(sites)).toBe(false);
  });
});
