import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type OuterPath, setOuterPath } from '../../bench/outer-path.ts';
import { buildRig, type Rig, type Site } from '../../src/demo/rig.ts';

/** One run: two planes between two LANs, and traffic between the LANs. */
export interface Case {
  readonly outer: OuterPath;
  /** Outer packets' family. */
  readonly family: 4 | 6;
  /** Position in `AEADS` of native-plane.ts. */
  readonly aead: 0 | 1 | 2;
  readonly ids: boolean;
  /** Small packets share datagrams. */
  readonly packs: boolean;
  /** Offloads left off at each end: bit i is OFFLOADS[i]. */
  readonly disableA: number;
  readonly disableB: number;
  /** UDP payload that the planes may send: 1472 carries inner packets of the device's MTU whole, 1326 does not. */
  readonly pathMtu: 1472 | 1326;
  readonly lanes: number;
  /** The main thread of each plane changes sessions, routes and paths under the traffic. */
  readonly churn: boolean;
  /** What the LANs' devices do with large packets: whole, or one at a time. */
  readonly lan: 'whole' | 'cut';
}

/** The case that others are variations of. */
export const PLAIN: Case = {
  outer: 'pass',
  family: 4,
  aead: 0,
  ids: true,
  packs: true,
  disableA: 0,
  disableB: 0,
  pathMtu: 1472,
  lanes: 1,
  churn: false,
  lan: 'whole',
};

/** How to run it. */
export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  /** The program that holds a plane, with leading arguments: Node with the addon when left out. */
  readonly host?: readonly string[];
  /** Loses, and marks with congestion, some of the outer packets. */
  readonly impaired?: boolean;
  /** The ECN field that every outer packet arrives with, whatever it left with (0 … 3). */
  readonly outerEcn?: 0 | 1 | 2 | 3;
  /** nftables rules for what the second gateway forwards: damage done on purpose, which must be found. */
  readonly sabotage?: readonly string[];
  /** Packets of one sender on the way at once. */
  readonly window?: number;
  readonly only?: string;
  readonly patience?: number;
  /** Plain routes in place of the planes: what the kernel and the judge do between themselves. */
  readonly bare?: boolean;
}

/** Sums of a kind of datagram traffic (ledger.h). */
export interface Verdict {
  readonly sent: number;
  readonly intact: number;
  readonly lost: number;
  readonly late: number;
  readonly twice: number;
  readonly damaged: number;
  readonly marked: number;
  readonly examples: readonly string[];
}

/** What the traffic program found. */
export interface Traffic {
  readonly raw: Verdict;
  readonly udp: Verdict;
  readonly tcp: {
    readonly streams: number;
    readonly octets: number;
    readonly damaged: number;
    readonly incomplete: number;
  };
}

/** What a plane counted (plane_host.cc). */
export interface PlaneReport {
  readonly balanceIn: number;
  readonly balanceOut: number;
  readonly unattributed: number;
  readonly overflows: number;
  readonly readPackets: number;
  readonly readCalls: number;
  readonly writePackets: number;
  readonly writeCalls: number;
  readonly gaps: number;
  readonly reordered: number;
  readonly duplicates: number;
  readonly dropsIn: Readonly<Record<string, number>>;
  readonly dropsOut: Readonly<Record<string, number>>;
  readonly offloads: number;
  readonly disabled: number;
}

const NO_PLANE: PlaneReport = {
  balanceIn: 0,
  balanceOut: 0,
  unattributed: 0,
  overflows: 0,
  readPackets: 0,
  readCalls: 0,
  writePackets: 0,
  writeCalls: 0,
  gaps: 0,
  reordered: 0,
  duplicates: 0,
  dropsIn: {},
  dropsOut: {},
  offloads: 0,
  disabled: 0,
};

/** Everything known after a run. */
export interface SoakResult {
  readonly traffic: Traffic;
  readonly a: PlaneReport;
  readonly b: PlaneReport;
  /** Packets that devices and queues of the kernel dropped, by device. */
  readonly kernelDrops: Readonly<Record<string, number>>;
}

