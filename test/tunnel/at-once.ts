import { SeededRandom } from '../support/seeded-random.ts';
import { losses, plus, type Site } from '../support/world.ts';
import { type Act, perform } from './acts.ts';
import { BERLIN_ADDRESSES, bothWays, linked, type PairOfSites, twoSites } from './sites.ts';

/** How two ends came together again after each did something at the same time. */
export interface Meeting {
  readonly acts: { readonly berlin: Act; readonly paris: Act };
  readonly rttMs: number;
  /** The path loses and reorders besides. */
  readonly bad: boolean;
  /** From the later act until everything that is sent arrives, in the slower direction, its way included. */
  readonly tookMs: number;
  /** Packets lost that were sent from the first act on, both ways. */
  readonly lost: number;
  readonly failure: string | undefined;
}

/** Both ends act within one round trip of each other under traffic both ways; then nothing more happens. */
export function meet(seed: number): Meeting {
  const random = new SeededRandom(seed * 104_729);
  const delay = 1 + random.below(50);
  const bad = random.chance(0.5);
  const sites = twoSites({
    seed,
    berlinCalls: random.chance(0.5),
    berlinAddresses: BERLIN_ADDRESSES,
    ...(random.chance(0.3) ? { nat: '192.0.2.99' } : {}),
    quality: bad ? { delay, jitter: random.below(delay), loss: random.unit() * 0.1, duplicate: 0.1 } : { delay },
  });
  const { world, berlin, paris } = sites;
  berlin.start();
  paris.start();
  world.until(() => linked(sites));
  world.run(random.below(4000));
  const acts = { berlin: pick(random), paris: pick(random) };
  const traffic = bothWays(sites, INTERVAL, TRAFFIC);
  world.run(500);
  const apart = random.below(2 * delay + 1);
  const [first, second] = random.chance(0.5) ? [berlin, paris] : [paris, berlin];
  const began = world.now;
  const act = (site: Site): void => perform(site === berlin ? acts.berlin : acts.paris, site, world, random);
  act(first);
  world.run(apart);
  const at = world.now;
  act(second);
  world.run(TRAFFIC - 500 - apart + 1000);
  const sentAt = (number: number): number => began - 500 + number * INTERVAL;
  const ways = [
    { sent: traffic.toBerlin, site: berlin },
    { sent: traffic.toParis, site: paris },
  ];
  const tookMs = Math.max(...ways.map(({ sent, site }) => settledAt(sent, site, bad, sentAt, at) - at));
  const since = ways.map(({ sent, site }) =>
    losses(
      sent.filter((n) => sentAt(n) >= began),
      site,
    ),
  );
  const lost = since.reduce((sum, one) => sum + one.lost, 0);
  const twice = since.reduce((sum, one) => sum + one.duplicated, 0);
  return { acts, rttMs: 2 * delay, bad, tookMs, lost, failure: twice > 0 ? 'delivered twice' : wrong(sites) };
}

/**
 * When the first packet sent after `at` arrived of those since which the flow is unbroken. A path that loses by itself
 * breaks it all the time: there it is the first packet that arrived at all.
 */
function settledAt(
  sent: readonly number[],
  site: Site,
  bad: boolean,
  sentAt: (number: number) => number,
  at: number,
): number {
  let settled = Number.POSITIVE_INFINITY;
  for (const number of sent.filter((n) => sentAt(n) >= at)) {
    const arrived = site.receivedAt.get(number);
    if (arrived !== undefined) settled = Math.min(settled, arrived);
    else if (!bad) settled = Number.POSITIVE_INFINITY;
  }
  return settled;
}

/** What is not as it should be once all is quiet on a good path. */
function wrong(sites: PairOfSites): string | undefined {
  const { world, berlin, paris } = sites;
  for (const address of BERLIN_ADDRESSES) world.quality(address, '*', { delay: 10 });
  world.run(120_000);
  if (!linked(sites)) return 'not linked';
  if (berlin.peer('paris').association?.role === paris.peer('berlin').association?.role) {
    return 'the ends use different associations';
  }
  if (berlin.plane.installed !== 1 || paris.plane.installed !== 1) return 'sessions are left over';
  const until = plus(world.now, 1000);
  const toBerlin = world.traffic(paris, ['10.2.0.1', '10.1.0.1'], 50, until, 1_000_000);
  const toParis = world.traffic(berlin, ['10.1.0.1', '10.2.0.1'], 50, until, 1_000_000);
  world.run(2000);
  const [there, back] = [losses(toBerlin, berlin), losses(toParis, paris)];
  return there.lost + back.lost + there.duplicated + back.duplicated > 0 ? 'lost packets' : undefined;
}

function pick(random: SeededRandom): Act {
  return MEETING_ACTS[random.below(MEETING_ACTS.length)] ?? 'rekey';
}

/** A drain takes its time on purpose; `life.ts` has it. */
const MEETING_ACTS = ['rekey', 'reload', 'restart', 'roam'] as const;
/** Between packets, ms. */
const INTERVAL = 5;
/** How long they flow. */
const TRAFFIC = 4000;
