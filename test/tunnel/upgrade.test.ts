import { describe, expect, it } from 'vitest';
import { ms, seconds } from '../../src/base/brand.ts';
import { tunnelState } from '../../src/tunnel/handover.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { losses, plus, type Site } from '../support/world.ts';
import { BERLIN, bothWays, linked, linkedSites, type PairOfSites, type PairOptions, PARIS, REAL } from './sites.ts';

const REKEYED = 'handshake-completed';

/** Both ends upgrade at random moments while packets flow and keys change; yields what went wrong. */
function upgradeAtRandom(seed: number, options: PairOptions = {}): string | undefined {
  const random = new SeededRandom(seed * 104_729);
  const sites = linkedSites({
    seed,
    berlinCalls: random.chance(0.5),
    quality: { delay: 1 + random.below(40), jitter: random.below(20) },
    parisPeer: { rekeyAfter: ms(1500 + random.below(5000)) },
    berlinPeer: { rekeyAfter: ms(1500 + random.below(5000)) },
    ...options,
  });
  const { world, berlin, paris } = sites;
  world.run(1000);
  const { toBerlin, toParis } = bothWays(sites, 5, 8_000);
  for (let i = 0; i < 6; i++) {
    const [first, second] = random.chance(0.5) ? [berlin, paris] : [paris, berlin];
    const at = random.below(7_000);
    world.after(at, () => upgrade(first, random));
    if (random.chance(0.3)) world.after(at + random.below(20), () => upgrade(second, random));
  }
  world.run(10_000);
  const [there, back] = [losses(toBerlin, berlin), losses(toParis, paris)];
  if (there.lost + back.lost > 0) return `seed ${seed}: lost ${there.lost} and ${back.lost}`;
  if (there.duplicated + back.duplicated > 0) return `seed ${seed}: duplicates`;
  return linked(sites) ? undefined : `seed ${seed}: not linked`;
}

function upgrade(site: Site, random: SeededRandom): void {
  if (!site.frozen) site.upgrade(random.chance(0.5) ? 0 : random.below(40));
}

function countersOf(site: Site): readonly bigint[] {
  return [...site.plane.stats().peers.values()].flatMap((peer) => [
    peer.receivePackets,
    peer.receiveBytes,
    peer.transmitPackets,
    peer.transmitBytes,
  ]);
}

function keysOf({ berlin, paris }: PairOfSites): number {
  return berlin.eventsOf(REKEYED).length + paris.eventsOf(REKEYED).length;
}

describe('an upgrade', () => {
  it('needs no handshake and loses nothing, with the real engine', () => {
    const sites = linkedSites(REAL);
    const { world, berlin, paris } = sites;
    world.run(5000);
    const before = keysOf(sites);
    const { toBerlin, toParis } = bothWays(sites, 10, 5000);
    world.after(1000, () => berlin.upgrade(20));
    world.after(2000, () => paris.upgrade(20));
    world.after(3000, () => berlin.upgrade(5));
    world.after(3000, () => paris.upgrade(5));
    world.run(6000);
    expect(losses(toBerlin, berlin)).toMatchObject({ lost: 0, duplicated: 0 });
    expect(losses(toParis, paris)).toMatchObject({ lost: 0, duplicated: 0 });
    expect(keysOf(sites)).toBe(before);
    expect(berlin.eventsOf('peer-state').map(({ to }) => to)).toEqual(['up']);
  });

  it('keeps since when a peer is up, its round trip, path MTU and counters', () => {
    const { world, paris } = linkedSites();
    world.run(20_000);
    const before = paris.peer('berlin');
    const counters = countersOf(paris);
    paris.upgrade();
    expect(paris.peer('berlin')).toEqual(before);
    expect(countersOf(paris)).toEqual(counters);
  });

  it('loses nothing at random moments, beside rekeys of both ends', () => {
    const failures = Array.from({ length: 12 }, (_, i) => upgradeAtRandom(i + 1)).filter((f) => f !== undefined);
    expect(failures).toEqual([]);
  });

  it('uses no record number twice: the far end sees no replay', () => {
    const sites = linkedSites({ parisPeer: { rekeyAfter: 'off' }, berlinPeer: { rekeyAfter: 'off' } });
    const { world, berlin, paris } = sites;
    bothWays(sites, 3, 3000);
    for (let i = 0; i < 10; i++) world.after(i * 250, () => (i % 2 === 0 ? berlin : paris).upgrade(i));
    world.run(4000);
    for (const site of [berlin, paris]) {
      expect([...site.plane.stats().peers.values()].map(({ duplicates }) => duplicates)).toEqual([0n]);
    }
  });

  it('does not count its own absence against a silent peer', () => {
    const { world, berlin, paris } = linkedSites({ parisPeer: { deadAfter: seconds(2) } });
    world.run(3000);
    world.after(0, () => paris.upgrade(1900));
    world.run(5000);
    expect(paris.eventsOf('peer-state').filter(({ to }) => to === 'down')).toEqual([]);
    expect(linked({ world, berlin, paris })).toBe(true);
  });
});

