import { describe, expect, it } from 'vitest';
import { MAX_SPENT_HELLOS } from '../../src/tunnel/limits.ts';
import { SpentHellos } from '../../src/tunnel/spent-hellos.ts';
import { bothWays, linked, linkedSites, type PairOfSites, REAL, twoSites } from './sites.ts';

/** A hello with a cookie, that is: one that begins a handshake. */
function isSecondHello(datagram: Uint8Array): boolean {
  return datagram[0] === 22 && datagram[13] === 1 && datagram[18] === 1;
}

/** Keeps what Paris sends to begin a handshake, while it is on its way. */
function secondHellosOf({ world, paris }: PairOfSites): Uint8Array[] {
  const seen: Uint8Array[] = [];
  world.filter = (from, _to, datagram) => {
    if (from === paris && isSecondHello(datagram)) seen.push(datagram.slice());
    return true;
  };
  return seen;
}

const PARIS_OUTSIDE = { address: '198.51.100.7', port: 4433 };

const BERLIN_OUTSIDE = { address: '203.0.113.10', port: 4433 };

describe('a flight that comes late', () => {
  // Its signature is over the hello of an earlier call, which is all that tells it from the awaited one.
  it('ends no call that was made since from the same address and port', () => {
    const sites = twoSites(REAL);
    const { world, berlin, paris } = sites;
    const flights: Uint8Array[] = [];
    world.filter = (from, _to, datagram) => {
      const isFlight = from === berlin && datagram[0] === 22 && datagram[13] === 2;
      if (isFlight && flights.length === 0) {
        flights.push(datagram.slice());
        return false;
      }
      return true;
    };
    berlin.start();
    paris.start();
    world.until(() => flights.length > 0);
    paris.kill();
    paris.start();
    world.run(5);
    for (const flight of [...flights, ...flights]) paris.forge(BERLIN_OUTSIDE, flight);
    world.until(() => linked(sites), 1000);
    expect([...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')]).toEqual([]);
  });
});

describe('copies of a hello that come late', () => {
  it('begin nothing once the handshake is complete', () => {
    const sites = twoSites(REAL);
    const { world, berlin, paris } = sites;
    const hellos = secondHellosOf(sites);
    berlin.start();
    paris.start();
    world.until(() => linked(sites));
    const [hello] = hellos;
    if (hello === undefined) throw new Error('there was one');
    for (let i = 0; i < 5; i++) berlin.forge(PARIS_OUTSIDE, hello);
    world.run(20_000);
    expect(berlin.eventsOf('handshake-started')).toHaveLength(1);
    expect(berlin.eventsOf('handshake-failed')).toEqual([]);
    expect(berlin.eventsOf('handshake-ignored').map(({ reason }) => reason)).toEqual(Array(5).fill('late'));
  });

  it('do not displace the handshake of a newer one', () => {
    const sites = twoSites(REAL);
    const { world, berlin, paris } = sites;
    const hellos = secondHellosOf(sites);
    berlin.start();
    paris.start();
    world.until(() => hellos.length > 0);
    world.run(15);
    // Berlin has accepted it; Paris starts again, when Berlin's flight is past, and calls from the same address and port.
    paris.kill();
    world.run(15);
    paris.start();
    world.until(() => hellos.length > 1);
    world.run(11);
    const [old] = hellos;
    if (old !== undefined) berlin.forge(PARIS_OUTSIDE, old);
    world.until(() => linked(sites), 1000);
    world.run(20_000);
    expect(berlin.eventsOf('handshake-started')).toHaveLength(2);
    expect([...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')]).toEqual([]);
  });

  it('make no handshake fail after a restart, however slow and unsteady the path', () => {
    for (const delay of [10, 100, 300, 400, 600, 900, 1200]) {
      for (const seed of [1, 2, 3]) {
        const sites = linkedSites({ ...REAL, quality: { delay, jitter: (seed - 1) * 50 }, seed });
        const { world, berlin, paris } = sites;
        bothWays(sites, 100, 30_000);
        world.run(5000);
        berlin.kill();
        world.run(1000);
        berlin.start();
        world.run(30_000);
        expect(linked(sites)).toBe(true);
        const failed = [...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')];
        expect(failed, `delay ${delay}, seed ${seed}`).toEqual([]);
      }
    }
  });

  it('are remembered in bounded number, and not for ever', () => {
    const spent = new SpentHellos();
    for (let i = 0; i <= MAX_SPENT_HELLOS; i++) spent.add(`${i}`, 1000 as never);
    expect(spent.has('0', 1000 as never)).toBe(false);
    expect(spent.has('1', 1000 as never)).toBe(true);
    expect(spent.has('1', 60_000 as never)).toBe(false);
  });
});

describe('calls that cross', () => {
  it('one completes although each end has accepted the other: who knows whom it calls decides', () => {
    const sites = linkedSites(REAL);
    const { world, berlin, paris } = sites;
    bothWays(sites, 100, 30_000);
    world.run(5000);
    berlin.kill();
    world.run(200);
    // Berlin calls the sender of unknown records back, Paris calls Berlin; what Berlin says to either is under way for long.
    const held: Uint8Array[] = [];
    world.filter = (from, _to, datagram) => {
      const isServerHello = datagram[0] === 22 && datagram[13] === 2;
      if (from !== berlin || !(isSecondHello(datagram) || isServerHello)) return true;
      if (isSecondHello(datagram)) held.push(datagram.slice());
      return false;
    };
    berlin.events.length = 0;
    paris.events.length = 0;
    berlin.start();
    world.until(() => berlin.eventsOf('handshake-started').some(({ role }) => role === 'server'));
    world.filter = undefined;
    const [hello] = held;
    if (hello === undefined || !isSecondHello(hello)) throw new Error('Berlin has called back');
    paris.forge({ address: '203.0.113.10', port: 4433 }, hello);
    world.run(30_000);
    expect([...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')]).toEqual([]);
    expect(linked(sites)).toBe(true);
    expect(berlin.tunnel.halfOpen).toBe(0);
  });

  it('a call is not given up because its process stood still for a moment', () => {
    const sites = linkedSites(REAL);
    const { world, berlin, paris } = sites;
    bothWays(sites, 100, 20_000);
    world.run(3000);
    berlin.kill();
    paris.events.length = 0;
    world.until(() => paris.eventsOf('handshake-started').length > 0);
    paris.frozen = true;
    world.run(700);
    paris.thaw();
    world.run(5000);
    expect(paris.eventsOf('handshake-started')).toHaveLength(1);
  });
});
