import { type Enclosure, openEnclosure } from './enclosure.ts';

/**
 * Two sites and an internet between them, in network namespaces of an enclosure:
 *
 *     berlin-lan ── berlin ── internet ── paris ── paris-lan
 *
 * Every link is a veth pair; IPv4 and IPv6 run inside and outside; the gateways and the internet forward. Both sites
 * hold the same shape, so whatever is done to one can be done to the other.
 */
export interface Rig {
  readonly enclosure: Enclosure;
  readonly berlin: Site;
  readonly paris: Site;
  /** The router between the sites; undefined when their gateways are joined directly. */
  readonly internet: string | undefined;
  close(): Promise<void>;
}

/** One site: its gateway, its LAN host, and what they are called. */
export interface Site {
  readonly name: 'berlin' | 'paris';
  /** Network namespaces. */
  readonly gateway: string;
  readonly host: string;
  /** Public addresses of the gateway, without prefix length. */
  readonly public4: string;
  readonly public6: string;
  /** The LAN and its host in it. */
  readonly lan4: string;
  readonly lan6: string;
  readonly host4: string;
  readonly host6: string;
  /** Inner addresses of the gateway's tunnel device, with prefix length. */
  readonly inner4: string;
  readonly inner6: string;
  /** The gateway's device towards the internet. */
  readonly wan: string;
  /** The internet's device towards this site; undefined without internet. */
  readonly internetSide: string | undefined;
}

/** How to build a rig. */
export interface RigOptions {
  /** `router`: a namespace that forwards between them (default). `direct`: one veth pair, the fastest path there is. */
  readonly internet?: 'router' | 'direct';
  /** Largest packet of the outer links; default 1500. */
  readonly mtu?: number;
  /** Whether the TUN device must be usable; default true. */
  readonly needsTun?: boolean;
}

/** Builds a rig in an enclosure of its own. Throws DtunnelError when this machine cannot hold one. */
export async function buildRig(options: RigOptions = {}): Promise<Rig> {
  const routed = options.internet !== 'direct';
  const berlin = site('berlin', routed);
  const paris = site('paris', routed);
  const enclosure = await openEnclosure({ needsTun: options.needsTun ?? true });
  try {
    await enclosure.run(['sh', '-eu'], { input: script(berlin, paris, routed, options.mtu ?? 1500) });
  } catch (error) {
    await enclosure.close();
    throw error;
  }
  return { enclosure, berlin, paris, internet: routed ? INTERNET : undefined, close: () => enclosure.close() };
}

/** The site at the other end of `rig` from `here`. */
export function farSite(rig: Rig, here: Site): Site {
  return here.name === 'berlin' ? rig.paris : rig.berlin;
}

const INTERNET = 'internet';

/**
 * What a site of a rig is called; `routed`: a router is between the gateways. Documentation and private ranges only
 * (RFC 5737, RFC 3849, RFC 1918, RFC 4193).
 */
export function site(name: 'berlin' | 'paris', routed: boolean): Site {
  const n = name === 'berlin' ? 1 : 2;
  // Joined directly, both gateways are neighbours in berlin's network.
  const own4 = name === 'berlin' || !routed ? '203.0.113' : '198.51.100';
  const own6 = name === 'berlin' || !routed ? '2001:db8:a' : '2001:db8:b';
  return {
    name,
    gateway: name,
    host: `${name}-lan`,
    public4: `${own4}.${n}0`,
    public6: `${own6}::${n}0`,
    lan4: `10.${n}.0.0/16`,
    lan6: `fd10:${n}::/64`,
    host4: `10.${n}.0.2`,
    host6: `fd10:${n}::2`,
    inner4: `172.31.0.${n}/30`,
    inner6: `fd31::${n}/126`,
    wan: 'wan0',
    internetSide: routed ? `${name}0` : undefined,
  };
}

