import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { builtProgram } from '../../src/demo/built.ts';
import { type ConfigChanges, Link, type LinkOptions } from '../../src/demo/link.ts';
import { type FlowResult, firstPing, TwoWayFlow, transfer } from '../../src/demo/measure.ts';
import { buildRig, farSite, type Rig, type RigOptions, type Site } from '../../src/demo/rig.ts';

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

/** A rig with a link across it. */
export interface LinkedRig {
  readonly rig: Rig;
  readonly link: Link;
}

/** How a test wants its link. */
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
  const until = performance.now() + 45_000;
  while (performance.now() < until) {
    if ((await found(rig.berlin)) && (await found(rig.paris))) return;
    await delay(100);
  }
  throw new Error('the path MTU was not found');
}

/**
 * `hostState` of a daemon that runs, once its device has the MTU it keeps: while the search goes on, the device follows
 * it from moment to moment, and that is no difference in what was set up.
 */
export async function settledHostState(linked: LinkedRig, here: Site): Promise<string> {
  await mtuFound(linked);
  return await hostState(linked.rig, here);
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

/** One sample of the metrics of `here`: the sum over all label sets that contain `labels`. */
export async function metricOf(link: Link, here: Site, name: string, labels = ''): Promise<number> {
  const { stdout } = await link.dtunnel(here, ['metrics', here.name]);
  const lines = stdout.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.filter((line) => line.includes(labels)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

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

/** The process id of the daemon at `here`, inside the enclosure. */
export async function daemonPid(link: Link, here: Site): Promise<number> {
  return (await statusOf(link, here)).tunnel.pid;
}

/** Kills the daemon at `here` without warning. */
export async function killDaemon(link: Link, here: Site): Promise<void> {
  await link.rig.enclosure.run(['kill', '-9', String(await daemonPid(link, here))]);
}

/** Milliseconds until a ping from the LAN of `from` to the other LAN is answered. */
export async function timeToPing(rig: Rig, from: Site, withinMs: number): Promise<number> {
  const began = performance.now();
  const answered = await firstPing(rig.enclosure, from.host, farSite(rig, from).host4, withinMs);
  if (answered === undefined) throw new Error(`no ping within ${withinMs} ms`);
  return performance.now() - began;
}

/** What passed the internet's side of Berlin while it listened. */
export interface Sniffed {
  /** Whole capture file. */
  readonly bytes: Buffer;
  /** Packets with an inner address in the clear, as tcpdump prints them. */
  readonly clear: readonly string[];
}

/** Records every packet between the sites until `stop`. */
export async function sniff(rig: Rig): Promise<{ stop(): Promise<Sniffed> }> {
  const device = rig.berlin.internetSide ?? '';
  const netns = rig.internet ?? '';
  const file = '/run/sniffed.pcap';
  const child = rig.enclosure.start(['tcpdump', '-i', device, '-s', '0', '-B', '16384', '-U', '-w', '-'], {
    netns,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  let said = '';
  const listening = new Promise<void>((resolve, reject) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('listening on')) resolve();
    });
    child.once('close', () => reject(new Error(`tcpdump: ${said}`)));
  });
  await listening;
  return {
    stop: async () => {
      await delay(300);
      const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
      await closed;
      const bytes = Buffer.concat(chunks);
      const inner = 'net 10.0.0.0/8 or net 172.31.0.0/16 or net fd10::/16 or net fd31::/16';
      const { stdout } = await rig.enclosure.run(
        ['sh', '-c', `cat > ${file}; tcpdump -nr ${file} '${inner}' 2>/dev/null`],
        {
          input: bytes,
          netns,
        },
      );
      return { bytes, clear: stdout.split('\n').filter((line) => line !== '') };
    },
  };
}

/** What became of the traffic beside `outcome`, which is what the change yields. */
export interface Amid<T> {
  readonly outcome: T;
  readonly result: FlowResult;
  readonly intact: boolean;
}

/** Runs `change` amid numbered datagrams at 1000/s each way and a verified TCP transfer. */
export async function amidTraffic<T>({ rig }: LinkedRig, change: () => Promise<T>): Promise<Amid<T>> {
  const flow = await TwoWayFlow.open(rig, { family: 4, rate: 1000, size: 200 });
  const bulk = transfer(rig, rig.paris, { family: 6, amount: { bytes: 20_000_000 }, port: 5210 });
  flow.start();
  await delay(300);
  const outcome = await change();
  const { intact } = await bulk;
  await delay(500);
  return { outcome, result: await flow.finish(), intact };
}
