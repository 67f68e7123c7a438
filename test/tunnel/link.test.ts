import { describe, expect, it } from 'vitest';
import { seconds } from '../../src/base/brand.ts';
import { identityOf } from '../support/pair.ts';
import { losses, type Site } from '../support/world.ts';
import * as sitesModule from './sites.ts';
import { BERLIN, bothWays, linked, type PairOfSites, type PairOptions, PARIS, QUICK, REAL } from './sites.ts';

// With the real engine: this file is about the two working together.
const twoSites = (options: PairOptions = {}): PairOfSites => sitesModule.twoSites({ ...REAL, ...options });
const linkedSites = (options: PairOptions = {}): PairOfSites => sitesModule.linkedSites({ ...REAL, ...options });

describe('a link between two sites', () => {
  it('comes up when the caller starts last, three round trips later', () => {
    const sites = twoSites();
    sites.berlin.start();
    sites.world.run(1000);
    sites.paris.start();
    expect(sites.world.until(() => linked(sites))).toBeLessThanOrEqual(3 * 20 + 10);
  });

  it('comes up within two seconds when the caller has been calling for long', () => {
    const sites = twoSites(QUICK);
    sites.paris.start();
    sites.world.run(120_000);
    sites.berlin.start();
    expect(sites.world.until(() => linked(sites))).toBeLessThan(2500);
  });

  it('carries packets both ways', () => {
    const sites = linkedSites();
    const { toBerlin, toParis } = bothWays(sites, 5, 1000);
    sites.world.run(2000);
    expect(toBerlin.length).toBeGreaterThan(190);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
  });

  it('lets out only packets whose source the peer may use', () => {
    const sites = linkedSites();
    sites.paris.send('10.9.0.1', '10.1.0.1', 1);
    sites.world.run(100);
    expect(sites.berlin.received.size).toBe(0);
    expect(sites.berlin.plane.stats().peers.get(sites.berlin.peer('paris').id)?.drops.in.not_allowed).toBe(1n);
  });

  it('stays up while idle, and is down DeadAfter after the far end has gone', () => {
    const sites = linkedSites(QUICK);
    sites.world.run(600_000);
    expect(linked(sites)).toBe(true);
    sites.paris.kill();
    const took = sites.world.until(() => !sites.berlin.peer('paris').up, 60_000);
    expect(took).toBeLessThanOrEqual(25_000 + 10_000 + 100);
    expect(sites.berlin.peer('paris').state).toBe('down');
  });

  it('is asked by one end only while idle, and both know that it takes both ways', () => {
    const sites = linkedSites(QUICK);
    sites.world.run(30_000);
    const asked = (site: Site): number => site.eventsOf('probe').length;
    const before = { berlin: asked(sites.berlin), paris: asked(sites.paris) };
    sites.world.run(500_000);
    const [berlin, paris] = [asked(sites.berlin) - before.berlin, asked(sites.paris) - before.paris];
    // Both together little more than one of them asks in so many keepalives of 25 s.
    expect(berlin + paris).toBeGreaterThanOrEqual(20);
    expect(berlin + paris).toBeLessThanOrEqual(26);
    // The server measures for itself now and then.
    expect(berlin).toBeGreaterThanOrEqual(4);
    expect(berlin).toBeLessThanOrEqual(6);
    expect(linked(sites)).toBe(true);
    expect(sites.berlin.eventsOf('probe').every(({ result }) => result === 'answered')).toBe(true);
  });

  it.each([
    ['198.51.100.7', '203.0.113.10'],
    ['203.0.113.10', '198.51.100.7'],
  ])('that is idle when %s does not get through to %s any more is down at both ends in time', (from, to) => {
    for (const idle of [5000, 23_500, 24_500, 60_000, 95_000]) {
      const sites = linkedSites(QUICK);
      sites.world.run(idle);
      sites.world.quality(from, to, { down: true }, false);
      sites.world.run(25_000 + 10_000 + 500);
      expect([sites.berlin.peer('paris').up, sites.paris.peer('berlin').up]).toEqual([false, false]);
    }
  });

  it('that has been at rest for minutes notices as soon when there is something to send, at either end', () => {
    for (const [from, gone] of [
      ['berlin', 'paris'],
      ['paris', 'berlin'],
    ] as const) {
      const sites = linkedSites(QUICK);
      sites.world.run(180_000);
      sites[gone].kill();
      bothWays(sites, 100, 30_000);
      expect(sites.world.until(() => !sites[from].peer(gone).up)).toBeLessThanOrEqual(10_000 + 2_600);
    }
  });

  it('notices within DeadAfter when there is something to send', () => {
    const sites = linkedSites();
    sites.world.run(5000);
    sites.paris.kill();
    bothWays(sites, 100, 30_000);
    expect(sites.world.until(() => !sites.berlin.peer('paris').up)).toBeLessThanOrEqual(10_000 + 100);
  });

  it('is refused for a certificate that is not configured, and says which it saw', async () => {
    const stranger = await identityOf('p256', 'stranger');
    const sites = twoSites({ parisPeer: { fingerprints: [stranger.fingerprint] } });
    sites.berlin.start();
    sites.paris.start();
    sites.world.run(5000);
    const [failure] = sites.paris.eventsOf('handshake-failed');
    expect(failure?.reason.code).toBe('unknown_fingerprint');
    expect(failure?.reason.seen?.replaceAll(':', '')).toContain(BERLIN.fingerprint);
    expect(failure?.reason.expected?.replaceAll(':', '')).toContain(stranger.fingerprint);
    expect(sites.paris.peer('berlin')).toMatchObject({ up: false, state: 'down' });
    expect(sites.paris.peer('berlin').lastFailure?.reason.code).toBe('unknown_fingerprint');
    expect(sites.berlin.plane.installed).toBe(0);
  });

  it('is refused by a server that does not know the caller, who learns that it was refused', async () => {
    const stranger = await identityOf('p256', 'stranger');
    const sites = twoSites({ berlinPeer: { fingerprints: [stranger.fingerprint] } });
    sites.berlin.start();
    sites.paris.start();
    sites.world.run(20_000);
    const [failure] = sites.berlin.eventsOf('handshake-failed');
    expect(failure?.reason.code).toBe('unknown_fingerprint');
    expect(failure?.reason.seen?.replaceAll(':', '')).toContain(PARIS.fingerprint);
    expect(sites.paris.peer('berlin').lastFailure?.reason.code).toBe('peer_alert');
    expect(sites.berlin.tunnel.halfOpen).toBe(0);
  });
});

