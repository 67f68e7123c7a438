import { describe, expect, it } from 'vitest';
import { seconds } from '../../src/base/brand.ts';
import { Connection } from '../../src/dtls/connection.ts';
import type { ConnectionOptions } from '../../src/dtls/options.ts';
import type { Engines } from '../../src/tunnel/context.ts';
import { systemEngines } from '../../src/tunnel/engines.ts';
import { losses } from '../support/world.ts';
import { bothWays, linked, linkedSites, REAL, twoSites } from './sites.ts';

/** An engine as foreign stacks are: no application protocol, no connection ids. */
function plain(options: ConnectionOptions): ConnectionOptions {
  const { connectionId: _, ...rest } = options;
  return { ...rest, protocols: [] };
}
const FOREIGN: Engines = {
  ...systemEngines,
  client: (options) => new Connection(plain(options)),
  server: (options, hello) => new Connection(plain(options), hello),
};

describe('a plain DTLS peer', () => {
  it('is up, carries packets, and is never sent a control message', () => {
    const sites = twoSites({ ...REAL, engines: FOREIGN });
    sites.berlin.start();
    sites.paris.start();
    sites.world.until(() => linked(sites));
    const { toBerlin, toParis } = bothWays(sites, 10, 20_000);
    sites.world.run(25_000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(sites.berlin.plane.stats().control).toBe(0n);
    expect(sites.paris.peer('berlin').association).toMatchObject({ protocol: undefined, pathMtu: 1472 });
  });

  it('gets one record a datagram, where two of ours pack', () => {
    const packs = (engines: { engines?: Engines }): readonly (boolean | undefined)[] => {
      const { berlin, paris } = linkedSites({ ...REAL, ...engines });
      return [berlin.peer('paris'), paris.peer('berlin')].map(({ association }, i) =>
        association === undefined ? undefined : [berlin, paris][i]?.plane.packs(association.slot),
      );
    };
    expect(packs({ engines: FOREIGN })).toEqual([false, false]);
    expect(packs({})).toEqual([true, true]);
  });

  it('is not asked whether it knows another certificate: a second association would displace the first', () => {
    const sites = linkedSites({ ...REAL, engines: FOREIGN });
    const before = sites.berlin.peer('paris').association?.slot;
    sites.berlin.do((tunnel, now) => tunnel.trial(sites.berlin.options.identity, now));
    sites.world.run(1000);
    expect(sites.berlin.eventsOf('trial')).toMatchObject([{ peer: 'paris', result: 'unable' }]);
    expect(sites.berlin.peer('paris').association?.slot).toBe(before);
  });

  it('is rekeyed without loss', () => {
    const sites = linkedSites({ ...REAL, engines: FOREIGN, parisPeer: { rekeyAfter: seconds(20) } });
    const { toBerlin, toParis } = bothWays(sites, 10, 100_000);
    sites.world.run(180_000);
    expect(losses(toBerlin, sites.berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, sites.paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(sites.paris.eventsOf('handshake-completed').filter((e) => e.isRekey).length).toBeGreaterThan(3);
    // Nothing shows that the far end has left the old ones, so they stay for a minute.
    expect(sites.paris.plane.installed).toBeLessThanOrEqual(4);
  });

  it('stays up while idle, since it cannot be asked', () => {
    const sites = linkedSites({ ...REAL, engines: FOREIGN });
    sites.world.run(600_000);
    expect(linked(sites)).toBe(true);
  });

  it('that was restarted is called again when what we send is not answered', () => {
    const sites = linkedSites({ ...REAL, engines: FOREIGN });
    bothWays(sites, 20, 120_000);
    sites.world.run(2000);
    sites.berlin.kill();
    sites.world.run(500);
    sites.berlin.start();
    expect(sites.world.until(() => sites.berlin.peer('paris').up)).toBeLessThan(3000);
    const { toBerlin, toParis } = bothWays(sites, 20, 5000);
    sites.world.run(10_000);
    expect(losses(toBerlin.slice(50), sites.berlin).lost).toBe(0);
    expect(losses(toParis.slice(50), sites.paris).lost).toBe(0);
  });
});
