import { setTimeout as delay } from 'node:timers/promises';
import { monotonicClock } from '../base/clock.ts';
import { type ConfigChanges, Link, type LinkOptions } from './link.ts';
import { firstPing } from './measure.ts';
import { buildRig, type Rig, type RigOptions, type Site } from './rig.ts';

/** A rig with a link across it. */
export interface LinkedRig {
  readonly rig: Rig;
  readonly link: Link;
}

/** How the link is to be. */
export interface LinkedOptions extends LinkOptions {
  readonly rig?: RigOptions;
  /** Changes to the configuration of each end. */
  readonly berlin?: ConfigChanges;
  readonly paris?: ConfigChanges;
}

/** Both ends configured; nothing is started. */
export async function prepareLink(options: LinkedOptions = {}): Promise<LinkedRig> {
  const rig = await buildRig(options.rig);
  try {
    const link = await Link.prepare(rig, options);
    if (options.berlin !== undefined) link.configure(rig.berlin, options.berlin);
    if (options.paris !== undefined) link.configure(rig.paris, options.paris);
    return { rig, link };
  } catch (error) {
    await rig.close();
    throw error;
  }
}

/** Both ends up, and a ping from LAN to LAN answered. */
export async function upLink(options: LinkedOptions = {}): Promise<LinkedRig> {
  const linked = await prepareLink(options);
  try {
    await upBoth(linked);
    return linked;
  } catch (error) {
    await linked.rig.close();
    throw error;
  }
}

/** Starts both ends at once and waits for a ping from LAN to LAN. */
export async function upBoth({ rig, link }: LinkedRig): Promise<void> {
  const up = (here: Site) => link.dtunnel(here, ['up', here.name, '--no-wait'], { timeoutMs: 20_000 });
  await Promise.all([up(rig.berlin), up(rig.paris)]);
  if ((await firstPing(rig.enclosure, rig.berlin.host, rig.paris.host4, 15_000)) !== undefined) return;
  const logs = await Promise.all([rig.berlin, rig.paris].map((here) => logOf(link, here)));
  throw new Error(`no ping from LAN to LAN within 15 s\n${logs.join('\n')}`);
}

/** Waits until both ends have found that the path carries `mtu` octets, and their devices follow. */
export async function mtuFound({ rig, link }: LinkedRig, mtu = 1500): Promise<void> {
  const found = async (here: Site): Promise<boolean> => {
    const { tunnel, peers } = await statusOf(link, here);
    return peers[0].path?.mtuBytes === mtu && tunnel.deviceMtuBytes === peers[0].path.innerMtuBytes;
  };
  // A search that a busy machine made fail begins again after 30 s (PATH_MTU_RAISE_LOW).
  const until = monotonicClock() + 45_000;
  while (monotonicClock() < until) {
    if ((await found(rig.berlin)) && (await found(rig.paris))) return;
    await delay(100);
  }
  throw new Error('the path MTU was not found');
}

/** The daemon's log at `here`, as `dtunnel logs` gives it. */
export async function logOf(link: Link, here: Site): Promise<string> {
  const { stdout, stderr } = await link.dtunnel(here, ['logs', here.name], { failureOk: true });
  return stdout + stderr;
}

/** The status document of `here`. */
export async function statusOf(link: Link, here: Site) {
  const { stdout } = await link.dtunnel(here, ['status', here.name, '--json'], { failureOk: true });
  return JSON.parse(stdout);
}

/** The process id of the daemon at `here`, inside the enclosure. */
export async function daemonPid(link: Link, here: Site): Promise<number> {
  return (await statusOf(link, here)).tunnel.pid;
}

/** Kills the daemon at `here` without warning. */
export async function killDaemon(link: Link, here: Site): Promise<void> {
  await link.rig.enclosure.run(['kill', '-9', String(await daemonPid(link, here))]);
}
