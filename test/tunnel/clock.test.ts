import { describe, expect, it } from 'vitest';
import { losses } from '../support/world.ts';
import { bothWays, linked, linkedSites, REAL } from './sites.ts';

const HOUR = 3600;
const YEAR = 365.25 * 24 * HOUR;

describe('a wall clock that jumps', () => {
  // Timers follow the monotonic clock; the wall clock judges the dates of certificates, which cut nothing by default.
  it.each([
    ['an hour ahead', 1.8e9 + HOUR],
    ['an hour back', 1.8e9 - HOUR],
    ['ten years ahead', 1.8e9 + 10 * YEAR],
    ['ten years back', 1.8e9 - 10 * YEAR],
    ['to 1970', 0],
    ['over a leap second', 1.8e9 - 1],
  ])('%s costs no packet and no timer, and keys are still replaced', (_, to) => {
    const sites = linkedSites(REAL);
    const { world, berlin, paris } = sites;
    const { toBerlin, toParis } = bothWays(sites, 20, 8000);
    world.run(1000);
    world.epochSeconds = to;
    world.run(3000);
    paris.do((tunnel, now) => tunnel.rekey(undefined, now));
    world.run(6000);
    expect(losses(toBerlin, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(toParis, paris)).toEqual({ lost: 0, duplicated: 0 });
    expect(paris.eventsOf('handshake-completed').length).toBe(2);
    expect(linked(sites)).toBe(true);
  });
});
