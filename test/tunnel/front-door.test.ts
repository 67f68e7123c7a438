import { describe, expect, it } from 'vitest';
import type { Fingerprint } from '../../src/base/brand.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { losses, peerSettings, type Site, World } from '../support/world.ts';
import { BERLIN, bothWays, linked, linkedSites, PARIS, QUICK, REAL, twoSites } from './sites.ts';

const stranger = (n: number): Identity => ({
  ...BERLIN,
  fingerprint: (0xabc000 + n).toString(16).padStart(64, '0') as Fingerprint,
});

/** Sites that Berlin does not know and that keep calling it. */
function strangers(world: World, count: number, address: (n: number) => string): Site[] {
  return Array.from({ length: count }, (_, n) =>
    world.site(`stranger ${n}`, {
      identity: stranger(n),
      addresses: [address(n)],
      port: 10_000 + n,
      peers: [
        peerSettings({
          name: 'berlin',
          fingerprints: [BERLIN.fingerprint],
          allowedIps: ['10.1.0.0/16'],
          endpoints: ['203.0.113.10:4433'],
        }),
      ],
    }),
  );
}

/** The first datagram that a site sends. */
function firstHello(): Uint8Array {
  const { world, paris } = twoSites(REAL);
  const sent: Uint8Array[] = [];
  world.filter = (_from, _to, datagram) => {
    sent.push(datagram.slice());
    return false;
  };
  paris.start();
  const [hello] = sent;
  if (hello === undefined) throw new Error('a hello is sent');
  return hello;
}

describe('first datagrams from anywhere', () => {
  it('without a cookie leave nothing behind and get back less than they bring (H44)', () => {
    const { world, berlin } = twoSites(REAL);
    berlin.start();
    const hello = firstHello();
    let answered = 0;
    world.filter = (from, _to, datagram) => {
      if (from === berlin) answered += datagram.length;
      return true;
    };
    for (let i = 0; i < 5000; i++) {
      berlin.forge({ address: `192.0.${i >> 8}.${i & 255}`, port: 1000 + i }, hello);
    }
    world.run(20_000);
    expect(answered).toBeGreaterThan(0);
    expect(answered).toBeLessThan(5000 * hello.length * 0.5);
    expect(berlin.tunnel.halfOpen).toBe(0);
    expect(berlin.eventsOf('handshake-started')).toEqual([]);
    expect(berlin.tunnel.deadline === undefined || berlin.tunnel.deadline > world.now).toBe(true);
  });

  it('are not even answered when Unknown = drop, while a configured address is', () => {
    const sites = twoSites({ berlinInterface: { unknown: 'drop' }, berlinCalls: true });
    const { world, berlin, paris } = sites;
    berlin.start();
    for (let i = 0; i < 100; i++) berlin.forge({ address: '192.0.2.66', port: 1000 + i }, firstHello());
    world.run(100);
    expect(berlin.eventsOf('cookie')).toEqual([]);
    expect(berlin.eventsOf('handshake-ignored').length).toBe(100);
    paris.start();
    world.until(() => linked(sites), 5000);
  });

  it('of garbage change nothing', () => {
    const sites = linkedSites(REAL);
    const { world, berlin } = sites;
    const { random } = world;
    const from = { address: '198.51.100.7', port: 4433 };
    for (let i = 0; i < 20_000; i++) {
      const octets = random.random(random.below(120));
      if (random.chance(0.7))
        octets.set([20 + random.below(6), 0xfe, 0xfd, 0, random.below(2)].slice(0, octets.length));
      berlin.forge(from, octets);
    }
    const { toBerlin, toParis } = bothWays(sites, 10, 2000);
    world.run(3000);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(berlin.eventsOf('peer-state').map((e) => e.to)).toEqual(['up']);
  });

  it('every truncation of a real handshake is survived', () => {
    const datagrams: Uint8Array[] = [];
    const recorded = twoSites(REAL);
    recorded.world.filter = (from, _to, datagram) => {
      if (from === recorded.paris) datagrams.push(datagram.slice());
      return true;
    };
    recorded.berlin.start();
    recorded.paris.start();
    recorded.world.run(500);
    const { world, berlin } = linkedSites(REAL);
    for (const datagram of datagrams) {
      for (let length = 0; length < Math.min(datagram.length, 300); length++) {
        berlin.forge({ address: '198.51.100.7', port: 4433 }, datagram.subarray(0, length));
      }
    }
    world.run(5000);
    expect(berlin.peer('paris').up).toBe(true);
  });
});

