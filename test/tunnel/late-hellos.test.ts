import { describe, expect, it } from 'vitest';
import { MAX_SPENT_HELLOS } from '../../src/tunnel/limits.ts';
import { SpentHellos } from '../../src/tunnel/spent-hellos.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { bothWays, linked, linkedSites, type PairOfSites, REAL, twoSites } from './sites.ts';

/** A hello with a cookie, that is: one that begins a handshake. */
function isSecondHello(datagram: Uint8Array): boolean {
  return datagram[0] === 22 && datagram[13] === 1 && datagram[18] === 1;
}

function isChallenge(datagram: Uint8Array): boolean {
  return datagram[0] === 22 && datagram[13] === 3;
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

describe('a challenge that comes late', () => {
  /** A challenge to a call of Paris that was killed before it got there. */
  const lateChallenge = ({ world, berlin, paris }: PairOfSites): Uint8Array => {
    let late: Uint8Array | undefined;
    world.filter = (from, _to, datagram) => {
      if (from !== berlin || !isChallenge(datagram)) return true;
      late = datagram.slice();
      return false;
    };
    berlin.start();
    paris.start();
    world.until(() => late !== undefined);
    world.filter = undefined;
    paris.kill();
    paris.start();
    if (late === undefined) throw new Error('Berlin has challenged');
    return late;
  };

  // Its cookie is for another hello, and nothing in it says so: what the server says to that came one challenge late each time.
  it('costs two round trips and no more', () => {
    const sites = twoSites(REAL);
    const { world, berlin, paris } = sites;
    const late = lateChallenge(sites);
    world.run(5);
    paris.forge(BERLIN_OUTSIDE, late);
    expect(world.until(() => linked(sites), 1000)).toBeLessThan(150);
    expect([...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')]).toEqual([]);
  });

  it('is not followed while the true one is being answered', () => {
    const sites = twoSites(REAL);
    const { world, berlin, paris } = sites;
    const late = lateChallenge(sites);
    world.until(() => berlin.eventsOf('handshake-started').length > 0);
    paris.forge(BERLIN_OUTSIDE, late);
    expect(world.until(() => linked(sites), 1000)).toBeLessThan(100);
    expect([...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')]).toEqual([]);
    expect(berlin.eventsOf('handshake-started')).toHaveLength(1);
  });
});

describe('a hello of the same call under another number', () => {
  /** Berlin has accepted the hello of a call, which has the number 1. */
  const accepted = (): PairOfSites & { readonly hello: Uint8Array } => {
    const sites = twoSites(REAL);
    const hellos = secondHellosOf(sites);
    sites.berlin.start();
    sites.paris.start();
    sites.world.until(() => sites.berlin.eventsOf('handshake-started').length > 0);
    const [hello] = hellos;
    if (hello === undefined) throw new Error('there was one');
    return { ...sites, hello };
  };
  const numbered = (hello: Uint8Array, number: number): Uint8Array => {
    const changed = hello.slice();
    changed[18] = number;
    return changed;
  };

  it('is challenged when its cookie is a late one, and leaves the handshake alone', () => {
    const { hello, ...sites } = accepted();
    const { world, berlin, paris } = sites;
    const spoiled = numbered(hello, 2);
    // The cookie's last octet: behind the headers, version, random, an empty session id and the cookie's length.
    const last = 13 + 12 + 2 + 32 + 1 + 21;
    spoiled[last] = (spoiled[last] ?? 0) ^ 1;
    berlin.forge(PARIS_OUTSIDE, spoiled);
    expect(world.until(() => linked(sites), 1000)).toBeLessThan(100);
    expect([...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')]).toEqual([]);
    expect(berlin.eventsOf('handshake-started')).toHaveLength(1);
  });

  it('begins the handshake anew when its cookie is good, and then the earlier one is late', () => {
    const { hello, berlin, paris } = accepted();
    paris.kill();
    berlin.forge(PARIS_OUTSIDE, numbered(hello, 2));
    expect(berlin.eventsOf('handshake-started')).toHaveLength(2);
    berlin.forge(PARIS_OUTSIDE, hello);
    berlin.forge(PARIS_OUTSIDE, numbered(hello, 2));
    expect(berlin.eventsOf('handshake-started')).toHaveLength(2);
    expect(berlin.eventsOf('handshake-ignored').map(({ reason }) => reason)).toEqual(['late']);
    expect(berlin.eventsOf('handshake-failed')).toEqual([]);
    expect(berlin.tunnel.halfOpen).toBe(1);
  });
});

describe('calls that are killed and made again', () => {
  it.each([
    { delay: 20, jitter: 20 },
    { delay: 100, jitter: 0 },
  ])('fail at no end, however much of them is lost, late or repeated (%o)', (path) => {
    for (let seed = 1; seed <= 60; seed++) {
      const sites = twoSites({ ...REAL, seed, quality: { ...path, loss: 0.3, duplicate: 0.05 } });
      const { world, berlin, paris } = sites;
      const random = new SeededRandom(seed);
      berlin.start();
      for (let call = 0; call < 4; call++) {
        paris.start();
        world.run(random.below(300));
        paris.kill();
      }
      paris.start();
      expect(world.until(() => linked(sites), 20_000)).toBeLessThan(20_000);
      const failed = [...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')];
      expect(failed, `seed ${seed}`).toEqual([]);
    }
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
    const hello = (random: number, number = 1) => ({ random: `${random}`, number });
    for (let i = 0; i <= MAX_SPENT_HELLOS; i++) spent.add(hello(i), 1000 as never);
    expect(spent.has(hello(0), 1000 as never)).toBe(false);
    expect(spent.has(hello(1), 1000 as never)).toBe(true);
    expect(spent.has(hello(1), 60_000 as never)).toBe(false);
    expect(spent.has(hello(1, 2), 1000 as never)).toBe(false);
    spent.add(hello(1, 3), 1000 as never);
    spent.add(hello(1), 1000 as never);
    expect(spent.has(hello(1, 3), 1000 as never)).toBe(true);
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
