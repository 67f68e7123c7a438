import { describe, expect, it } from 'vitest';
import type { Fingerprint, Instant } from '../../src/base/brand.ts';
import { endpointKey, type Path } from '../../src/net/endpoint.ts';
import { Tunnel } from '../../src/tunnel/tunnel.ts';
import { address, losses, peerSettings } from '../support/world.ts';
import { BERLIN, bothWays, linked, linkedSites, type PairOfSites, QUICK, REAL, twoSites } from './sites.ts';

/** Round trip of the usual wire. */
const RTT = 20;

/** How long after its restart the first packet comes through each way. */
function recovery(sites: PairOfSites, which: 'berlin' | 'paris', pause = 300): { berlin: number; paris: number } {
  const { world, berlin, paris } = sites;
  bothWays(sites, 2, 7000 + pause);
  world.run(2000);
  sites[which].kill();
  world.run(pause);
  for (const site of [berlin, paris]) site.receivedAt.clear();
  for (const site of [berlin, paris]) site.received.clear();
  const at = world.now;
  sites[which].start();
  world.run(4000);
  const first = (times: Map<number, Instant>): number => Math.min(...times.values()) - at;
  return { berlin: first(berlin.receivedAt), paris: first(paris.receivedAt) };
}

describe('kill -9 of one end', () => {
  it.each(['berlin', 'paris'] as const)('traffic flows 300 ms + 2 RTT after %s is back', (which) => {
    for (const calls of [{}, { berlinCalls: true }, { parisCalls: false, berlinCalls: true }]) {
      const took = recovery(linkedSites(calls), which);
      expect(Math.max(took.berlin, took.paris)).toBeLessThanOrEqual(300 + 2 * RTT);
    }
  });

  it('traffic flows again when the end without an endpoint was away for long', () => {
    const took = recovery(linkedSites(), 'berlin', 60_000);
    expect(Math.max(took.berlin, took.paris)).toBeLessThanOrEqual(2500);
  });

  it('the far end behind a NAT is called back at the address its records come from', () => {
    const sites = linkedSites({ ...REAL, nat: '192.0.2.99' });
    const took = recovery(sites, 'berlin');
    expect(Math.max(took.berlin, took.paris)).toBeLessThanOrEqual(300 + 2 * RTT);
    const [first] = sites.berlin.eventsOf('handshake-started').slice(-2);
    expect(first?.path.remote.address).toBe('192.0.2.99');
  });

  it('settles to one association', () => {
    const sites = linkedSites({ berlinCalls: true });
    recovery(sites, 'paris');
    sites.world.run(120_000);
    expect(linked(sites)).toBe(true);
    expect(sites.berlin.plane.installed).toBe(1);
    expect(sites.paris.plane.installed).toBe(1);
  });

  it('of both at once is no different', () => {
    const sites = linkedSites({ berlinCalls: true });
    sites.world.run(1000);
    sites.berlin.kill();
    sites.paris.kill();
    sites.world.run(300);
    sites.paris.start();
    sites.berlin.start();
    expect(sites.world.until(() => linked(sites))).toBeLessThan(1000);
  });

  it('loses nothing that is sent once it is back', () => {
    const sites = linkedSites();
    sites.world.run(1000);
    sites.paris.kill();
    sites.world.run(200);
    sites.paris.start();
    sites.world.until(() => sites.paris.peer('berlin').up);
    sites.world.run(2 * RTT);
    const { toBerlin, toParis } = bothWays(sites, 5, 10_000);
    sites.world.run(12_000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
  });
});

describe('an end whose start takes long', () => {
  // Its socket was open and its peers not known yet: they were refused as strangers, and believed it.
  it('refuses nobody who calls while it starts', () => {
    for (const remember of [false, true]) {
      for (const seed of [1, 2, 3]) {
        const sites = linkedSites({ ...REAL, remember, seed });
        const { world, berlin, paris } = sites;
        bothWays(sites, 20, 30_000);
        world.run(2000);
        berlin.kill();
        world.run(300);
        // Paris has noticed and calls before that.
        const startTakes = 900 + 100 * seed;
        berlin.start(startTakes);
        world.run(startTakes);
        expect(world.until(() => linked(sites))).toBeLessThanOrEqual(1000);
        world.run(20_000);
        const failed = [...berlin.eventsOf('handshake-failed'), ...paris.eventsOf('handshake-failed')];
        expect(failed, `seed ${seed}, remembers ${remember}`).toEqual([]);
        const ignored = berlin.eventsOf('handshake-ignored').filter(({ reason }) => reason === 'starting');
        expect(ignored.length, 'what came meanwhile is counted').toBeGreaterThan(0);
      }
    }
  });
});

describe('an end that remembers where its peers were', () => {
  /** Berlin has no endpoint of Paris, and only hosts behind Berlin have something to say after its restart. */
  const oneSided = (options: Parameters<typeof linkedSites>[0], away = 100): number => {
    const sites = linkedSites({ remember: true, ...options });
    sites.world.run(2000);
    sites.berlin.kill();
    sites.world.run(away);
    sites.berlin.start();
    const at = sites.world.now;
    sites.paris.receivedAt.clear();
    sites.world.traffic(sites.berlin, ['10.1.0.1', '10.2.0.1'], 2, (at + 40_000) as Instant);
    return sites.world.until(() => sites.paris.receivedAt.size > 0, 40_000);
  };

  it('calls them at once: 300 ms + 2 RTT although the far end has noticed nothing', () => {
    expect(oneSided({})).toBeLessThanOrEqual(300 + 2 * RTT);
    expect(oneSided({ ...REAL, nat: '192.0.2.99' })).toBeLessThanOrEqual(300 + 2 * RTT);
  });

  it('waits for the far end to notice when it remembers nothing', () => {
    expect(oneSided({ remember: false })).toBeGreaterThan(1000);
  });

  it('gives up after one attempt at a place where nobody answers, and takes the call from elsewhere', () => {
    const sites = linkedSites({ remember: true, nat: '192.0.2.99' });
    sites.world.run(2000);
    sites.berlin.kill();
    sites.paris.kill();
    sites.paris.rebind();
    sites.berlin.start();
    sites.world.run(60_000);
    const calls = sites.berlin.eventsOf('handshake-started').filter(({ role }) => role === 'client');
    expect(calls).toHaveLength(1);
    expect(sites.berlin.eventsOf('handshake-failed').at(-1)).toMatchObject({
      peer: 'paris',
      reason: { code: 'timeout' },
    });
    sites.paris.start();
    expect(sites.world.until(() => linked(sites))).toBeLessThan(1000);
  });

  it('refuses whoever else has that address by now', () => {
    const sites = linkedSites({ remember: true });
    sites.world.run(2000);
    sites.berlin.kill();
    sites.paris.kill();
    const stranger = sites.world.site('stranger', {
      identity: BERLIN,
      addresses: ['198.51.100.7'],
      peers: sites.paris.options.peers,
    });
    stranger.start();
    sites.berlin.start();
    sites.world.run(20_000);
    expect(sites.berlin.peer('paris')).toMatchObject({
      up: false,
      lastFailure: { reason: { code: 'unknown_fingerprint' } },
    });
  });

  it('calls thousands of them at a bounded rate, and each at its own place', () => {
    const { world, berlin } = twoSites();
    const peers = Array.from({ length: 1000 }, (_, i) =>
      peerSettings({
        name: `p${i}`,
        fingerprints: [i.toString(16).padStart(64, '0') as Fingerprint],
        allowedIps: [`10.${100 + (i >> 8)}.${i & 255}.0/24`],
      }),
    );
    const lastKnown = new Map(
      peers.map(({ fingerprints: [pin] }, i): [Fingerprint, Path] => [
        pin ?? ('' as Fingerprint),
        { remote: { address: address(`192.0.${i >> 8}.${i & 255}`), port: 1000 + i }, local: undefined },
      ]),
    );
    const tunnel = new Tunnel({
      settings: { interface: berlin.settings.interface, peers },
      identity: BERLIN,
      crypto: world.random,
      session: () => undefined,
      changed: () => [],
      wallClock: () => 0,
      lastKnown,
      engines: QUICK.engines,
    });
    let now = world.now;
    const called: { readonly at: number; readonly to: string }[] = [];
    const drain = (): void => {
      for (let effect = tunnel.poll(); effect !== undefined; effect = tunnel.poll()) {
        if (effect.kind === 'event' && effect.event.kind === 'handshake-started') {
          called.push({ at: now - world.now, to: endpointKey(effect.event.path.remote) });
        }
      }
    };
    tunnel.start(now);
    drain();
    expect(called.length).toBe(200);
    while (called.length < 1000 && now - world.now < 10_000) {
      now = (now + 1) as Instant;
      tunnel.tick(now);
      drain();
    }
    expect(called.at(-1)?.at).toBeCloseTo(800 / 0.5, -2);
    expect(new Set(called.map(({ to }) => to)).size).toBe(1000);
  });
});

describe('records of unknown sessions', () => {
  it('provoke no more octets than they bring, until somebody answers', () => {
    const sites = linkedSites();
    sites.world.run(1000);
    sites.berlin.kill();
    sites.berlin.start();
    sites.paris.kill();
    const victim = { address: '192.0.2.66', port: 9 };
    let brought = 0;
    let provoked = 0;
    sites.world.filter = (from, to, datagram) => {
      if (from === sites.berlin && to.address === victim.address) provoked += datagram.length;
      return true;
    };
    for (let i = 0; i < 2000; i++) {
      const record = new Uint8Array(60 + (i % 700));
      record.set([25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, i % 256, 9, 9, 9, 1, 2, 3, 4, 5]);
      record.set([0, record.length - 21], 19);
      new DataView(record.buffer).setUint16(19, record.length - 21);
      brought += record.length;
      sites.world.after(i * 10, () => sites.berlin.forge(victim, record));
    }
    sites.world.run(40_000);
    expect(provoked).toBeGreaterThan(0);
    expect(provoked).toBeLessThan(brought / 4);
    expect(sites.berlin.tunnel.halfOpen).toBe(0);
  });

  it('are ignored while every peer answers', () => {
    const sites = linkedSites();
    const record = new Uint8Array(500);
    record.set([25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 9, 9, 9, 1, 2, 3, 4, 5]);
    new DataView(record.buffer).setUint16(19, record.length - 21);
    const before = sites.berlin.eventsOf('handshake-started').length;
    for (let i = 0; i < 100; i++) sites.berlin.forge({ address: '192.0.2.66', port: 9 }, record);
    sites.world.run(1000);
    expect(sites.berlin.eventsOf('handshake-started').length).toBe(before);
  });
});