/** Runs `one` in a rig of its own. Throws when a plane or the traffic fails to run; what it finds is in the result. */
export async function soak(one: Case, options: SoakOptions): Promise<SoakResult> {
  const rig = await buildRig({ internet: 'direct' });
  try {
    await setOuterPath(rig, one.outer);
    const macs = await prepareLans(rig, one);
    const bare = options.bare === true;
    const planes = bare
      ? []
      : await Promise.all([startPlane(rig, one, 'a', options), startPlane(rig, one, 'b', options)]);
    await (bare ? joinLans(rig) : prepareTunnels(rig, one));
    if (options.impaired === true) await changeOuter(rig, LOSSES_AND_MARKS);
    if (options.outerEcn !== undefined) await changeOuter(rig, (ip) => [`${ip} ecn set ${ECN[options.outerEcn ?? 0]}`]);
    if (options.sabotage !== undefined) await sabotage(rig, options.sabotage);
    const traffic = await runTraffic(rig, one, options, macs);
    // The devices' own counters go with them.
    const drops = await kernelDrops(rig);
    const [a = NO_PLANE, b = NO_PLANE] = await Promise.all(planes.map((plane) => plane.end()));
    return { traffic, a, b, kernelDrops: drops };
  } finally {
    await rig.close();
  }
}

/** Largest inner packet that crosses whole. Header, id, nonce, type and tag take 46 octets at most. */
export function largestPacket(one: Case): number {
  return Math.min(DEVICE_MTU, one.pathMtu - 46);
}

const HERE = fileURLToPath(new URL('.', import.meta.url));
const TRAFFIC = fileURLToPath(new URL('../../build/soak/traffic', import.meta.url));
const DEVICE_MTU = 1400;
const DEVICE = 'soak0';

/** Neighbours are known beforehand, so that no packet waits for one; raw packets' networks lie behind the hosts. */
async function prepareLans(rig: Rig, one: Case): Promise<Readonly<Record<string, string>>> {
  const macs: Record<string, string> = {};
  for (const here of [rig.berlin, rig.paris]) {
    const host = await mac(rig, here.host, 'eth0');
    macs[here.name] = await mac(rig, here.gateway, 'lan0');
    const commands = [
      `ip neigh replace ${here.host4} lladdr ${host} dev lan0 nud permanent`,
      `ip neigh replace ${here.host6} lladdr ${host} dev lan0 nud permanent`,
      `ip route add ${here.lan4.replace('.0.0/16', '.128.0/17')} via ${here.host4}`,
      `ip -6 route add ${here.lan6.replace('::/64', '::8000:0:0:0/65')} via ${here.host6}`,
      ...(one.lan === 'cut' ? ['ethtool -K lan0 tso off gso off tx-udp-segmentation off'] : []),
    ];
    await rig.enclosure.run(['sh', '-eu'], { netns: here.gateway, input: commands.join('\n') });
    const gateway4 = here.host4.replace(/\d+$/, '1');
    const gateway6 = here.host6.replace(/\d+$/, '1');
    await rig.enclosure.run(['sh', '-eu'], {
      netns: here.host,
      input: [
        'echo 1 > /proc/sys/net/ipv4/tcp_ecn',
        `ip neigh replace ${gateway4} lladdr ${macs[here.name]} dev eth0 nud permanent`,
        `ip neigh replace ${gateway6} lladdr ${macs[here.name]} dev eth0 nud permanent`,
        // The path's limit is known beforehand too. Over IPv4 what may be fragmented is sent larger on purpose.
        `ip route change default via ${gateway4} mtu ${DEVICE_MTU}`,
        `ip -6 route change default via ${gateway6} mtu ${largestPacket(one)}`,
        ...(one.lan === 'cut' ? ['ethtool -K eth0 tso off gso off tx-udp-segmentation off'] : []),
      ].join('\n'),
    });
  }
  return macs;
}

