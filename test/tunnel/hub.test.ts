import { describe, expect, it } from 'vitest';
import type { Fingerprint } from '../../src/base/brand.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { losses, peerSettings, plus, type Site, World, type WorldOptions } from '../support/world.ts';
import { BERLIN, QUICK } from './sites.ts';

const SPOKES = 100;
/** The engine without cryptography asks for no more than a name. */
const IDENTITIES = Array.from({ length: SPOKES }, (_, i): Identity => {
  const fingerprint = (i + 1).toString(16).padStart(64, '0') as Fingerprint;
  return { ...BERLIN, fingerprint };
});

function hubAndSpokes(options: WorldOptions = {}): { world: World; hub: Site; spokes: Site[] } {
  const world = new World({ ...QUICK, ...options });
  const hub = world.site('hub', {
    identity: BERLIN,
    addresses: ['203.0.113.10'],
    peers: IDENTITIES.map((identity, i) =>
      peerSettings({ name: `spoke-${i}`, fingerprints: [identity.fingerprint], allowedIps: [`10.${i + 1}.0.0/16`] }),
    ),
  });
  const spokes = IDENTITIES.map((identity, i) =>
    world.site(`spoke-${i}`, {
      identity,
      addresses: [`198.51.100.${i + 1}`],
      peers: [
        peerSettings({
          name: 'hub',
          fingerprints: [BERLIN.fingerprint],
          allowedIps: ['10.0.0.0/8'],
          endpoints: ['203.0.113.10:4433'],
        }),
      ],
    }),
  );
  return { world, hub, spokes };
}

const allUp = (hub: Site, world: World): boolean => hub.tunnel.snapshot(world.now).every((peer) => peer.up);

describe('a hub with a hundred spokes', () => {
  it('has them all within a second, and again after a restart', { timeout: 300_000 }, () => {
    const { world, hub, spokes } = hubAndSpokes();
    hub.start();
    for (const spoke of spokes) spoke.start();
    expect(world.until(() => allUp(hub, world))).toBeLessThan(1000);
    for (const [i, spoke] of spokes.entries()) {
      world.traffic(spoke, [`10.${i + 1}.0.1`, '10.0.0.1'], 500, plus(world.now, 20_000));
    }
    world.run(3000);
    hub.kill();
    world.run(300);
    hub.start();
    expect(world.until(() => allUp(hub, world), 20_000)).toBeLessThan(3000);
    world.run(120_000);
    expect(hub.plane.installed).toBe(SPOKES);
    expect(hub.tunnel.halfOpen).toBe(0);
  });

  it('looks at all of them in few wakeups while nothing happens', { timeout: 120_000 }, () => {
    const { world, hub, spokes } = hubAndSpokes();
    hub.start();
    for (const spoke of spokes) spoke.start();
    world.until(() => allUp(hub, world));
    world.run(30_000);
    let wakeups = 0;
    const tick = hub.tick.bind(hub);
    hub.tick = () => {
      wakeups++;
      tick();
    };
    world.run(25_000);
    expect(allUp(hub, world)).toBe(true);
    // Each is looked at every 2.5 s, by itself 40 times a second; on a grid of 50 ms at most 20 times.
    expect(wakeups).toBeLessThanOrEqual(25 * 20);
    expect(wakeups).toBeGreaterThan(9);
  });

  it('reads the counters of those only whose counters have moved', { timeout: 120_000 }, () => {
    const { world, hub, spokes } = hubAndSpokes();
    hub.start();
    for (const spoke of spokes) spoke.start();
    world.until(() => allUp(hub, world));
    world.run(60_000);
    let reads = 0;
    const session = hub.plane.session.bind(hub.plane);
    hub.plane.session = (slot) => {
      reads++;
      return session(slot);
    };
    world.run(100_000);
    // A probe of either end every 25 s, four looks at most for each: before it, after it, and when the counters are looked at.
    expect(reads).toBeLessThanOrEqual(4 * 4 * SPOKES);
    expect(allUp(hub, world)).toBe(true);
    // One who sends is looked at like one who is busy.
    const [one] = spokes;
    if (one === undefined) throw new Error('there are spokes');
    reads = 0;
    world.traffic(one, ['10.1.0.1', '10.0.0.1'], 50, plus(world.now, 5000));
    world.run(5000);
    expect(reads).toBeGreaterThan(8);
  });

  it('loses nothing while some of them are rekeyed, removed and added', { timeout: 300_000 }, () => {
    const { world, hub, spokes } = hubAndSpokes({ seed: 4 });
    hub.start();
    for (const spoke of spokes) spoke.start();
    world.until(() => allUp(hub, world));
    const [one] = spokes;
    if (one === undefined) throw new Error('there are spokes');
    const sent = world.traffic(one, ['10.1.0.1', '10.0.0.1'], 5, plus(world.now, 10_000));
    const back = world.traffic(hub, ['10.0.0.1', '10.1.0.1'], 5, plus(world.now, 10_000));
    hub.reload(hub.settings.peers.map((p, i) => (i === 0 ? { ...p, allowedIps: p.allowedIps } : p)));
    world.after(1000, () => hub.do((t, now) => t.rekey(undefined, now)));
    world.after(4000, () => hub.reload(hub.settings.peers.slice(0, 50)));
    world.after(6000, () =>
      hub.reload(
        IDENTITIES.map((identity, i) =>
          peerSettings({
            name: `spoke-${i}`,
            fingerprints: [identity.fingerprint],
            allowedIps: [`10.${i + 1}.0.0/16`],
          }),
        ),
      ),
    );
    world.run(60_000);
    expect(losses(back, one)).toEqual({ lost: 0, duplicated: 0 });
    expect(sent.length).toBeGreaterThan(1900);
    expect(allUp(hub, world)).toBe(true);
  });
});
