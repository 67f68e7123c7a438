import { describe, expect, it } from 'vitest';
import { senderOf } from '../../src/dtls/flight-sender.ts';
import { CONNECTION_ID_LENGTH } from '../../src/tunnel/limits.ts';
import { bothWays, linked, linkedSites, REAL, twoSites } from './sites.ts';

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

  it('do not take what the far end says as a client for what it says as a server', () => {
    const flight: Uint8Array[] = [];
    const other = twoSites(REAL);
    other.world.filter = (from, _to, datagram) => {
      if (
        from === other.paris &&
        senderOf(datagram, CONNECTION_ID_LENGTH) === 'client' &&
        datagram[13] === CERTIFICATE
      ) {
        flight.push(datagram.slice());
      }
      return true;
    };
    other.berlin.start();
    other.paris.start();
    other.world.until(() => linked(other));
    expect(flight).toHaveLength(1);

    // Its messages have the numbers of the server's flight that Berlin waits for.
    const sites = twoSites({ ...REAL, berlinCalls: true, parisCalls: false });
    const { world, berlin, paris } = sites;
    berlin.start();
    world.run(100);
    for (const datagram of flight) berlin.forge({ address: '198.51.100.7', port: 4433 }, datagram);
    paris.start();
    world.until(() => linked(sites));
    expect([...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')]).toEqual([]);
  });

  it('are told apart by every message but those that either end sends', () => {
    const sent = new Map<string, Set<number>>();
    const sites = twoSites(REAL);
    const { world, berlin, paris } = sites;
    world.filter = (from, _to, datagram) => {
      const isPlain = datagram[0] === 22 && datagram[4] === 0;
      const sender = from === paris ? 'client' : 'server';
      if (isPlain) sent.set(sender, (sent.get(sender) ?? new Set()).add(Number(datagram[13])));
      if (isPlain) expect(senderOf(datagram, CONNECTION_ID_LENGTH)).toBe(sender);
      return true;
    };
    berlin.start();
    paris.start();
    world.until(() => linked(sites));
    // Hellos and the client's flight, which begins with its certificate; a challenge and the server's.
    expect(sent.get('client')).toEqual(new Set([1, CERTIFICATE]));
    expect(sent.get('server')).toEqual(new Set([3, 2]));
    const certificateAlone = Uint8Array.of(
      22,
      0xfe,
      0xfd,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      9,
      0,
      12,
      CERTIFICATE,
      ...Array(11).fill(0),
    );
    expect(senderOf(certificateAlone, CONNECTION_ID_LENGTH)).toBeUndefined();
    expect(senderOf(certificateAlone.subarray(0, 20), CONNECTION_ID_LENGTH)).toBeUndefined();
  });
});

const CERTIFICATE = 11;
