import { describe, expect, it } from 'vitest';
import { ms, seconds } from '../../src/base/brand.ts';
import { identityOf } from '../support/pair.ts';
import { losses, peerSettings, plus, World } from '../support/world.ts';
import { BERLIN, bothWays, linkedSites, PARIS, QUICK } from './sites.ts';

describe('drain', () => {
  it('ends when nothing is in flight any more, and tells the peer', () => {
    const sites = linkedSites();
    const { world, berlin, paris } = sites;
    const { toBerlin, toParis } = bothWays(sites, 5, 3000);
    world.run(1000);
    berlin.do((tunnel, now) => tunnel.drain(seconds(30), now));
    expect(berlin.tunnel.draining).toBe(true);
    world.run(100);
    expect(paris.peer('berlin').state).toBe('degraded');
    world.run(1500);
    expect(berlin.finished).toEqual([]);
    const took = world.until(() => berlin.finished.length > 0, 10_000);
    expect(took).toBeLessThan(2500);
    expect(berlin.finished).toEqual([0]);
    world.run(1000);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(paris.peer('berlin').up).toBe(false);
    expect(berlin.plane.installed).toBe(0);
  });

  it('ends at the deadline, and says how many peers were still busy', () => {
    const sites = linkedSites();
    bothWays(sites, 5, 60_000);
    sites.world.run(1000);
    sites.berlin.do((tunnel, now) => tunnel.drain(seconds(5), now));
    const took = sites.world.until(() => sites.berlin.finished.length > 0, 20_000);
    expect(took).toBe(5000);
    expect(sites.berlin.finished).toEqual([1]);
  });

  it('takes no new handshakes', () => {
    const sites = linkedSites();
    bothWays(sites, 5, 60_000);
    sites.world.run(1000);
    sites.berlin.do((tunnel, now) => tunnel.drain(seconds(20), now));
    const before = sites.berlin.eventsOf('handshake-started').length;
    sites.paris.do((tunnel, now) => tunnel.rekey(undefined, now));
    sites.world.run(5000);
    expect(sites.berlin.eventsOf('handshake-started').length).toBe(before);
    expect(sites.berlin.eventsOf('handshake-ignored').some((e) => e.reason === 'draining')).toBe(true);
  });

  it('moves a peer with another gateway there without losing a packet', async () => {
    const other = await identityOf('p256', 'other gateway');
    const world = new World(QUICK);
    const gateway = (name: string, address: string, identity: typeof other) =>
      world.site(name, {
        identity,
        addresses: [address],
        peers: [peerSettings({ name: 'paris', fingerprints: [PARIS.fingerprint], allowedIps: ['10.2.0.0/16'] })],
      });
    const first = gateway('first', '203.0.113.10', BERLIN);
    const second = gateway('second', '192.0.2.10', other);
    const entry = (name: string, address: string, identity: typeof other, priority: number) =>
      peerSettings({
        name,
        fingerprints: [identity.fingerprint],
        allowedIps: ['10.1.0.0/16'],
        endpoints: [`${address}:4433`],
        priority,
        deadAfter: ms(1500),
      });
    const paris = world.site('paris', {
      identity: PARIS,
      addresses: ['198.51.100.7'],
      peers: [entry('first', '203.0.113.10', BERLIN, 10), entry('second', '192.0.2.10', other, 20)],
    });
    for (const site of [first, second, paris]) site.start();
    world.until(() => paris.peer('first').up && paris.peer('second').up);
    const sent = world.traffic(paris, ['10.2.0.1', '10.1.0.1'], 3, plus(world.now, 20_000));
    world.run(2000);
    first.do((tunnel, now) => tunnel.drain(seconds(30), now));
    const took = world.until(() => first.finished.length > 0, 20_000);
    expect(took).toBeLessThan(3000);
    expect(first.finished).toEqual([0]);
    world.run(25_000);
    expect(sent.filter((n) => !first.received.has(n) && !second.received.has(n))).toEqual([]);
  });

  it("moves a peer to a second endpoint of the same gateway's successor without loss when it has a standby", () => {
    // Two uplinks of one daemon drain together: there is nowhere to go, and traffic keeps flowing until the end.
    const sites = linkedSites();
    const { toBerlin } = bothWays(sites, 10, 2000);
    sites.berlin.do((tunnel, now) => tunnel.drain(seconds(30), now));
    sites.world.run(2500);
    expect(losses(toBerlin, sites.berlin).lost).toBe(0);
  });
});