describe('both ends call each other', () => {
  it.each([0, 1, 5, 9, 10, 11, 20, 35, 50, 400])('%i ms apart: one association remains', (apart) => {
    const sites = twoSites({ berlinCalls: true, seed: 3 + apart });
    sites.paris.start();
    sites.world.run(apart);
    sites.berlin.start();
    sites.world.until(() => linked(sites), 5000);
    const { toBerlin, toParis } = bothWays(sites, 20, 20_000);
    sites.world.run(90_000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(sites.berlin.plane.installed).toBe(1);
    expect(sites.paris.plane.installed).toBe(1);
    expect(sites.berlin.peer('paris').association?.role).not.toBe(sites.paris.peer('berlin').association?.role);
  });
});

describe('a bad path', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('loses a third each way: linked within ten seconds (seed %i)', (seed) => {
    const sites = twoSites({ seed, quality: { delay: 20, jitter: 30, loss: 0.3, duplicate: 0.1 } });
    sites.berlin.start();
    sites.paris.start();
    expect(sites.world.until(() => linked(sites))).toBeLessThan(10_000);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('damages one datagram in ten: linked nevertheless (seed %i)', (seed) => {
    const sites = twoSites({ seed, quality: { delay: 20, loss: 0.1, corrupt: 0.1 } });
    sites.berlin.start();
    sites.paris.start();
    expect(sites.world.until(() => linked(sites))).toBeLessThan(30_000);
  });

  it.each([1, 2, 3, 4])('loses a third each way: never goes down (seed %i)', (seed) => {
    const sites = linkedSites({ ...QUICK, seed, quality: { delay: 20, loss: 0.3 } });
    bothWays(sites, 100, 300_000);
    sites.world.run(900_000);
    expect(sites.berlin.eventsOf('peer-state').filter((e) => e.to === 'down')).toEqual([]);
    expect(sites.paris.eventsOf('peer-state').filter((e) => e.to === 'down')).toEqual([]);
    expect(sites.paris.peer('berlin').loss).toBeGreaterThan(0.3);
  });

  it('that is interrupted for ten seconds is used again at once, with the same keys', () => {
    const sites = linkedSites({ quality: { delay: 10 } });
    sites.world.run(5000);
    const before = sites.paris.peer('berlin').association?.slot;
    bothWays(sites, 50, 60_000);
    sites.world.run(2000);
    sites.world.quality('203.0.113.10', '198.51.100.7', { down: true });
    sites.world.run(9_900);
    sites.world.quality('203.0.113.10', '198.51.100.7', { delay: 10 });
    expect(sites.world.until(() => linked(sites))).toBeLessThanOrEqual(20 + 250);
    sites.world.run(10_000);
    expect(sites.paris.peer('berlin').association?.slot).toBe(before);
  });

  it('that carries only 576 octets is linked nevertheless', () => {
    const sites = twoSites({ quality: { mtu: 576 } });
    sites.berlin.start();
    sites.paris.start();
    expect(sites.world.until(() => linked(sites))).toBeLessThan(12_000);
  });

  it('with a round trip of two seconds is linked', () => {
    const sites = twoSites({ quality: { delay: 1000 } });
    sites.berlin.start();
    sites.paris.start();
    sites.world.until(() => linked(sites), 15_000);
    sites.world.run(600_000);
    expect(sites.paris.eventsOf('peer-state').map((e) => e.to)).toEqual(['up']);
  });
});

describe('stopping and starting again', () => {
  it('says goodbye, so that the far end knows at once', () => {
    const sites = linkedSites();
    sites.paris.do((tunnel, now) => tunnel.close(now));
    expect(sites.paris.finished).toEqual([0]);
    sites.world.run(50);
    expect(sites.berlin.peer('paris')).toMatchObject({ up: false, state: 'down' });
    expect(sites.berlin.eventsOf('peer-closed').map((e) => e.reason.code)).toEqual(['closed']);
    expect(sites.berlin.plane.installed).toBe(0);
  });

  it('survives being suspended for an hour', () => {
    const sites = linkedSites(QUICK);
    sites.world.run(10_000);
    sites.paris.frozen = true;
    sites.world.run(3_600_000);
    sites.paris.thaw();
    expect(sites.world.until(() => linked(sites))).toBeLessThan(500);
  });

  it("does not take ten seconds of its own absence for the peer's", () => {
    const sites = linkedSites();
    bothWays(sites, 50, 60_000);
    sites.world.run(5000);
    sites.paris.frozen = true;
    sites.world.run(9_000);
    sites.paris.thaw();
    sites.world.run(2000);
    expect(sites.paris.eventsOf('peer-state').map((e) => e.to)).toEqual(['up']);
  });

  it('keeps trying for as long as it takes', () => {
    const sites = twoSites(QUICK);
    sites.paris.start();
    sites.world.run(3_600_000);
    const failures = sites.paris.eventsOf('handshake-failed');
    expect(failures.every((f) => f.reason.code === 'timeout')).toBe(true);
    expect(failures.every((f) => (f.retryIn ?? 0) <= seconds(2))).toBe(true);
    expect(sites.paris.peer('berlin').state).toBe('down');
  });
});