async function prepareTunnels(rig: Rig, one: Case): Promise<void> {
  // IPv6 announces itself at once, to a far end that may not be up yet.
  const ipv6 = `/proc/sys/net/ipv6/conf/${DEVICE}/disable_ipv6`;
  for (const here of [rig.berlin, rig.paris]) {
    const input = `echo 1 > ${ipv6}\nip link set ${DEVICE} addrgenmode none up\n`;
    await rig.enclosure.run(['sh', '-eu'], { netns: here.gateway, input });
  }
  for (const here of [rig.berlin, rig.paris]) {
    const there = here === rig.berlin ? rig.paris : rig.berlin;
    const far = await mac(rig, there.gateway, there.wan);
    await rig.enclosure.run(['sh', '-eu'], {
      netns: here.gateway,
      input: [
        // A device has no way to hold its senders back. Bare acknowledgments, small segments and what an ECN mark dooms are on the way
        // in thousands when a thread has to wait for a processor.
        `ip link set ${DEVICE} txqueuelen 16384`,
        // As the daemon sets it (src/daemon/host/ip.ts): a flow keeps its order whatever its marks.
        `tc qdisc replace dev ${DEVICE} root fq_codel 2>/dev/null || tc qdisc replace dev ${DEVICE} root noqueue`,
        `echo 0 > ${ipv6}`,
        `ip route add ${there.lan4} dev ${DEVICE}`,
        `ip -6 route add ${there.lan6} dev ${DEVICE}`,
        `ip neigh replace ${one.family === 4 ? there.public4 : there.public6} lladdr ${far} dev ${here.wan} nud permanent`,
      ].join('\n'),
    });
  }
}

async function joinLans(rig: Rig): Promise<void> {
  for (const here of [rig.berlin, rig.paris]) {
    const there = here === rig.berlin ? rig.paris : rig.berlin;
    const input = `ip route add ${there.lan4} via ${there.public4}\nip -6 route add ${there.lan6} via ${there.public6}\n`;
    await rig.enclosure.run(['sh', '-eu'], { netns: here.gateway, input });
  }
}

async function mac(rig: Rig, netns: string, device: string): Promise<string> {
  const { stdout } = await rig.enclosure.run(['ip', '-j', 'link', 'show', device], { netns });
  return String(JSON.parse(stdout)[0].address);
}

interface RunningPlane {
  end(): Promise<PlaneReport>;
}

async function startPlane(rig: Rig, one: Case, side: 'a' | 'b', options: SoakOptions): Promise<RunningPlane> {
  const [here, there] = side === 'a' ? [rig.berlin, rig.paris] : [rig.paris, rig.berlin];
  const child = rig.enclosure.start(
    [
      ...(options.host ?? [process.execPath, `${HERE}plane-host.mjs`]),
      `side=${side}`,
      `device=${DEVICE}`,
      `remote=${one.family === 4 ? there.public4 : there.public6}`,
      `mtu=${DEVICE_MTU}`,
      `pathMtu=${one.pathMtu - (one.family === 6 && one.pathMtu === 1472 ? 20 : 0)}`,
      `disable=${side === 'a' ? one.disableA : one.disableB}`,
      `aead=${one.aead}`,
      `ids=${one.ids ? 1 : 0}`,
      `packs=${one.packs ? 1 : 0}`,
      `lanes=${one.lanes}`,
      `churn=${one.churn ? 1 : 0}`,
    ],
    { netns: here.gateway, stdio: ['pipe', 'pipe', 'pipe'] },
  );
  const output = new Output(child);
  await output.until(/^ready$/m, `plane ${side}`);
  return {
    async end() {
      child.stdin?.end();
      const code = await output.closed;
      const report = /^\{.*\}$/m.exec(output.stdout)?.[0];
      if (code !== 0 || report === undefined)
        throw new Error(`plane ${side} ended with ${code}: ${output.stderr.slice(0, 6000)}`);
      return JSON.parse(report);
    },
  };
}

async function runTraffic(
  rig: Rig,
  one: Case,
  options: SoakOptions,
  macs: Readonly<Record<string, string>>,
): Promise<Traffic> {
  const host = (here: Site): string =>
    [
      `/run/netns/${here.host}`,
      'eth0',
      here.lan4.replace('.0.0/16', ''),
      here.lan6.replace('::/64', ''),
      macs[here.name],
    ].join(',');
  const { stdout } = await rig.enclosure.run(
    [
      TRAFFIC,
      host(rig.berlin),
      host(rig.paris),
      `seconds=${options.seconds}`,
      `seed=${options.seed}`,
      `largest=${largestPacket(one)}`,
      `window=${options.window ?? 150}`,
      `lossy=${options.impaired === true ? 1 : 0}`,
      ...(options.outerEcn === undefined ? [] : [`outerEcn=${options.outerEcn}`]),
      `patience=${options.patience ?? (options.impaired === true ? 0.3 : 10)}`,
      `only=${options.only ?? 'raw,udp,tcp'}`,
    ],
    { timeoutMs: options.seconds * 1000 + 120_000 },
  );
  return JSON.parse(stdout);
}

