import type { Rig, Site } from './rig.ts';

/** Everything a daemon could leave configured at `here`: links, addresses, routes of all tables, rules. */
export async function hostState(rig: Rig, here: Site): Promise<string> {
  const ask = async (command: string): Promise<string> =>
    (await rig.enclosure.run(['ip', '-n', here.gateway, ...command.split(' ')])).stdout;
  const parts = await Promise.all(
    ['-o link', '-o addr', 'route show table all', '-6 route show table all', 'rule', '-6 rule'].map(ask),
  );
  // Lifetimes move by themselves, and the kernel sees a carrier up to a second after a link is up (linkwatch); numbers and
  // link-local addresses are new with every device.
  return parts
    .join('\n')
    .split('\n')
    .filter((line) => !/fe80:|\bff00::/.test(line))
    .map((line) => line.replace(/^\d+: /, '').replace(MOVING, ''))
    .join('\n');
}

/** What changes in the output of ip(8) without anybody having configured anything. */
const MOVING = / +(valid_lft|preferred_lft|expires|hoplimit|error|state) \S+|NO-CARRIER,|,LOWER_UP| linkdown/g;
