import { get } from 'node:http';
import type { ControlClient } from '../../src/control/client.ts';
import type { PeerStatus, StatusDocument } from '../../src/control/status.ts';
import { builtProgram } from '../../src/demo/built.ts';
import { FOLDER } from '../../src/demo/link.ts';
import type { LinkedRig } from '../../src/demo/linked-rig.ts';
import type { Site } from '../../src/demo/rig.ts';

/** The link whose files change. */
export interface World extends LinkedRig {
  /** Of a pair of certificate and key `next` that lies beside the others. */
  readonly nextFingerprint: string;
  client(here: Site): ControlClient;
}

/** A key that a reload changes, and how anybody can tell that it did. */
export interface Case {
  readonly key: string;
  readonly value: string | ((world: World) => string);
  /** Holds once the new value is in force, and no longer when it is taken back; or why nobody outside can tell. */
  readonly seen: Seen | { readonly nowhere: string };
  /** What it has done stays when it is taken back. */
  readonly stays?: true;
}

export type Seen = (look: Look) => Promise<boolean>;

/** What one reload changes at one end. */
export interface Step {
  readonly at: 'berlin' | 'paris';
  readonly interface?: readonly Case[];
  readonly peer?: readonly Case[];
  /** By a shell on that gateway, right before. */
  readonly prepare?: string;
}

/** Reloads, one after the other under one stretch of traffic, which are then taken back in reverse order. */
export interface Stage {
  readonly title: string;
  readonly steps: readonly Step[];
  /** What it is in the nature of these keys to cost. `order`: datagrams meet at another socket or come another way. */
  readonly costs?: 'order' | 'packets';
}

/** Looks at one end from outside. */
export class Look {
  readonly here: Site;
  readonly world: World;

  constructor(here: Site, world: World) {
    this.here = here;
    this.world = world;
  }

  async status(): Promise<StatusDocument> {
    return (await this.world.client(this.here).status()).document;
  }

  async peer(): Promise<PeerStatus> {
    return onlyPeer(await this.status());
  }

  /** What the other end says of this one. */
  async fromTheOtherEnd(): Promise<PeerStatus> {
    const { berlin, paris } = this.world.rig;
    return new Look(this.here === berlin ? paris : berlin, this.world).peer();
  }

  async logLevel(): Promise<string> {
    // The answer says what was before; then that is put back.
    const client = this.world.client(this.here);
    const { before } = await client.setLogLevel('info');
    return (await client.setLogLevel(before)).level;
  }

  metrics(): Promise<string> {
    return this.world.client(this.here).metrics();
  }

  /** What a shell command says on this gateway; nothing when it fails. */
  async run(command: string, netns: string = this.here.gateway): Promise<string> {
    const { enclosure } = this.world.rig;
    return (await enclosure.run(['sh', '-c', command], { netns, failureOk: true })).stdout;
  }

  routes(table = 'all'): Promise<string> {
    return this.run(`ip route show table ${table}`);
  }

