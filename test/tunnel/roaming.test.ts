import { describe, expect, it } from 'vitest';
import { losses } from '../support/world.ts';
import { bothWays, linked, linkedSites } from './sites.ts';

const NAT = '192.0.2.99';

describe('a peer whose address changes', () => {
  it('is followed within one round trip of its next packet, and nothing it sends is lost', () => {
    const sites = linkedSites({ nat: NAT });
    const { world, berlin, paris } = sites;
    const { toBerlin, toParis } = bothWays(sites, 5, 60_000);
    let moved = 0;
    world.every(500, (world.now + 50_000) as typeof world.now, () => {
      paris.rebind();
      moved++;
    });
    world.run(65_000);
    expect(moved).toBeGreaterThan(90);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(berlin.eventsOf('endpoint-changed').filter((e) => e.reason === 'roam').length).toBeGreaterThan(45);
    expect(linked(sites)).toBe(true);
    // What was sent to the old address meanwhile is gone; at most a few round trips' worth of it per change.
    expect(losses(toParis, paris).lost).toBeLessThan(moved * ((2 * 1020) / 5));
    expect(berlin.eventsOf('handshake-completed').length).toBe(1);
  });

  it('is followed in one round trip', () => {
    const sites = linkedSites({ nat: NAT });
    const { world, berlin, paris } = sites;
    bothWays(sites, 1, 10_000);
    world.run(3000);
    paris.rebind();
    const took = world.until(() => berlin.eventsOf('endpoint-changed').length > 0);
    expect(took).toBeLessThanOrEqual(1 + 10 + 20);
  });

  it('is followed each time when it changes several times a second', () => {
    const sites = linkedSites({ nat: NAT });
    const { world, berlin, paris } = sites;
    bothWays(sites, 1, 10_000);
    world.run(3000);
    for (let i = 1; i <= 8; i++) {
      paris.rebind();
      expect(world.until(() => berlin.eventsOf('endpoint-changed').length === i)).toBeLessThanOrEqual(1 + 10 + 20);
      world.run(250);
    }
  });

  it('is followed while idle, by its keepalive', () => {
    const sites = linkedSites({ nat: NAT });
    sites.world.run(5000);
    sites.paris.rebind();
    sites.world.until(() => sites.berlin.eventsOf('endpoint-changed').length > 0, 30_000);
    sites.berlin.send('10.1.0.1', '10.2.0.1', 7);
    sites.world.run(100);
    expect(sites.paris.received.get(7)).toBe(1);
  });

  it('is not believed when records are replayed from elsewhere', () => {
    const sites = linkedSites();
    const { world, berlin, paris } = sites;
    const caught: Uint8Array[] = [];
    world.filter = (from, _to, datagram) => {
      if (from === paris && datagram[0] === 25) caught.push(datagram.slice());
      return true;
    };
    bothWays(sites, 5, 2000);
    world.run(3000);
    for (const datagram of caught) berlin.forge({ address: '192.0.2.66', port: 666 }, datagram);
    world.run(1000);
    expect(berlin.eventsOf('endpoint-changed')).toEqual([]);
    expect(berlin.peer('paris').association?.path.remote.address).toBe('198.51.100.7');
  });

  it('is not believed when a newer record was caught and comes from an address that does not answer', () => {
    const sites = linkedSites();
    const { world, berlin, paris } = sites;
    let toAttacker = 0;
    let brought = 0;
    world.filter = (from, to, datagram) => {
      if (from === berlin && to.address === '192.0.2.66') toAttacker += datagram.length;
      if (from === paris && datagram[0] === 25 && world.now > 5000 && world.random.chance(0.1)) {
        brought += datagram.length;
        world.after(1, () => berlin.forge({ address: '192.0.2.66', port: 666 }, datagram));
        return false;
      }
      return true;
    };
    const { toBerlin } = bothWays(sites, 5, 20_000);
    world.run(25_000);
    expect(brought).toBeGreaterThan(0);
    expect(toAttacker).toBeGreaterThan(0);
    expect(toAttacker).toBeLessThanOrEqual(3 * brought);
    expect(berlin.eventsOf('endpoint-changed')).toEqual([]);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(linked(sites)).toBe(true);
  });
});
