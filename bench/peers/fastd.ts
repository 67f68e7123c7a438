import type { ChildProcess } from 'node:child_process';
import { farSite } from '../../src/demo/rig.ts';
import { versionOf } from '../machine.ts';
import { bare, deviceUp, ip, lacks, type Peer, startDaemon, writeFile } from './support.ts';

/** fastd with `method` in TUN mode. */
export function fastd(name: string, method: string, about: string): Peer {
  return {
    name,
    role: method === 'null' ? 'limit' : 'field',
    about,
    missing: () => lacks('fastd'),
    version: () => versionOf(['fastd', '--version']),
    async start(rig) {
      const keys = new Map<string, { readonly secret: string; readonly public: string }>();
      for (const here of [rig.berlin, rig.paris]) {
        const { stdout } = await rig.enclosure.run(['fastd', '--generate-key']);
        const pick = (label: string): string => new RegExp(`${label}:\\s*(\\w+)`).exec(stdout)?.[1] ?? '';
        keys.set(here.name, { secret: pick('Secret'), public: pick('Public') });
      }
      const daemons: ChildProcess[] = [];
      for (const here of [rig.paris, rig.berlin]) {
        const there = farSite(rig, here);
        const file = writeFile(
          rig,
          `${here.name}.fastd`,
          [
            'log level warn;',
            `interface "fd-${here.name}";`,
            'mode tun;',
            'mtu 1440;',
            `method "${method}";`,
            `bind ${here.public4}:10000;`,
            `secret "${keys.get(here.name)?.secret}";`,
            `peer "${there.name}" { key "${keys.get(there.name)?.public}"; remote ${there.public4}:10000; }`,
          ].join('\n'),
        );
        daemons.push(startDaemon(rig, here, ['fastd', '-c', file]));
        await deviceUp(rig, here, `fd-${here.name}`);
        await ip(rig, here, `addr add ${bare(here.inner4)} peer ${bare(there.inner4)} dev fd-${here.name}`);
        await ip(rig, here, `link set fd-${here.name} txqueuelen 1000 up`);
        await ip(rig, here, `route add ${there.lan4} dev fd-${here.name}`);
      }
      return {
        daemons: daemons.reverse(),
        inner: { berlin: bare(rig.berlin.inner4), paris: bare(rig.paris.inner4) },
      };
    },
  };
}
