import { ms, seconds } from '../../src/base/brand.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { losses, plus, type Site } from '../support/world.ts';
import { linked, type PairOfSites, twoSites } from './sites.ts';

/** What happens to either end at any time. */
function disturb(site: Site, random: SeededRandom): void {
  switch (random.below(4)) {
    case 0:
    case 1:
      if (site.running) site.do((tunnel, now) => tunnel.rekey(undefined, now));
      break;
    case 2:
      if (site.running) {
        site.reload(site.settings.peers.map((peer) => ({ ...peer, deadAfter: seconds(2 + random.below(10)) })));
      }
      break;
    default:
      if (site.running) site.kill();
      site.start();
  }
}

/** One random life: both ends rekey, reload, restart at once and apart, on a bad path that then is a good one. */
export function live(seed: number): { readonly sites: PairOfSites; readonly failure: string | undefined } {
  const random = new SeededRandom(seed * 7919);
  const sites = twoSites({
    seed,
    berlinCalls: random.chance(0.5),
    parisCalls: true,
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
  const rounds = 1 + random.below(6);
  for (let i = 0; i < rounds; i++) {
    world.after(random.below(10_000), () => disturb(berlin, random));
    world.after(random.below(10_000), () => disturb(paris, random));
    const both = random.below(10_000);
    world.after(both, () => disturb(berlin, random));
    world.after(both, () => disturb(paris, random));
  }
  world.run(10_000);
  for (const site of [berlin, paris]) {
    site.reload(site.settings.peers.map((peer) => ({ ...peer, rekeyAfter: 'off' as const, deadAfter: seconds(10) })));
  }
  world.quality('203.0.113.10', '198.51.100.7', { delay: 10 });
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