/** One shell script, so that the whole rig costs one process and a few dozen milliseconds. */
function script(berlin: Site, paris: Site, routed: boolean, mtu: number): string {
  const names = [berlin.host, berlin.gateway, ...(routed ? [INTERNET] : []), paris.gateway, paris.host];
  const lines = names.map((name) => `ip netns add ${name}`);
  for (const name of names) {
    const forward = name.endsWith('-lan') ? 0 : 1;
    lines.push(
      // Duplicate address detection would hold every IPv6 address back for a second or two.
      `nsenter --net=/run/netns/${name} sh -c '${[
        'echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad',
        'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad',
        `echo ${forward} > /proc/sys/net/ipv4/ip_forward`,
        `echo ${forward} > /proc/sys/net/ipv6/conf/all/forwarding`,
      ].join('; ')}'`,
      `ip -n ${name} link set lo up`,
    );
  }
  if (routed) lines.push(...uplink(berlin, mtu), ...uplink(paris, mtu));
  else lines.push(...directLink(berlin, paris, mtu));
  for (const here of [berlin, paris]) lines.push(...lan(here));
  return `${lines.join('\n')}\n`;
}

/** Gateway to internet: the gateway holds the public addresses and a default route, the internet is `.1`. */
function uplink(here: Site, mtu: number): readonly string[] {
  const inside = here.internetSide ?? '';
  const router4 = here.public4.replace(/\d+$/, '1');
  const router6 = here.public6.replace(/[^:]+$/, '1');
  return [
    `ip -n ${here.gateway} link add ${here.wan} mtu ${mtu} type veth peer name ${inside} mtu ${mtu} netns ${INTERNET}`,
    batch(INTERNET, [
      `addr add ${router4}/24 dev ${inside}`,
      `addr add ${router6}/64 dev ${inside} nodad`,
      `link set ${inside} up`,
    ]),
    batch(here.gateway, [
      `addr add ${here.public4}/24 dev ${here.wan}`,
      `addr add ${here.public6}/64 dev ${here.wan} nodad`,
      `link set ${here.wan} up`,
      `route add default via ${router4}`,
      `-6 route add default via ${router6}`,
    ]),
  ];
}

function directLink(berlin: Site, paris: Site, mtu: number): readonly string[] {
  const link = `link add ${berlin.wan} mtu ${mtu} type veth peer name ${paris.wan} mtu ${mtu} netns ${paris.gateway}`;
  const addresses = (here: Site): string =>
    batch(here.gateway, [
      `addr add ${here.public4}/24 dev ${here.wan}`,
      `addr add ${here.public6}/64 dev ${here.wan} nodad`,
      `link set ${here.wan} up`,
    ]);
  return [`ip -n ${berlin.gateway} ${link}`, addresses(berlin), addresses(paris)];
}

/** LAN host to gateway: the gateway is `.1` and the host's default route. */
function lan(here: Site): readonly string[] {
  const gateway4 = here.host4.replace(/\d+$/, '1');
  const gateway6 = here.host6.replace(/\d+$/, '1');
  return [
    `ip -n ${here.gateway} link add lan0 type veth peer name eth0 netns ${here.host}`,
    batch(here.gateway, [
      `addr add ${gateway4}/16 dev lan0`,
      `addr add ${gateway6}/64 dev lan0 nodad`,
      'link set lan0 up',
    ]),
    batch(here.host, [
      `addr add ${here.host4}/16 dev eth0`,
      `addr add ${here.host6}/64 dev eth0 nodad`,
      'link set eth0 up',
      `route add default via ${gateway4}`,
      `-6 route add default via ${gateway6}`,
    ]),
  ];
}

function batch(netns: string, commands: readonly string[]): string {
  const plain = commands.filter((command) => !command.startsWith('-6 '));
  const six = commands.filter((command) => command.startsWith('-6 ')).map((command) => `ip -n ${netns} ${command}`);
  return [`ip -n ${netns} -batch - <<'END'\n${plain.join('\n')}\nEND`, ...six].join('\n');
}
