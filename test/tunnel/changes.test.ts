import { describe, expect, it } from 'vitest';
import { seconds } from '../../src/base/brand.ts';
import { losses } from '../support/world.ts';
import { bothWays, linked, linkedSites, REAL, twoSites } from './sites.ts';

/** Round trip of the usual wire. */
const RTT = 20;

describe('a change of local addresses or routes', () => {
  it('is used at once: the far end follows without waiting for a timer', () => {
    const sites = linkedSites({ nat: '192.0.2.99' });
    const { world, berlin, paris } = sites;
    world.run(3000);
    paris.rebind();
    paris.networkChanged();
    const took = world.until(() => berlin.eventsOf('endpoint-changed').length > 0);
    expect(took).toBeLessThanOrEqual(10 + 20 + 1);
    const { toBerlin, toParis } = bothWays(sites, 10, 1000);
    world.run(2000);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, paris)).toEqual({ lost: 0, duplicated: 0 });
  });

  it.each(['berlin', 'paris'] as const)(
    'takes away the address that %s is called at: it goes on from another',
    (which) => {
      // Whoever is the server of the association answers from the address it was called at, and that one is gone.
      const sites = linkedSites({ parisCalls: which === 'berlin', berlinCalls: which === 'paris' });
      const { world, berlin, paris } = sites;
      world.run(3000);
      const site = sites[which];
      const other = which === 'berlin' ? paris : berlin;
      expect(site.peer(other.name).association?.role).toBe('server');
      const { toBerlin, toParis } = bothWays(sites, 1, 3000);
      world.run(1000);
      site.moveTo(['192.0.2.77']);
      world.run(4000);
      const since = (sent: readonly number[]) => sent.slice(1000 + 3 * RTT);
      expect(losses(since(toBerlin), berlin)).toEqual({ lost: 0, duplicated: 0 });
      expect(losses(since(toParis), paris)).toEqual({ lost: 0, duplicated: 0 });
      expect(other.peer(site.name).association?.path.remote.address).toBe('192.0.2.77');
      expect(other.eventsOf('handshake-started').length).toBe(1);
    },
  );

  it('makes a caller that was waiting call at once', () => {
    const sites = twoSites();
    const { world, berlin, paris } = sites;
    world.quality('203.0.113.10', '198.51.100.7', { down: true });
    berlin.start();
    paris.start();
    world.run(60_000);
    world.quality('203.0.113.10', '198.51.100.7', {});
    paris.networkChanged();
    expect(world.until(() => linked(sites))).toBeLessThan(1100);
  });

  it('changes nothing when nothing has changed', () => {
    const sites = linkedSites();
    const before = sites.paris.peer('berlin').association?.slot;
    const { toBerlin } = bothWays(sites, 10, 3000);
    for (let i = 0; i < 20; i++) sites.world.after(i * 100, () => sites.paris.networkChanged());
    sites.world.run(4000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(sites.paris.peer('berlin').association?.slot).toBe(before);
  });
});

describe('dates of certificates', () => {
  // The identities of these tests are valid for a day around the time that the world tells.
  it('are known of every peer', () => {
    const { paris } = linkedSites(REAL);
    expect(paris.peer('berlin').association?.peerCertificateNotAfter).toBe(1.8e9 + 86_400);
  });

  it('cut nothing when they are over', () => {
    const sites = twoSites(REAL);
    sites.world.epochSeconds = 1.9e9;
    sites.berlin.start();
    sites.paris.start();
    sites.world.until(() => linked(sites));
  });

  it('are enforced where the settings say so, and the refusal says why', () => {
    const sites = twoSites({ ...REAL, parisPeer: { expirePolicy: 'enforce' } });
    sites.world.epochSeconds = 1.9e9;
    sites.berlin.start();
    sites.paris.start();
    sites.world.run(5000);
    expect(sites.paris.peer('berlin').up).toBe(false);
    expect(sites.paris.peer('berlin').lastFailure?.reason).toMatchObject({
      code: 'bad_certificate',
      seen: 'an expired certificate',
    });
    expect(sites.paris.plane.installed).toBe(0);
  });
});

describe('what status shows', () => {
  it('is all there once a peer is up', () => {
    const sites = linkedSites({ ...REAL, parisPeer: { rekeyAfter: seconds(100) } });
    bothWays(sites, 10, 5000);
    sites.world.run(6000);
    const { association, ...peer } = sites.paris.peer('berlin');
    expect(peer).toMatchObject({ state: 'up', up: true, loss: 0, lastFailure: undefined, nextAttempt: undefined });
    expect(peer.rtt?.smoothed).toBeCloseTo(20, 0);
    expect(peer.endpoints).toEqual([{ host: '203.0.113.10', port: 4433, addresses: ['203.0.113.10'] }]);
    expect(association).toMatchObject({
      role: 'client',
      endpointIndex: 0,
      protocol: 'dtunnel/1',
      connectionIds: true,
      pathMtu: 1472,
      group: 'x25519',
    });
    expect(association?.suite).toMatch(/^TLS_ECDHE_ECDSA_WITH_/);
    // 13 of header, 8 of id, 1 of type, 16 of tag, 8 of nonce with AES-GCM.
    expect(1472 - (association?.innerMtu ?? 0)).toBe(association?.suite.includes('CHACHA') === true ? 38 : 46);
    expect(association?.keyUsage.transmit).toBeGreaterThan(0);
    const rekeyIn = (association?.rekeyAt ?? 0) - (association?.establishedAt ?? 0);
    expect(rekeyIn).toBeGreaterThanOrEqual(90_000);
    expect(rekeyIn).toBeLessThanOrEqual(100_000);
  });

  it('is asked for at once on demand', () => {
    const { world, paris } = linkedSites();
    world.run(5000);
    const before = paris.eventsOf('probe').length;
    expect(paris.do((tunnel, now) => tunnel.probe('berlin', now))).toBe(true);
    world.run(50);
    expect(
      paris
        .eventsOf('probe')
        .slice(before)
        .map((e) => e.result),
    ).toEqual(['answered']);
    expect(paris.do((tunnel, now) => tunnel.probe('nobody', now))).toBe(false);
  });

  it('says when the next attempt is due, and why the last one failed', () => {
    const { world, paris } = twoSites();
    paris.start();
    const failed = world.until(() => paris.peer('berlin').lastFailure !== undefined, 20_000);
    expect(failed).toBeGreaterThan(14_000);
    const { lastFailure, nextAttempt } = paris.peer('berlin');
    expect(lastFailure?.reason.code).toBe('timeout');
    expect((nextAttempt ?? 0) - world.now).toBeGreaterThan(0);
    expect((nextAttempt ?? 0) - world.now).toBeLessThanOrEqual(250);
  });
});
