import { describe, expect, it } from 'vitest';
import { bothWays, linked, linkedSites, twoSites } from './sites.ts';

describe('calls that cross', () => {
  it('end in one association at once when one of them was made without knowing whom', () => {
    // Berlin has lost its state and calls back whoever sends it records; Paris rekeys at that very moment. Berlin cannot
    // compare its fingerprint with that of an unknown: both used to give up their call and to wait 15 s for the other's.
    for (let seed = 1; seed <= 20; seed++) {
      const sites = linkedSites({ seed });
      const { world, berlin, paris } = sites;
      bothWays(sites, 5, 5000);
      world.run(2000);
      berlin.kill();
      berlin.start();
      paris.do((tunnel, now) => tunnel.rekey(undefined, now));
      berlin.received.clear();
      expect(world.until(() => berlin.received.size > 0)).toBeLessThanOrEqual(4 * 20 + 10);
      world.run(3000);
      expect(linked(sites)).toBe(true);
    }
  });

  it('give way when the far end has begun one and then fallen silent', () => {
    const sites = twoSites({ berlinCalls: true });
    const { world, berlin, paris } = sites;
    let lost = true;
    const isHello = (datagram: Uint8Array): boolean => datagram[0] === 22 && datagram[13] === 1;
    world.filter = (from, _to, datagram) => !(lost && from === berlin && isHello(datagram));
    paris.start();
    berlin.start();
    // Paris gets as far as its second hello, for which Berlin gives up its own call, and is gone.
    world.until(() => berlin.tunnel.halfOpen > 0);
    lost = false;
    paris.kill();
    paris.settings = { ...paris.settings, peers: paris.settings.peers.map((peer) => ({ ...peer, endpoints: [] })) };
    paris.start();
    expect(berlin.tunnel.halfOpen).toBe(1);
    expect(world.until(() => linked(sites))).toBeLessThan(5000);
  });
});
