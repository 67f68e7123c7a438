import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { farSite } from '../../src/demo/rig.ts';
import { bare, deviceUp, ip, orderedQueue, type Peer, startDaemon } from './support.ts';

/**
 * The data plane alone (plane_peer.cc) with `cipher` and fixed keys. With `null` it copies where a cipher would work: what
 * is left then is what no cipher could make faster. `program` is another build of it, for comparing two.
 */
export function plane(name: string, cipher: string, about: string, program: string = PLANE_PEER): Peer {
  return {
    name,
    role: 'limit',
    about,
    missing: () => (existsSync(program) ? undefined : `${program} is not built`),
    version: () => undefined,
    async start(rig) {
      const daemons = [rig.berlin, rig.paris].map((here, i) => {
        const [side, near, far] = i === 0 ? ['a', '4501', '4502'] : ['b', '4502', '4501'];
        return startDaemon(rig, here, [program, DEVICE, side, near, farSite(rig, here).public4, far, cipher]);
      });
      for (const here of [rig.berlin, rig.paris]) {
        const there = farSite(rig, here);
        await deviceUp(rig, here, DEVICE);
        await orderedQueue(rig, here, DEVICE);
        await ip(rig, here, `addr add ${bare(here.inner4)} peer ${bare(there.inner4)} dev ${DEVICE}`);
        await ip(rig, here, `link set ${DEVICE} up`);
        await ip(rig, here, `route add ${there.lan4} dev ${DEVICE}`);
      }
      return { daemons, inner: { berlin: bare(rig.berlin.inner4), paris: bare(rig.paris.inner4) } };
    },
  };
}

const DEVICE = 'plane0';
/** Built by throughput.ts before anything is measured. */
const PLANE_PEER = fileURLToPath(new URL('../../../../native/test/build/bench/plane_peer', import.meta.url));
