import { describe, expect, it } from 'vitest';
import { seconds } from '../../src/base/brand.ts';
import { identityOf } from '../support/pair.ts';
import { losses, type Site } from '../support/world.ts';
import { BERLIN, bothWays, linked, linkedSites, type PairOptions, type PairOfSites, REAL } from './sites.ts';

const NEXT = await identityOf('p256', 'next');

/** Lets the world go on until `site` knows what its only peer makes of NEXT. */
function answerAt({ world }: PairOfSites, site: Site): string {
  const before = site.eventsOf('trial').length;
  expect(site.do((tunnel, now) => tunnel.trial(NEXT, now))).toHaveLength(1);
  world.until(() => site.eventsOf('trial').length > before, 10_000);
  const event = site.eventsOf('trial').at(-1);
  expect(event?.fingerprint).toBe(NEXT.fingerprint);
  return event?.result ?? 'none';
}

function learn(site: Site): void {
  site.reload(site.settings.peers.map((peer) => ({ ...peer, fingerprints: [...peer.fingerprints, NEXT.fingerprint] })));
}

const WAYS: readonly (readonly [string, 'berlin' | 'paris', PairOptions])[] = [
  ['a peer that only calls us', 'berlin', {}],
  ['a peer that we call', 'paris', {}],
  ['a peer behind a NAT', 'berlin', { nat: '192.0.2.99' }],
  ['a peer of an end behind a NAT', 'paris', { nat: '192.0.2.99' }],
  ['a peer that calls as we do', 'berlin', { berlinCalls: true }],
  ['a peer over a bad path', 'paris', { quality: { delay: 20, jitter: 10, loss: 0.1, duplicate: 0.05 } }],
  ['a peer, with the real engine', 'berlin', REAL],
];

describe('asking whether a peer knows another certificate of ours', () => {
  it.each(WAYS)('%s: it refuses first and knows it then, and no packet is lost meanwhile', (_, who, options) => {
    const sites = linkedSites(options);
    const asking = sites[who];
    const asked = who === 'berlin' ? sites.paris : sites.berlin;
    sites.world.run(1000);
    const slots = [asking, asked].map((site) => site.tunnel.snapshot(sites.world.now)[0]?.association?.slot);
    const clean = options.quality === undefined;
    const sent = clean ? bothWays(sites, 3, 20_000) : undefined;
    // The engine without cryptography refuses without a word.
    expect(answerAt(sites, asking)).toBe(options === REAL ? 'refused' : 'silent');
    learn(asked);
    expect(answerAt(sites, asking)).toBe('known');
    expect(answerAt(sites, asking)).toBe('known');
    sites.world.run(25_000);
    expect(linked(sites)).toBe(true);
    expect([asking, asked].map((site) => site.tunnel.snapshot(sites.world.now)[0]?.association?.slot)).toEqual(slots);
    expect([asking.plane.installed, asked.plane.installed]).toEqual([1, 1]);
    if (sent === undefined) return;
    expect(losses(sent.toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(sent.toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
  });

  it('nobody answers: it says so in time', () => {
    const sites = linkedSites();
    sites.paris.kill();
    expect(answerAt(sites, sites.berlin)).toBe('silent');
    sites.world.run(60_000);
    expect(answerAt(sites, sites.berlin)).toBe('silent');
  });

  it('both ends ask each other at once: each gets an answer, and an answer again', () => {
    const sites = linkedSites({ berlinCalls: true });
    learn(sites.berlin);
    learn(sites.paris);
    for (let i = 0; i < 5; i++) {
      for (const site of [sites.berlin, sites.paris]) site.do((tunnel, now) => tunnel.trial(NEXT, now));
      sites.world.run(6000);
    }
    for (const site of [sites.berlin, sites.paris]) expect(site.eventsOf('trial')).toHaveLength(5);
    expect(answerAt(sites, sites.berlin)).toBe('known');
    expect(linked(sites)).toBe(true);
  });

  it('leaves nothing behind when it ends amid a handshake', () => {
    const sites = linkedSites();
    sites.berlin.do((tunnel, now) => tunnel.trial(NEXT, now));
    sites.berlin.do((tunnel, now) => tunnel.close(now));
    expect(sites.berlin.plane.installed).toBe(0);
    expect(sites.berlin.deadline).toBeUndefined();
  });

  it('does not ask a peer that is disabled', () => {
    const sites = linkedSites();
    sites.berlin.reload(sites.berlin.settings.peers.map((peer) => ({ ...peer, enabled: false })));
    expect(sites.berlin.do((tunnel, now) => tunnel.trial(NEXT, now))).toEqual([]);
  });

  it('a whole rotation under traffic, whichever end rotates, loses nothing', () => {
    for (const who of ['berlin', 'paris'] as const) {
      const sites = linkedSites();
      const rotating = sites[who];
      const other = who === 'berlin' ? sites.paris : sites.berlin;
      const { toBerlin, toParis } = bothWays(sites, 3, 30_000);
      sites.world.run(1000);
      learn(other);
      expect(answerAt(sites, rotating)).toBe('known');
      rotating.reload(rotating.settings.peers, {}, NEXT);
      rotating.do((tunnel, now) => tunnel.rekey(undefined, now));
      sites.world.run(seconds(3));
      other.reload(other.settings.peers.map((peer) => ({ ...peer, fingerprints: [NEXT.fingerprint] })));
      sites.world.run(30_000);
      expect(other.tunnel.snapshot(sites.world.now)[0]?.fingerprint).toBe(NEXT.fingerprint);
      expect(losses(toBerlin, sites.berlin), who).toEqual({ lost: 0, duplicated: 0 });
      expect(losses(toParis, sites.paris), who).toEqual({ lost: 0, duplicated: 0 });
      expect(BERLIN.fingerprint).not.toBe(NEXT.fingerprint);
    }
  });
});