describe('what goes on after an upgrade', () => {
  it('is the rekey that was due', () => {
    const sites = linkedSites({ parisPeer: { rekeyAfter: seconds(10) } });
    const { world, paris } = sites;
    world.run(4000);
    paris.upgrade(10);
    world.run(8000);
    expect(paris.eventsOf(REKEYED).filter(({ isRekey }) => isRekey)).toHaveLength(1);
    world.run(60_000);
    expect(paris.plane.installed).toBeLessThanOrEqual(2);
  });

  it('is the rekey that was asked for: keys change although the call under way was dropped', () => {
    const sites = linkedSites({ quality: { delay: 50 } });
    const { world, berlin, paris } = sites;
    world.run(2000);
    const before = keysOf(sites);
    const { toBerlin, toParis } = bothWays(sites, 10, 3000);
    paris.do((tunnel, now) => tunnel.rekey(undefined, now));
    world.run(120); // Between the flights.
    paris.upgrade(10);
    world.run(4000);
    expect(keysOf(sites)).toBeGreaterThan(before);
    expect([losses(toBerlin, berlin).lost, losses(toParis, paris).lost]).toEqual([0, 0]);
  });

  it('is the association that carries the traffic, among those that it replaced', () => {
    const { world, paris } = linkedSites({ quality: { delay: 20 } });
    for (let i = 0; i < 3; i++) world.after(i * 500, () => paris.do((tunnel, now) => tunnel.rekey(undefined, now)));
    world.run(2000);
    const { association, others } = paris.peer('berlin');
    expect(others.length).toBeGreaterThan(1);
    paris.upgrade(10);
    world.run(2000);
    expect(paris.peer('berlin').association?.slot).toBe(association?.slot);
    world.run(60_000);
    expect(paris.peer('berlin').others).toEqual([]);
  });

  it('is roaming: the peer that an upgraded end serves moves to another port', () => {
    const sites = linkedSites({ nat: '192.0.2.77' });
    const { world, berlin, paris } = sites;
    world.run(1000);
    berlin.upgrade(10);
    world.run(100);
    paris.rebind();
    bothWays(sites, 10, 2000);
    world.run(3000);
    expect(berlin.eventsOf('endpoint-changed').map(({ reason }) => reason)).toContain('roam');
    expect(linked(sites)).toBe(true);
  });

  it('is drain, which tells the far end', () => {
    const sites = linkedSites();
    const { world, berlin, paris } = sites;
    world.run(1000);
    berlin.upgrade();
    berlin.do((tunnel, now) => tunnel.drain(seconds(3), now));
    world.run(4000);
    expect(berlin.finished).toEqual([0]);
    expect(paris.peer('berlin').up).toBe(false);
    expect(paris.eventsOf('peer-closed')).toHaveLength(1);
  });

  it('is a reload: peers keep their ids and associations', () => {
    const { world, paris } = linkedSites();
    world.run(1000);
    paris.upgrade();
    const { id } = paris.peer('berlin');
    paris.reload(paris.settings.peers.map((peer) => ({ ...peer, deadAfter: seconds(3) })));
    world.run(1000);
    expect(paris.peer('berlin')).toMatchObject({ id, up: true });
  });

  it('is the last flight, sent again to a client that missed it before', () => {
    const sites = linkedSites({ ...REAL, parisPeer: { rekeyAfter: 'off' } });
    const { world, berlin, paris } = sites;
    world.run(2000);
    // The server's last flight, and nothing else, is lost until the server has been replaced.
    let lost = 0;
    let upgradedAt = Number.POSITIVE_INFINITY;
    world.filter = (from, _to, datagram) => {
      const isLastFlight = from === berlin && (datagram[0] === 20 || datagram.length === 13 + 8 + 8 + 24 + 1 + 16);
      const isLost = isLastFlight && world.now < upgradedAt;
      if (isLost) lost++;
      return !isLost;
    };
    paris.do((tunnel, now) => tunnel.rekey(undefined, now));
    world.until(() => berlin.eventsOf(REKEYED).length === 2);
    world.run(5);
    berlin.upgrade();
    upgradedAt = world.now;
    world.run(5000);
    expect(lost).toBeGreaterThan(0);
    expect(paris.eventsOf(REKEYED)).toHaveLength(2);
    expect(paris.eventsOf('handshake-failed')).toEqual([]);
    expect(berlin.eventsOf('handshake-started')).toHaveLength(2);
  });

  it('is rest for the slots that were given back or half open', () => {
    const { world, paris } = linkedSites();
    paris.do((tunnel, now) => tunnel.rekey(undefined, now));
    world.run(30_000);
    const { slots, peers } = paris.tunnel.export(world.now);
    expect(peers.flatMap(({ sessions }) => sessions)).toHaveLength(1);
    expect(slots.fresh).toBe(2);
    expect(slots.resting.length + 1).toBeLessThanOrEqual(2);
  });
});