describe('handshakes of strangers', () => {
  it('are bounded in number, and a known site gets through all the same', () => {
    const sites = twoSites({ berlinInterface: { maxHandshakes: 8 }, berlinCalls: true });
    const { world, berlin, paris } = sites;
    berlin.start();
    // They prove their address and then fall silent, which holds a place for as long as anything can.
    world.filter = (from, _to, datagram) =>
      !(from.name.startsWith('stranger') && datagram[0] === 22 && datagram[13] === 11);
    for (const site of strangers(world, 60, (n) => `192.0.2.${n + 1}`)) site.start();
    let most = 0;
    world.every(10, (world.now + 10_000) as typeof world.now, () => {
      most = Math.max(most, berlin.tunnel.halfOpen);
    });
    world.run(3000);
    paris.start();
    world.until(() => linked(sites), 3000);
    world.run(8000);
    expect(most).toBeGreaterThan(4);
    expect(most).toBeLessThanOrEqual(8);
    expect(berlin.eventsOf('handshake-ignored').some((e) => e.reason === 'full')).toBe(true);
  });

  it('are bounded per source, so that one source cannot use up the work for all', () => {
    const world = new World(QUICK);
    const berlin = world.site('berlin', {
      identity: BERLIN,
      addresses: ['203.0.113.10'],
      peers: [peerSettings({ name: 'paris', fingerprints: [PARIS.fingerprint], allowedIps: ['10.2.0.0/16'] })],
    });
    berlin.start();
    for (const site of strangers(world, 200, () => '192.0.2.1')) site.start();
    world.run(1000);
    expect(berlin.eventsOf('handshake-started').length).toBeLessThanOrEqual(30 + 10 + 1);
    expect(berlin.eventsOf('handshake-ignored').some((e) => e.reason === 'rate')).toBe(true);
  });

  it('name the certificate that was refused, once per attempt', () => {
    const world = new World(QUICK);
    const berlin = world.site('berlin', {
      identity: BERLIN,
      addresses: ['203.0.113.10'],
      peers: [peerSettings({ name: 'paris', fingerprints: [PARIS.fingerprint], allowedIps: ['10.2.0.0/16'] })],
    });
    berlin.start();
    const [one] = strangers(world, 1, () => '192.0.2.1');
    one?.start();
    world.run(1000);
    const failures = berlin.eventsOf('handshake-failed');
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.every((f) => f.peer === undefined && f.reason.seen === stranger(0).fingerprint)).toBe(true);
    one?.kill();
    world.run(20_000);
    expect(berlin.tunnel.halfOpen).toBe(0);
    expect(berlin.plane.installed).toBe(0);
  });
});

describe('a hello from the address of a live association (H48, RFC 6347 §4.2.8)', () => {
  it('without a cookie, or with one but without a certificate, disturbs nothing', () => {
    const sites = linkedSites(REAL);
    const { world, berlin, paris } = sites;
    const before = berlin.peer('paris').association?.slot;
    const { toBerlin, toParis } = bothWays(sites, 5, 5000);
    // The second life of Paris is played by a site with the same address and an unknown certificate.
    const [impostor] = strangers(world, 1, () => '198.51.100.7');
    if (impostor === undefined) throw new Error('there is one');
    impostor.options = { ...impostor.options, port: 4433 };
    world.filter = (from, to, datagram) => {
      // What Berlin answers reaches both of them.
      if (from === berlin)
        world.after(10, () => impostor.receive({ address: '203.0.113.10' as never, port: 4433 }, to, datagram));
      return true;
    };
    world.after(1000, () => impostor.start());
    world.after(3000, () => impostor.kill());
    world.run(8000);
    expect(berlin.eventsOf('handshake-started').length).toBeGreaterThan(1);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(berlin.peer('paris').association?.slot).toBe(before);
  });
});

describe('alerts in the clear', () => {
  it('end nothing and provoke at most a probe a second', () => {
    const sites = linkedSites(REAL);
    const { world, paris } = sites;
    world.run(5000);
    let sent = 0;
    world.filter = (from) => {
      if (from === paris) sent++;
      return true;
    };
    const alert = Uint8Array.of(21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40);
    for (let i = 0; i < 10_000; i++) world.after(i, () => paris.forge({ address: '203.0.113.10', port: 4433 }, alert));
    world.run(10_000);
    expect(linked(sites)).toBe(true);
    expect(sent).toBeLessThan(40);
    expect(paris.eventsOf('peer-state').map((e) => e.to)).toEqual(['up']);
  });
});
