import { ms, seconds } from '../../src/base/brand.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Site, World } from '../support/world.ts';

/** What can happen to an end, or be done to it, at any time. */
export const ACTS = ['rekey', 'reload', 'restart', 'roam', 'drain', 'upgrade'] as const;

/** One of them. */
export type Act = (typeof ACTS)[number];

/** Does `act` to `site` now; what of it takes time goes on by itself. An end that is down is only ever started. */
export function perform(act: Act, site: Site, world: World, random: SeededRandom): void {
  if (!site.running) {
    site.start();
    return;
  }
  // Nothing else is done to an end while it is handed over, as in the daemon.
  if (site.frozen) return;
  switch (act) {
    case 'upgrade': {
      const gap = random.chance(0.5) ? 0 : random.below(300);
      // The daemon refuses it as well: who drains is about to stop.
      if (!site.tunnel.draining) site.upgrade(gap);
      break;
    }
    case 'rekey':
      site.do((tunnel, now) => tunnel.rekey(undefined, now));
      break;
    case 'reload':
      site.reload(site.settings.peers.map((peer) => ({ ...peer, deadAfter: seconds(2 + random.below(10)) })));
      break;
    case 'restart':
      site.kill();
      site.start();
      break;
    case 'roam':
      roam(site, random);
      break;
    case 'drain':
      drain(site, world);
      break;
  }
}

/** Its source address changes: a NAT forgets, a multi-homed gateway prefers another, an uplink gets a new lease. */
function roam(site: Site, random: SeededRandom): void {
  if (site.options.nat !== undefined) {
    site.rebind();
    return;
  }
  const [first = '', ...others] = site.options.addresses;
  // Somebody's endpoint keeps its address; who is called by nobody may lose it.
  site.moveTo(others.length > 0 ? [...others, first] : [first.replace(/\d+$/, String(20 + random.below(200)))]);
}

/** Taken out of service in order and put back, as an update of the machine does. */
function drain(site: Site, world: World): void {
  const { finished, tunnel } = site;
  const before = finished.length;
  site.do((draining, now) => draining.drain(ms(1500), now));
  const stopWhenDone = (): void => {
    if (site.tunnel !== tunnel) return; // Restarted by something else meanwhile.
    if (finished.length === before) {
      world.after(10, stopWhenDone);
      return;
    }
    site.kill();
    site.start();
  };
  stopWhenDone();
}