  /** HTTP status of the metrics page on a unix socket; undefined: nobody listens. */
  page(socket: string, token?: string): Promise<number | undefined> {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return new Promise((resolve) => {
      get({ socketPath: this.world.rig.enclosure.path(socket), path: '/metrics', headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', () => resolve(undefined));
    });
  }

  /** TOS octets of the next `count` datagrams into the internet that fit `filter`, in order. */
  async trafficClasses(count: number, filter: string): Promise<readonly number[]> {
    const { internetSide = '', public4 } = this.here;
    const command = `timeout 5 tcpdump -nv -c ${count} -i ${internetSide} 'src ${public4} and udp and ${filter}'`;
    const said = await this.run(command, this.world.rig.internet);
    const classes = [...said.matchAll(/\(tos 0x([0-9a-f]+)/g)].map(([, hex = '']) => Number.parseInt(hex, 16));
    if (classes.length === 0) throw new Error(`no datagram fits ${filter}`);
    return classes;
  }

  /** Whether packets that say that they can be marked (RFC 3168) leave in datagrams that say so. */
  async carriesEcn(): Promise<boolean> {
    const { berlin, paris } = this.world.rig;
    const there = this.here === berlin ? paris : berlin;
    const pinging = this.run(`ping -n -Q 2 -s 777 -i 0.05 -c 20 ${there.host4}`, this.here.host);
    const [classes] = await Promise.all([this.trafficClasses(5, 'greater 840 and less 900'), pinging]);
    return classes.some((octet) => (octet & 3) === 2);
  }

  /** Whether a stranger who calls this end is answered: one in the internet, since the peer's address is known. */
  async answersStrangers(): Promise<boolean> {
    const { enclosure, internet = '' } = this.world.rig;
    const args = ['probe', `${this.here.public4}:4433`, '--timeout', '700ms'];
    const argv = [process.execPath, builtProgram('main.js'), ...args];
    return (await enclosure.run(argv, { netns: internet, failureOk: true })).code !== NO_ANSWER;
  }
}

/** Exit status of `dtunnel probe`. */
const NO_ANSWER = 8;

function onlyPeer({ peers: [peer] }: StatusDocument): PeerStatus {
  if (peer === undefined) throw new Error('there is a peer');
  return peer;
}

/** Its sockets are at `port`, and the other end has followed. */
const talksFrom =
  (port: number): Seen =>
  async (look) => {
    const { listening } = (await look.status()).tunnel;
    const { endpoint } = await look.fromTheOtherEnd();
    return listening.every((socket) => socket.port === port) && endpoint?.port === port;
  };
const listensAt =
  (address: string): Seen =>
  async (look) => {
    const { listening } = (await look.status()).tunnel;
    return listening.length === 1 && listening[0]?.address === address;
  };
const innerMtu =
  (mtu: number): Seen =>
  async (look) => {
    const [{ tunnel }, { path }] = [await look.status(), await look.peer()];
    return tunnel.deviceMtuBytes === mtu && path?.innerMtuBytes === mtu;
  };
const sendsWithDscp =
  (dscp: number): Seen =>
  async (look) =>
    ((await look.trafficClasses(10, 'greater 200')).at(-1) ?? 0) >> 2 === dscp;
const rekeysWithin =
  (seconds: number): Seen =>
  async (look) =>
    ((await look.peer()).rekey?.inSeconds ?? Number.POSITIVE_INFINITY) <= seconds;
const hookLeft =
  (file: string): Seen =>
  async (look) =>
    (await look.run(`ls ${file}`)) !== '';

const NEXT_START = { nowhere: 'it runs at the next start' };
const LAST_TEST = { nowhere: 'it runs when the tunnel goes down, which ends these tests' };
const TIMING = { nowhere: 'it says when something is done: test/tunnel, on virtual time' };
const RARE = { nowhere: 'this link never gets there: test/tunnel and test/dtls do' };

/** Every hot key, several in one reload where they do not hide each other. */
export const STAGES: readonly Stage[] = [
  {
    title: 'handshakes',
    steps: [
      {
        at: 'berlin',
        interface: [
          { key: 'Unknown', value: 'drop', seen: async (look) => !(await look.answersStrangers()) },
          { key: 'MaxHandshakes', value: '8', seen: RARE },
        ],
        peer: [
          { key: 'AllowLegacyPeer', value: 'yes', seen: RARE },
          { key: 'ExpirePolicy', value: 'enforce', seen: RARE },
        ],
      },
      {
        at: 'paris',
        interface: [
          {
            key: 'Ciphers',
            value: 'CHACHA20-POLY1305',
            seen: async (look) => (await look.peer()).handshake?.cipher.includes('CHACHA20') === true,
          },
          { key: 'RekeyAfter', value: '20m', seen: rekeysWithin(20 * 60) },
          {
            key: 'RekeyAfterData',
            value: '1GiB',
            seen: async (look) => ((await look.peer()).rekey?.afterBytes ?? Number.POSITIVE_INFINITY) <= 2 ** 30,
          },
        ],
      },
    ],
  },
  {
    title: 'the device and its routes',
    steps: [
      {
        at: 'paris',
        prepare: 'ip rule add pref 100 lookup 77; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding',
        interface: [
          {
            key: 'Address',
            value: '172.31.0.2/30, fd31::2/126, 172.31.9.9/32',
            seen: async (look) => (await look.run('ip addr')).includes('172.31.9.9'),
          },
          { key: 'Table', value: '77', seen: async (look) => (await look.routes('77')).includes('10.1.0.0/16') },
          { key: 'RouteMetric', value: '50', seen: async (look) => (await look.routes()).includes('metric 50') },
          { key: 'FailClosed', value: 'off', seen: async (look) => !(await look.routes()).includes('blackhole') },
          {
            key: 'Forwarding',
            value: 'set',
            seen: async (look) => (await look.run('cat /proc/sys/net/ipv6/conf/all/forwarding')).trim() === '1',
            stays: true,
          },
        ],
        peer: [
          {
            key: 'AllowedIPs',
            value: ({ rig, link }) => `${link.allowedIps(rig.paris)}, 10.50.0.0/16`,
            seen: async (look) => (await look.routes()).includes('10.50.0.0/16'),
          },
        ],
      },
    ],
  },
  {
    title: 'how large packets may be',
    steps: [
      { at: 'paris', interface: [{ key: 'MTU', value: '1300', seen: innerMtu(1300) }] },
      { at: 'berlin', peer: [{ key: 'MTU', value: '1280', seen: innerMtu(1280) }] },
    ],
  },
  {
    title: 'how datagrams are marked',
    steps: [
      {
        at: 'paris',
        interface: [
          {
            key: 'FwMark',
            value: '0x99',
            seen: async (look) => (await look.run('ss --no-header -uane sport = :4433')).includes('fwmark:0x99'),
          },
          { key: 'DSCP', value: '46', seen: sendsWithDscp(46) },
          { key: 'ECN', value: 'off', seen: async (look) => !(await look.carriesEcn()) },
        ],
      },
      { at: 'berlin', peer: [{ key: 'DSCP', value: '10', seen: sendsWithDscp(10) }] },
    ],
  },
  {
    title: 'the ports',
    costs: 'order',
    steps: [
      { at: 'paris', interface: [{ key: 'ListenPort', value: '4555', seen: talksFrom(4555) }] },
      { at: 'berlin', interface: [{ key: 'ListenPort', value: '4556', seen: talksFrom(4556) }] },
    ],
  },
  {
    title: 'the addresses of the sockets',
    costs: 'order',
    steps: [
      { at: 'paris', interface: [{ key: 'ListenAddress', value: '198.51.100.20', seen: listensAt('198.51.100.20') }] },
      { at: 'berlin', interface: [{ key: 'ListenAddress', value: '203.0.113.10', seen: listensAt('203.0.113.10') }] },
    ],
  },
  {
    title: 'where the peer is called',
    costs: 'order',
    steps: [
      {
        at: 'paris',
        peer: [
          {
            key: 'Endpoint',
            value: '[2001:db8:a::10]:4433',
            seen: async (look) => (await look.peer()).endpoint?.address === '2001:db8:a::10',
          },
        ],
      },
    ],
  },
  {
    title: 'who this is',
    steps: [
      {
        at: 'berlin',
        peer: [
          {
            key: 'Fingerprint',
            value: ({ rig, link, nextFingerprint }) => `${link.fingerprint(rig.paris)}, ${nextFingerprint}`,
            seen: async (look) => (await look.peer()).fingerprints.length === 2,
          },
        ],
      },
      {
        at: 'paris',
        interface: [
          {
            key: 'Certificate',
            value: `${FOLDER}/next.crt`,
            seen: async (look) => (await look.status()).tunnel.fingerprint === look.world.nextFingerprint,
          },
          {
            key: 'PrivateKey',
            value: `${FOLDER}/next.key`,
            seen: async (look) => (await look.fromTheOtherEnd()).fingerprint === look.world.nextFingerprint,
          },
        ],
      },
    ],
  },
  {
    title: 'the peer',
    steps: [
      {
        at: 'paris',
        peer: [
          { key: 'Name', value: 'renamed', seen: async (look) => (await look.peer()).name === 'renamed' },
          { key: 'Priority', value: '7', seen: async (look) => (await look.peer()).priority === 7 },
          { key: 'RekeyAfter', value: '10m', seen: rekeysWithin(10 * 60) },
          { key: 'Failback', value: '5s', seen: TIMING },
          { key: 'PersistentKeepalive', value: '7s', seen: TIMING },
          { key: 'DeadAfter', value: '3s', seen: TIMING },
        ],
      },
    ],
  },
  {
    title: 'how it is watched',
    steps: [
      {
        at: 'paris',
        interface: [
          {
            key: 'Metrics',
            value: 'unix:/run/metrics.sock',
            seen: async (look) => (await look.page('/run/metrics.sock')) !== undefined,
          },
          {
            key: 'MetricsToken',
            value: 'a-token-for-those-who-scrape',
            seen: async (look) => {
              const socket = '/run/metrics.sock';
              const answers = [await look.page(socket), await look.page(socket, 'a-token-for-those-who-scrape')];
              return answers.join() === '401,200';
            },
          },
          {
            key: 'MetricsDetail',
            value: 'summary',
            seen: async (look) => !(await look.metrics()).includes('dtunnel_peer_state{'),
          },
          { key: 'LogLevel', value: 'debug', seen: async (look) => (await look.logLevel()) === 'debug' },
          {
            key: 'LogFormat',
            value: 'pretty',
            seen: async (look) => !(await look.run('tail -n 1 /run/dtunnel/paris.log')).startsWith('{'),
          },
          { key: 'OnUp', value: '/bin/true', seen: NEXT_START },
          { key: 'OnDown', value: '/bin/true', seen: LAST_TEST },
        ],
      },
    ],
  },
  {
    title: 'how much may pass',
    costs: 'packets',
    steps: [
      {
        at: 'paris',
        peer: [
          {
            key: 'RateLimit',
            value: '500kbit',
            seen: async (look) => ((await look.peer()).drops['rate_limited'] ?? 0) > 0,
            stays: true,
          },
        ],
      },
    ],
  },
  {
    title: 'whether it is wanted at all',
    costs: 'packets',
    steps: [
      {
        at: 'paris',
        interface: [
          {
            key: 'OnPeerState',
            value: '/usr/bin/touch /run/on-peer-state',
            seen: hookLeft('/run/on-peer-state'),
            stays: true,
          },
        ],
        peer: [{ key: 'Enabled', value: 'no', seen: async (look) => (await look.peer()).state === 'disabled' }],
      },
    ],
  },
];