/** Rules for UDP that comes in on the outer link, for `ip` and `ip6`. */
async function changeOuter(rig: Rig, rules: (ip: 'ip' | 'ip6') => readonly string[]): Promise<void> {
  for (const here of [rig.berlin, rig.paris]) {
    const lines = (['ip', 'ip6'] as const).flatMap((ip) =>
      rules(ip).map((rule) => `iifname "${here.wan}" meta l4proto udp ${rule}`),
    );
    const chain = `type filter hook prerouting priority -300;\n${lines.join('\n')}`;
    const input = `table inet soak {\nchain in {\n${chain}\n}\n}\n`;
    await rig.enclosure.run(['nft', '-f', '-'], { netns: here.gateway, input });
  }
}

async function sabotage(rig: Rig, rules: readonly string[]): Promise<void> {
  const chain = `type filter hook forward priority 0;\n${rules.join('\n')}`;
  const input = `table inet sabotage {\nchain forward {\n${chain}\n}\n}\n`;
  await rig.enclosure.run(['nft', '-f', '-'], { netns: rig.paris.gateway, input });
}

const ECN = ['not-ect', 'ect1', 'ect0', 'ce'];

/** One outer packet in a hundred is lost, and one in twenty that can bear a congestion mark gets one. */
const LOSSES_AND_MARKS = (ip: 'ip' | 'ip6'): readonly string[] => [
  'numgen random mod 100 < 1 drop',
  `${ip} ecn { ect0, ect1 } numgen random mod 20 < 1 ${ip} ecn set ce`,
];

async function kernelDrops(rig: Rig): Promise<Readonly<Record<string, number>>> {
  const drops: Record<string, number> = {};
  for (const netns of [rig.berlin.gateway, rig.berlin.host, rig.paris.gateway, rig.paris.host]) {
    const { stdout } = await rig.enclosure.run(['ip', '-j', '-s', 'link', 'show'], { netns });
    for (const link of JSON.parse(stdout)) {
      for (const way of ['rx', 'tx']) {
        const counters = link.stats64?.[way] ?? {};
        const count = Number(counters.dropped ?? 0) + Number(counters.errors ?? 0);
        if (count !== 0) drops[`${netns}/${link.ifname}/${way}`] = count;
      }
    }
    // /proc/net/snmp has lines of names and lines of values in turns, snmp6 a pair a line.
    const { stdout: snmp } = await rig.enclosure.run(['cat', '/proc/net/snmp'], { netns });
    const rows = snmp.trim().split('\n');
    for (let i = 0; i + 1 < rows.length; i += 2) {
      const values = rows[i + 1]?.split(' ') ?? [];
      const [kind = '', ...names] = rows[i]?.split(' ') ?? [];
      for (const [at, name] of names.entries()) note(`${kind}${name}`, values[at + 1]);
    }
    const { stdout: snmp6 } = await rig.enclosure.run(['cat', '/proc/net/snmp6'], { netns });
    for (const row of snmp6.trim().split('\n')) note(...(row.split(/\s+/) as [string, string]));
    function note(name: string, value = '0'): void {
      if (/RcvbufErrors|SndbufErrors|ReasmFails|FragFails|OutDiscards/.test(name) && Number(value) > 0)
        drops[`${netns}/${name}`] = Number(value);
    }
  }
  return drops;
}

/** Gathers what a program says. */
class Output {
  stdout = '';
  stderr = '';
  readonly closed: Promise<number>;
  readonly #changed = new Set<() => void>();

  constructor(child: ChildProcess) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      for (const changed of this.#changed) changed();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stderr.length < 1 << 20) this.stderr += text;
    });
    this.closed = new Promise((resolve) =>
      child.once('close', (code, signal) => resolve(code ?? (signal === null ? -1 : -2))),
    );
  }

  async until(pattern: RegExp, who: string): Promise<void> {
    const said = new Promise<true>((resolve) => {
      this.#changed.add(() => {
        if (pattern.test(this.stdout)) resolve(true);
      });
    });
    const ok = await Promise.race([said, this.closed]);
    if (ok !== true) throw new Error(`${who} ended with ${ok}: ${this.stderr.slice(0, 4000)}`);
  }
}