describe('the state of a tunnel', () => {
  it('is read strictly: a field that is missing, unknown or wrong refuses all of it', () => {
    const { world, paris } = linkedSites();
    world.run(3000);
    const written = JSON.stringify(paris.tunnel.export(world.now));
    expect(tunnelState.safeParse(JSON.parse(written)).success).toBe(true);
    const wrong = (change: (state: ReturnType<typeof JSON.parse>) => void): boolean => {
      const state = JSON.parse(written);
      change(state);
      return tunnelState.safeParse(state).success;
    };
    expect(wrong((state) => delete state.peers[0].since)).toBe(false);
    expect(wrong((state) => (state.peers[0].more = 1))).toBe(false);
    expect(wrong((state) => (state.peers[0].sessions[0].association.slot = 2 ** 24))).toBe(false);
    expect(wrong((state) => (state.peers[0].sessions[0].association.connectionId = 'xy'))).toBe(false);
    expect(wrong((state) => (state.peers[0].sessions[0].association.path.remote.address = '1.2.3'))).toBe(false);
    expect(wrong((state) => (state.slots.fresh = -1))).toBe(false);
  });

  it('holds no key', () => {
    const { world, berlin } = linkedSites(REAL);
    world.run(1000);
    const written = JSON.stringify(berlin.tunnel.export(world.now));
    for (const hex of berlin.plane.keyMaterial()) expect(written).not.toContain(hex);
    expect(berlin.plane.keyMaterial().length).toBeGreaterThan(0);
  });

  it('is refused when it is of other peers', () => {
    const { world, berlin, paris } = linkedSites();
    const state = tunnelState.parse(JSON.parse(JSON.stringify(berlin.tunnel.export(world.now))));
    expect(() => paris.tunnel.continueFrom(state, world.now)).toThrow('the peers are the same');
    expect(BERLIN.fingerprint).not.toBe(PARIS.fingerprint);
  });
});

describe('upgrades at any time', () => {
  it('come to one association on a bad path too', () => {
    const failures: string[] = [];
    for (let seed = 1; seed <= 8; seed++) {
      const random = new SeededRandom(seed);
      const sites = linkedSites({ seed, quality: { delay: 20, jitter: 30, loss: 0.1 } });
      const { world, berlin, paris } = sites;
      for (let i = 0; i < 8; i++) {
        world.after(random.below(10_000), () => upgrade(berlin, random));
        world.after(random.below(10_000), () => upgrade(paris, random));
        world.after(random.below(10_000), () => {
          if (!paris.frozen) paris.do((tunnel, now) => tunnel.rekey(undefined, now));
        });
      }
      world.run(11_000);
      world.quality('203.0.113.10', '198.51.100.7', { delay: 10 });
      world.run(150_000);
      const toBerlin = world.traffic(paris, ['10.2.0.1', '10.1.0.1'], 40, plus(world.now, 2000), 1_000_000);
      world.run(3000);
      if (losses(toBerlin, berlin).lost > 0 || !linked(sites)) failures.push(`seed ${seed}`);
      if (berlin.plane.installed !== 1 || paris.plane.installed !== 1) failures.push(`seed ${seed}: left over`);
    }
    expect(failures).toEqual([]);
  });
});
