import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Family, lostOf, ping, TwoWayFlow, transfer } from '../../src/demo/measure.ts';
import { farSite } from '../../src/demo/rig.ts';
import { type LinkedRig, mtuFound, statusOf, UNABLE, upLink } from './support.ts';

describe.skipIf(UNABLE !== undefined).each([4, 6] as const)('two daemons over IPv%i', (outer) => {
  let linked: LinkedRig;
  beforeAll(async () => {
    linked = await upLink({ outer });
    await mtuFound(linked);
  });
  afterAll(async () => {
    await linked?.rig.close();
  });

  it.each([4, 6] as const)('carry pings between the LANs and between the gateways (IPv%i inside)', async (family) => {
    const { rig } = linked;
    const lan = await ping(rig.enclosure, rig.paris.host, address(family, rig.berlin), { count: 5, intervalMs: 20 });
    const inner = (family === 4 ? rig.paris.inner4 : rig.paris.inner6).replace(/\/.*/, '');
    const gateway = await ping(rig.enclosure, rig.berlin.gateway, inner, { count: 5, intervalMs: 20 });
    expect([lan.received, gateway.received]).toEqual([5, 5]);
  });

  it.each([
    [4, 'berlin'],
    [4, 'paris'],
    [6, 'berlin'],
    [6, 'paris'],
  ] as const)('carry TCP whose every byte is compared (IPv%i inside, from %s)', async (family, from) => {
    const { rig } = linked;
    const report = await transfer(rig, rig[from], { family, amount: { bytes: 15_000_000 }, streams: 2 });
    expect(report).toMatchObject({ bytes: 30_000_000, intact: true });
  });

  it.each([4, 6] as const)('carry packets up to exactly the tunnel MTU (IPv%i inside)', async (family) => {
    const { rig, link } = linked;
    const mtu = (await statusOf(link, rig.berlin)).peers[0].path.innerMtuBytes;
    const payload = mtu - (family === 4 ? 28 : 48);
    const to = address(family, rig.paris);
    const fits = await ping(rig.enclosure, rig.berlin.host, to, { count: 3, intervalMs: 20, payload });
    const tooLarge = await ping(rig.enclosure, rig.berlin.host, to, {
      count: 3,
      intervalMs: 20,
      payload: payload + 1,
      waitMs: 300,
    });
    expect([fits.received, tooLarge.received]).toEqual([3, 0]);
  });

  it.each([
    [4, 24],
    [4, 1300],
    [4, 4000], // Fragments inside.
    [6, 24],
    [6, 1300],
    [6, 4000],
  ] as const)(
    'carry UDP both ways without loss, repetition or damage (IPv%i inside, %i octets)',
    async (family, size) => {
      const { rig } = linked;
      if (family === 6 && size > 1500) {
        // A host learns the tunnel's MTU from the first packet that is too big, and that packet is lost (RFC 8201 §4).
        await ping(rig.enclosure, rig.berlin.host, rig.paris.host6, { payload: 1452, waitMs: 100 });
        await ping(rig.enclosure, rig.paris.host, rig.berlin.host6, { payload: 1452, waitMs: 100 });
      }
      const flow = await TwoWayFlow.open(rig, { family, rate: 400, size });
      flow.start();
      await delay(800);
      const result = await flow.finish();
      expect(result.fromBerlin.sent).toBeGreaterThan(200);
      expect(lostOf(result)).toBe(0);
      for (const direction of [result.fromBerlin, result.fromParis]) {
        expect(direction).toMatchObject({ duplicated: 0, reordered: 0, corrupted: 0, foreign: 0 });
      }
    },
  );

  it('read from a device whose queue keeps the order of a flow whatever its marks', async () => {
    const { rig } = linked;
    for (const site of [rig.berlin, rig.paris]) {
      const { stdout } = await rig.enclosure.run(['tc', '-n', site.gateway, '-j', 'qdisc', 'show']);
      const found = JSON.parse(stdout).find(({ dev }: { dev: string }) => dev.startsWith('dt-'));
      expect(['fq_codel', 'noqueue']).toContain(found.kind);
    }
  });

  it('let nothing through that AllowedIPs does not name', async () => {
    const { rig, link } = linked;
    const { berlin, paris, enclosure } = rig;
    // Berlin's host takes an address of a network that paris does not expect from berlin.
    await enclosure.run(['ip', '-n', berlin.host, 'addr', 'add', '10.77.0.2/32', 'dev', 'eth0']);
    await enclosure.run(['ip', '-n', berlin.host, 'route', 'add', paris.host4, 'via', '10.1.0.1', 'src', '10.77.0.2']);
    try {
      const { received } = await ping(enclosure, berlin.host, paris.host4, { count: 3, intervalMs: 20, waitMs: 300 });
      expect(received).toBe(0);
      expect((await statusOf(link, farSite(rig, berlin))).peers[0].drops.not_allowed).toBeGreaterThanOrEqual(3);
    } finally {
      await enclosure.run(['ip', '-n', berlin.host, 'addr', 'del', '10.77.0.2/32', 'dev', 'eth0']);
    }
  });
});

function address(family: Family, site: { readonly host4: string; readonly host6: string }): string {
  return family === 4 ? site.host4 : site.host6;
}
