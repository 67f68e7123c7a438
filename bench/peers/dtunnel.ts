import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { farSite, type Site } from '../../src/demo/rig.ts';
import { versionOf } from '../machine.ts';
import { bare, type Peer, type Role, startDaemon, workFolder, writeFile } from './support.ts';

/** dtunnel as built in this checkout. `settings` are added to [Interface]. */
export function dtunnel(name: string, about: string, role: Role = 'ours', settings: readonly string[] = []): Peer {
  return {
    name,
    role,
    about,
    missing: () => undefined,
    version: () => versionOf([process.execPath, DTUNNEL, 'version']),
    async start(rig) {
      const folder = workFolder(rig);
      for (const here of [rig.berlin, rig.paris]) {
        await rig.enclosure.run([process.execPath, DTUNNEL, 'keygen', here.name, '--dir', folder], {
          timeoutMs: 20_000,
        });
      }
      const fingerprint = async (site: Site): Promise<string> =>
        (
          await rig.enclosure.run([process.execPath, DTUNNEL, 'fingerprint', `${folder}/${site.name}.crt`])
        ).stdout.trim();
      const daemons: ChildProcess[] = [];
      for (const here of [rig.berlin, rig.paris]) {
        const there = farSite(rig, here);
        writeFile(
          rig,
          `${here.name}.conf`,
          [
            '[Interface]',
            `Address = ${here.inner4}, ${here.inner6}`,
            'ListenPort = 4433',
            `Certificate = ${folder}/${here.name}.crt`,
            `PrivateKey = ${folder}/${here.name}.key`,
            ...settings,
            `[Peer ${there.name}]`,
            `Fingerprint = ${await fingerprint(there)}`,
            ...(here.name === 'berlin' ? [`Endpoint = ${there.public4}:4433`] : []),
            `AllowedIPs = ${bare(there.inner4)}/32, ${there.lan4}, ${there.lan6}`,
          ].join('\n'),
        );
        daemons.push(startDaemon(rig, here, [process.execPath, DTUNNEL, 'run', `${folder}/${here.name}.conf`]));
      }
      return { daemons, inner: { berlin: bare(rig.berlin.inner4), paris: bare(rig.paris.inner4) } };
    },
  };
}

/** The built command of this checkout. */
const DTUNNEL = fileURLToPath(new URL('../../../../dist/main.js', import.meta.url));
