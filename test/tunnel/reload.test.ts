import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ms, seconds } from '../../src/base/brand.ts';
import type { PeerSettings } from '../../src/config/settings.ts';
import { identityOf } from '../support/pair.ts';
import { losses, peerSettings, type Site } from '../support/world.ts';
import { BERLIN, bothWays, linked, linkedSites, PARIS } from './sites.ts';

const THIRD = await identityOf('p256', 'third');

const only = (site: Site): PeerSettings => {
  const [peer] = site.settings.peers;
  if (peer === undefined) throw new Error('there is a peer');
  return peer;
};

describe('reload', () => {
  it('of the same settings does nothing that anybody notices', () => {
    const sites = linkedSites();
    const before = sites.paris.peer('berlin').association?.slot;
    const { toBerlin, toParis } = bothWays(sites, 2, 5000);
    for (let i = 0; i < 100; i++) sites.world.after(i * 50, () => sites.paris.reload(sites.paris.settings.peers));
    sites.world.run(6000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(sites.paris.peer('berlin').association?.slot).toBe(before);
  });

  it('cuts a removed peer at once', () => {
    const sites = linkedSites();
    bothWays(sites, 2, 5000);
    sites.world.run(1000);
    sites.berlin.reload([]);
    expect(sites.berlin.plane.installed).toBe(0);
    const got = sites.berlin.received.size;
    sites.world.run(1000);
    expect(sites.berlin.received.size).toBe(got);
    expect(sites.paris.peer('berlin').up).toBe(false);
  });

  it('cuts a peer whose fingerprint was replaced, though its name stays', () => {
    const sites = linkedSites();
    const id = sites.berlin.peer('paris').id;
    sites.berlin.reload([{ ...only(sites.berlin), fingerprints: [THIRD.fingerprint] }]);
    expect(sites.berlin.plane.installed).toBe(0);
    sites.world.run(40_000);
    expect(sites.berlin.peer('paris')).toMatchObject({ up: false, id });
    expect(sites.berlin.eventsOf('handshake-failed').some((e) => e.reason.code === 'unknown_fingerprint')).toBe(true);
  });

  it('keeps a peer whose second fingerprint is added or whose other one is removed', () => {
    const sites = linkedSites();
    const slot = sites.berlin.peer('paris').association?.slot;
    sites.berlin.reload([{ ...only(sites.berlin), fingerprints: [THIRD.fingerprint, PARIS.fingerprint] }]);
    sites.berlin.reload([{ ...only(sites.berlin), fingerprints: [PARIS.fingerprint] }]);
    sites.world.run(1000);
    expect(sites.berlin.peer('paris').association?.slot).toBe(slot);
    expect(linked(sites)).toBe(true);
  });

  it('disables and enables a peer', () => {
    const sites = linkedSites();
    sites.paris.reload([{ ...only(sites.paris), enabled: false }]);
    expect(sites.paris.peer('berlin')).toMatchObject({ state: 'disabled', up: false });
    expect(sites.paris.plane.installed).toBe(0);
    sites.world.run(5000);
    expect(sites.berlin.peer('paris').up).toBe(false);
    sites.paris.reload([{ ...only(sites.paris), enabled: true }]);
    expect(sites.world.until(() => linked(sites))).toBeLessThan(200);
  });

  // Whoever was told goodbye waits and is then refused, less and less often: up to half a minute passed until its next call.
  it.each([
    ['the end that is called, which has no endpoint', 'berlin', {}],
    ['the end that calls', 'paris', {}],
    ['either of two that call each other', 'berlin', { berlinCalls: true }],
    ['the one behind a NAT', 'paris', { nat: '192.0.2.99' }],
    ['the one in front of a NAT', 'berlin', { nat: '192.0.2.99' }],
  ] as const)('enables %s after any time, and it is back within a second', (_, which, options) => {
    for (const away of [300, 3000, 30_000, 300_000]) {
      const sites = linkedSites(options);
      sites[which].reload([{ ...only(sites[which]), enabled: false }]);
      sites.world.run(away);
      sites[which].reload([{ ...only(sites[which]), enabled: true }]);
      expect(
        sites.world.until(() => linked(sites)),
        `${away} ms`,
      ).toBeLessThan(1000);
    }
  });

  it('enables both ends, whichever is first, within a second of the second', () => {
    for (const [first, second] of [
      ['berlin', 'paris'],
      ['paris', 'berlin'],
    ] as const) {
      const sites = linkedSites();
      for (const site of [first, second]) sites[site].reload([{ ...only(sites[site]), enabled: false }]);
      sites.world.run(60_000);
      sites[first].reload([{ ...only(sites[first]), enabled: true }]);
      sites.world.run(20_000);
      sites[second].reload([{ ...only(sites[second]), enabled: true }]);
      expect(sites.world.until(() => linked(sites))).toBeLessThan(1000);
    }
  });

  it('admits a peer that has called in vain for long, and calls it at once', () => {
    const sites = linkedSites({ nat: '192.0.2.99' });
    const settings = sites.berlin.settings.peers;
    sites.berlin.reload([]);
    sites.world.run(300_000);
    sites.berlin.reload(settings);
    expect(sites.world.until(() => linked(sites))).toBeLessThan(1000);
  });

  it('adds a peer, which is called at once', () => {
    const sites = linkedSites();
    const { world, berlin } = sites;
    const third = world.site('third', {
      identity: THIRD,
      addresses: ['192.0.2.30'],
      peers: [peerSettings({ name: 'berlin', fingerprints: [BERLIN.fingerprint], allowedIps: ['10.1.0.0/16'] })],
    });
    third.start();
    berlin.reload([
      only(berlin),
      peerSettings({
        name: 'third',
        fingerprints: [THIRD.fingerprint],
        allowedIps: ['10.3.0.0/16'],
        endpoints: ['192.0.2.30:4433'],
      }),
    ]);
    expect(world.until(() => berlin.peer('third').up)).toBeLessThan(100);
    expect(linked(sites)).toBe(true);
  });

  it('moves to a changed endpoint without loss', () => {
    const sites = linkedSites();
    sites.berlin.options = { ...sites.berlin.options, addresses: ['203.0.113.10', '192.0.2.10'] };
    const { toBerlin, toParis } = bothWays(sites, 3, 20_000);
    sites.world.run(1000);
    sites.paris.reload([{ ...only(sites.paris), endpoints: [{ host: '192.0.2.10', port: 4433 }] }]);
    sites.world.until(() => sites.paris.peer('berlin').association?.path.remote.address === '192.0.2.10', 5000);
    sites.world.run(40_000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(sites.paris.plane.installed).toBe(1);
  });

  it('takes another identity for the next handshake, and loses nothing', () => {
    const sites = linkedSites();
    sites.paris.reload([{ ...only(sites.paris), fingerprints: [BERLIN.fingerprint, THIRD.fingerprint] }]);
    const { toBerlin, toParis } = bothWays(sites, 5, 20_000);
    sites.world.run(500);
    sites.berlin.reload(sites.berlin.settings.peers, {}, THIRD);
    sites.berlin.do((t, now) => t.rekey(undefined, now));
    sites.world.run(25_000);
    expect(sites.paris.peer('berlin').fingerprint).toBe(THIRD.fingerprint);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
  });

  it('of a thousand random settings that keep the peer loses nothing', { timeout: 300_000 }, () => {
    const sites = linkedSites();
    const { toBerlin, toParis } = bothWays(sites, 20, 100_000);
    const { random } = sites.world;
    const pick = <T>(...items: readonly T[]): T => items[random.below(items.length)] as T;
    for (let i = 0; i < 1000; i++) {
      sites.world.after(i * 100, () => {
        const site = random.chance(0.5) ? sites.berlin : sites.paris;
        const base = only(site);
        site.reload([
          {
            ...base,
            name: base.name,
            deadAfter: seconds(pick(2, 5, 10, 20)),
            persistentKeepalive: pick<'auto' | 'off' | ReturnType<typeof ms>>('auto', 'off', ms(1000)),
            rekeyAfter: pick<'off' | ReturnType<typeof ms>>('off', seconds(5), seconds(60)),
            priority: random.below(200),
            endpoints: site === sites.paris || random.chance(0.3) ? base.endpoints : [],
            rateLimit: undefined,
            mtu: pick<'auto' | PeerSettings['mtu']>('auto', 1300 as PeerSettings['mtu'], 1400 as PeerSettings['mtu']),
          },
        ]);
      });
    }
    sites.world.run(110_000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
  });

  it('of arbitrary settings in any order ends as if the last had been there from the start', async () => {
    const identities = await Promise.all(['p1', 'p2', 'p3', 'p4'].map((name) => identityOf('p256', name)));
    const settings = fc.uniqueArray(
      fc.record({
        who: fc.integer({ min: 0, max: 3 }),
        enabled: fc.boolean(),
        endpoint: fc.option(fc.constantFrom('192.0.2.1:1', '192.0.2.2:2', 'host.example:3'), { nil: undefined }),
        prefixes: fc.subarray(['10.1.0.0/16', '10.2.0.0/16', 'fd00::/8'], { minLength: 1 }),
        priority: fc.integer({ min: 1, max: 3 }),
      }),
      { selector: (entry) => entry.who, maxLength: 4 },
    );
    fc.assert(
      fc.property(
        fc.array(settings, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 1000 }),
        (steps, pause) => {
          const { world, berlin } = linkedSites();
          for (const step of steps) {
            berlin.reload(
              step.map((entry) =>
                peerSettings({
                  name: `peer-${entry.who}`,
                  fingerprints: [identities[entry.who]?.fingerprint ?? BERLIN.fingerprint],
                  endpoints: entry.endpoint === undefined ? [] : [entry.endpoint],
                  allowedIps: entry.prefixes,
                  priority: entry.priority,
                  enabled: entry.enabled,
                }),
              ),
            );
            world.run(pause);
          }
          const last = steps.at(-1) ?? [];
          const snapshot = berlin.tunnel.snapshot(world.now);
          expect(snapshot.map((peer) => peer.name)).toEqual(last.map((entry) => `peer-${entry.who}`));
          expect(new Set(snapshot.map((peer) => peer.id)).size).toBe(last.length);
          expect(snapshot.filter((peer) => peer.state === 'disabled').length).toBe(
            last.filter((entry) => !entry.enabled).length,
          );
          expect(new Set(berlin.plane.stats().peers.keys())).toEqual(new Set(snapshot.map((peer) => peer.id)));
          expect(berlin.plane.installed).toBe(0);
        },
      ),
      { numRuns: 60, seed: 7 },
    );
  });
});
