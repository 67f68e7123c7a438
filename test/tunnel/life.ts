import { ms, seconds } from '../../src/base/brand.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { losses, plus, type Site } from '../support/world.ts';
import { ACTS, perform } from './acts.ts';
import { BERLIN_ADDRESSES, linked, type PairOfSites, twoSites } from './sites.ts';

/**
 * One random life: both ends rekey, reload, restart, roam and drain, at once and apart, on a bad path that then is a
 * good one.
 */
export function live(seed: number): { readonly sites: PairOfSites; readonly failure: string | undefined } {
  const random = new SeededRandom(seed * 7919);
  const sites = twoSites({
    seed,
    berlinCalls: random.chance(0.5),
    parisCalls: true,
    berlinAddresses: BERLIN_ADDRESSES,
    ...(random.chance(0.3) ? { nat: '192.0.2.99' } : {}),
    quality: {
      delay: 1 + random.below(60),
      jitter: random.below(40),
      loss: random.chance(0.5) ? random.unit() * 0.3 : 0,
      duplicate: random.chance(0.3) ? 0.2 : 0,
    },
    parisPeer: { rekeyAfter: ms(2000 + random.below(20_000)) },
    berlinPeer: { rekeyAfter: ms(2000 + random.below(20_000)) },
  });
  const { world, berlin, paris } = sites;
  berlin.start();
  world.run(random.below(200));
  paris.start();
  const disturb = (site: Site): void => perform(ACTS[random.below(ACTS.length)] ?? 'rekey', site, world, random);
  const rounds = 1 + random.below(6);
  for (let i = 0; i < rounds; i++) {
    world.after(random.below(10_000), () => disturb(berlin));
    world.after(random.below(10_000), () => disturb(paris));
    const both = random.below(10_000);
    world.after(both, () => disturb(berlin));
    world.after(both, () => disturb(paris));
  }
  // A drain that began at the end of it takes a second and a half.
  world.run(12_000);
  for (const site of [berlin, paris]) {
    site.reload(site.settings.peers.map((peer) => ({ ...peer, rekeyAfter: 'off' as const, deadAfter: seconds(10) })));
  }
  for (const address of BERLIN_ADDRESSES) world.quality(address, '*', { delay: 10 });
  // An end that cannot call is found by the other's keepalive, 25 s apart, at the latest.
  world.run(30_000);
  if (!linked(sites)) return { sites, failure: 'not linked' };
  const toBerlin = world.traffic(paris, ['10.2.0.1', '10.1.0.1'], 40, plus(world.now, 4000), 1_000_000);
  const toParis = world.traffic(berlin, ['10.1.0.1', '10.2.0.1'], 40, plus(world.now, 4000), 1_000_000);
  world.run(120_000);
  const [there, back] = [losses(toBerlin, berlin), losses(toParis, paris)];
  if (there.lost + back.lost + there.duplicated + back.duplicated > 0) return { sites, failure: 'lost packets' };
  if (!linked(sites)) return { sites, failure: 'did not stay linked' };
  const [a, b] = [berlin.peer('paris'), paris.peer('berlin')];
  if (a.association?.role === b.association?.role) return { sites, failure: 'the ends use different associations' };
  if (berlin.plane.installed !== 1 || paris.plane.installed !== 1) return { sites, failure: 'sessions are left over' };
  return { sites, failure: undefined };
}
