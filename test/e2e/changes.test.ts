import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lostOf, ping } from '../../src/demo/measure.ts';
import {
  amidTraffic,
  hostState,
  type LinkedRig,
  metricOf,
  mtuFound,
  settledHostState,
  statusOf,
  timeToPing,
  UNABLE,
  upLink,
} from './support.ts';

describe.skipIf(UNABLE !== undefined)('under traffic both ways', () => {
  let linked: LinkedRig;
  beforeAll(async () => {
    linked = await upLink();
    await mtuFound(linked);
  });
  afterAll(async () => {
    await linked?.rig.close();
  });

  it.each(['berlin', 'paris'] as const)('three rekeys started by %s lose, repeat and reorder nothing', async (site) => {
    const { rig, link } = linked;
    const before = (await statusOf(link, rig[site])).peers[0].handshake.at;
    const { result, intact } = await amidTraffic(linked, async () => {
      for (let i = 0; i < 3; i++) {
        await link.dtunnel(rig[site], ['rekey', site]);
        await delay(400);
      }
    });
    expect((await statusOf(link, rig[site])).peers[0].handshake.at).not.toBe(before);
    expect(lostOf(result)).toBe(0);
    expect([result.fromBerlin, result.fromParis].map((d) => [d.duplicated, d.corrupted])).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect(intact).toBe(true);
  });

  it('rekeys from both ends at once lose nothing', async () => {
    const { rig, link } = linked;
    const { result, intact } = await amidTraffic(linked, async () => {
      for (let i = 0; i < 3; i++) {
        await Promise.all([link.dtunnel(rig.berlin, ['rekey', 'berlin']), link.dtunnel(rig.paris, ['rekey', 'paris'])]);
        await delay(400);
      }
    });
    expect([lostOf(result), intact]).toEqual([0, true]);
  });

  it('reloads that add and take away networks lose nothing, and the routes follow', async () => {
    const { rig, link } = linked;
    const state = await settledHostState(linked, rig.berlin);
    const { result, intact } = await amidTraffic(linked, async () => {
      for (let i = 0; i < 3; i++) {
        const more = i % 2 === 0 ? ', 10.50.0.0/16, fd50::/64' : '';
        for (const here of [rig.berlin, rig.paris]) {
          const only = here === rig.berlin ? more : more.replaceAll('50', '51');
          link.configure(here, { peer: { AllowedIPs: `${link.allowedIps(here)}${only}` } });
          await link.dtunnel(here, ['reload', here.name]);
        }
        if (i === 0) expect(await hostState(rig, rig.berlin)).toMatch(/10\.50\.0\.0\/16.*dt-berlin/);
      }
    });
    expect([lostOf(result), intact]).toEqual([0, true]);
    for (const here of [rig.berlin, rig.paris]) {
      link.configure(here);
      await link.dtunnel(here, ['reload', here.name]);
    }
    expect(await settledHostState(linked, rig.berlin)).toBe(state);
  });

  it('a reload of a file with a mistake changes nothing at all', async () => {
    const { rig, link } = linked;
    const state = await settledHostState(linked, rig.paris);
    const { generation } = (await statusOf(link, rig.paris)).tunnel;
    link.configure(rig.paris, { peer: { AllowedIPs: '10.1.0.0/16', Endpiont: 'x:1' } });
    const { result } = await amidTraffic(linked, async () => {
      const refused = await link.dtunnel(rig.paris, ['reload', 'paris'], { failureOk: true });
      expect(refused.code).toBe(78);
      expect(refused.stderr).toContain('Endpiont');
    });
    expect(lostOf(result)).toBe(0);
    expect(await settledHostState(linked, rig.paris)).toBe(state);
    expect((await statusOf(link, rig.paris)).tunnel.generation).toBe(generation);
    link.configure(rig.paris);
  });
});

describe.skipIf(UNABLE !== undefined)('a peer taken out by reload', () => {
  it('is cut off at once, and comes back with the next reload', async () => {
    // Berlin has no Endpoint of Paris, which was told to wait: Berlin calls where Paris was last met.
    const { rig, link } = await upLink();
    try {
      link.configure(rig.berlin, { peer: { Enabled: 'no' } });
      await link.dtunnel(rig.berlin, ['reload', 'berlin']);
      await delay(100);
      const cut = await ping(rig.enclosure, rig.paris.host, rig.berlin.host4, {
        count: 3,
        intervalMs: 20,
        waitMs: 300,
      });
      expect(cut.received).toBe(0);
      link.configure(rig.berlin);
      await link.dtunnel(rig.berlin, ['reload', 'berlin']);
      expect(await timeToPing(rig, rig.paris, 10_000)).toBeLessThan(3000);
      expect(await metricOf(link, rig.berlin, 'dtunnel_config_reloads_total', 'result="applied"')).toBe(2);
    } finally {
      await rig.close();
    }
  });
});
