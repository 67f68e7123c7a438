import { farSite } from '../../src/demo/rig.ts';
import { versionOf } from '../machine.ts';
import { bare, deviceUp, ip, lacks, type Peer, startDaemon, words, workFolder, writeFile } from './support.ts';

/** wireguard-go at `program`. */
export function wireguardGo(name: string, program: string | undefined, about: string): Peer {
  return {
    name,
    role: 'field',
    about,
    missing: () => (program === undefined ? 'WIREGUARD_GO is not set' : lacks(program, 'wg')),
    version: () => (program === undefined ? undefined : versionOf([program, '--version'])),
    async start(rig) {
      const folder = workFolder(rig);
      const publicKeys = new Map<string, string>();
      for (const here of [rig.berlin, rig.paris]) {
        const key = (await rig.enclosure.run(['wg', 'genkey'])).stdout;
        writeFile(rig, `${here.name}.wg`, key);
        publicKeys.set(here.name, (await rig.enclosure.run(['wg', 'pubkey'], { input: key })).stdout.trim());
      }
      const daemons = [rig.berlin, rig.paris].map((here) =>
        // Device names are also names of control sockets, and both ends share one /run.
        startDaemon(rig, here, [program ?? '', '-f', `wg-${here.name}`], { LOG_LEVEL: 'error' }),
      );
      for (const here of [rig.berlin, rig.paris]) {
        const there = farSite(rig, here);
        const device = `wg-${here.name}`;
        await deviceUp(rig, here, device);
        const key = `private-key ${folder}/${here.name}.wg`;
        const far = `peer ${publicKeys.get(there.name)} endpoint ${there.public4}:51820`;
        const allowed = `allowed-ips ${bare(there.inner4)}/32,${there.lan4}`;
        await rig.enclosure.run(words(`wg set ${device} listen-port 51820 ${key} ${far} ${allowed}`), {
          netns: here.gateway,
        });
        await ip(rig, here, `addr add ${here.inner4} dev ${device}`);
        await ip(rig, here, `link set ${device} mtu 1420 txqueuelen 1000 up`);
        await ip(rig, here, `route add ${there.lan4} dev ${device}`);
      }
      return { daemons, inner: { berlin: bare(rig.berlin.inner4), paris: bare(rig.paris.inner4) } };
    },
  };
}
