import { mkdirSync, writeFileSync } from 'node:fs';
import { builtProgram } from './built.ts';
import { FOLDER } from './link.ts';
import type { Rig } from './rig.ts';

/**
 * Makes it easy to look around in a rig from another terminal; yields the command that leads into `netns`, as in
 * `sh /proc/4711/root/run/sites/into paris-lan [COMMAND]`. Inside, `dtunnel` is on the path and knows the sites by name.
 */
export function waysIn(rig: Rig): (netns: string) => string {
  const { enclosure } = rig;
  mkdirSync(enclosure.path(`${FOLDER}/bin`), { recursive: true });
  const dtunnel = `#!/bin/sh\nexec '${process.execPath}' '${builtProgram('main.js')}' "$@"\n`;
  writeFileSync(enclosure.path(`${FOLDER}/bin/dtunnel`), dtunnel, { mode: 0o755 });
  const user = process.getuid?.() === 0 ? '' : '--user --preserve-credentials ';
  const into = [
    'netns=$1',
    'shift',
    '[ $# -gt 0 ] || set -- bash',
    `exec nsenter --target ${enclosure.pid} ${user}--mount --pid --net=${enclosure.path('/run/netns')}/"$netns" \\`,
    `  env DTUNNEL_CONFIG_DIR=${FOLDER} PATH=${FOLDER}/bin:"$PATH" "$@"`,
    '',
  ].join('\n');
  const path = enclosure.path(`${FOLDER}/into`);
  writeFileSync(path, into, { mode: 0o755 });
  return (netns) => `sh ${path} ${netns}`;
}
