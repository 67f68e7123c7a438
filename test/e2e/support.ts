import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { builtProgram } from '../../src/demo/built.ts';
import { hostState } from '../../src/demo/host-state.ts';
import type { Link } from '../../src/demo/link.ts';
import { type LinkedRig, mtuFound } from '../../src/demo/linked-rig.ts';
import { type FlowResult, firstPing, TwoWayFlow, transfer } from '../../src/demo/measure.ts';
import { farSite, type Rig, type Site } from '../../src/demo/rig.ts';

// What the battery uses as well.
export { hostState } from '../../src/demo/host-state.ts';
export {
  daemonPid,
  killDaemon,
  type LinkedOptions,
  type LinkedRig,
  logOf,
  mtuFound,
  prepareLink,
  statusOf,
  upBoth,
  upLink,
} from '../../src/demo/linked-rig.ts';
export { type Sniffed, sniff } from '../../src/demo/sniff.ts';

/** Why tests that need namespaces and the built product cannot run here; undefined when they can. */
export const UNABLE = unable();

function unable(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  const programs = ['ip', 'unshare', 'nsenter', 'setpriv', 'tcpdump', 'ping'];
  const missing = programs.filter((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  if (!existsSync(builtProgram('main.js'))) return 'not built (npm run build)';
  return undefined;
}

if (UNABLE !== undefined) console.log(`end-to-end tests are skipped: ${UNABLE}`);

/**
 * `hostState` of a daemon that runs, once its device has the MTU it keeps: while the search goes on, the device follows
 * it from moment to moment, and that is no difference in what was set up.
 */
export async function settledHostState(linked: LinkedRig, here: Site): Promise<string> {
  await mtuFound(linked);
  return await hostState(linked.rig, here);
}

/** One sample of the metrics of `here`: the sum over all label sets that contain `labels`. */
export async function metricOf(link: Link, here: Site, name: string, labels = ''): Promise<number> {
  const { stdout } = await link.dtunnel(here, ['metrics', here.name]);
  const lines = stdout.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.filter((line) => line.includes(labels)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Milliseconds until a ping from the LAN of `from` to the other LAN is answered. */
export async function timeToPing(rig: Rig, from: Site, withinMs: number): Promise<number> {
  const began = performance.now();
  const answered = await firstPing(rig.enclosure, from.host, farSite(rig, from).host4, withinMs);
  if (answered === undefined) throw new Error(`no ping within ${withinMs} ms`);
  return performance.now() - began;
}

/** What became of the traffic beside `outcome`, which is what the change yields. */
export interface Amid<T> {
  readonly outcome: T;
  readonly result: FlowResult;
  readonly intact: boolean;
}

/** Runs `change` amid numbered datagrams at 1000/s each way and a verified TCP transfer, unless `bulk` is false. */
export async function amidTraffic<T>(
  { rig }: LinkedRig,
  change: () => Promise<T>,
  { bulk = true }: { readonly bulk?: boolean } = {},
): Promise<Amid<T>> {
  const flow = await TwoWayFlow.open(rig, { family: 4, rate: 1000, size: 200 });
  const amount = { bytes: 20_000_000 };
  const transferred = bulk
    ? transfer(rig, rig.paris, { family: 6, amount, port: 5210 })
    : Promise.resolve({ intact: true });
  // What the change throws is the reason of a failure, not what becomes of the transfer then.
  transferred.catch(() => undefined);
  try {
    flow.start();
    await delay(300);
    const outcome = await change();
    const { intact } = await transferred;
    await delay(500);
    return { outcome, result: await flow.finish(), intact };
  } finally {
    await flow.close();
  }
}
