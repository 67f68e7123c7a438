import { farSite } from '../../src/demo/rig.ts';
import { ip, type Peer } from './support.ts';

/** The bare path: the LANs are joined by plain routes over the outer link. */
export const BARE: Peer = {
  name: 'bare',
  role: 'bare',
  about: 'no tunnel: plain routes over the same link',
  missing: () => undefined,
  version: () => undefined,
  async start(rig) {
    for (const here of [rig.berlin, rig.paris]) {
      const there = farSite(rig, here);
      await ip(rig, here, `route add ${there.lan4} via ${there.public4}`);
    }
    return { daemons: [], inner: { berlin: rig.berlin.public4, paris: rig.paris.public4 } };
  },
};
