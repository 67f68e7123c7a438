import type { ConfigChanges, Link } from '../../src/demo/link.ts';
import type { Site } from '../../src/demo/rig.ts';
import type { Choice } from './scenario.ts';

/** A file that differs from the usual one in several ways, all of them right. */
export interface RandomPlan {
  readonly text: string;
  /** What is in it, for whoever reads of a failure. */
  readonly summary: string;
  /** Networks that must have a route once it is applied. */
  readonly prefixes: readonly string[];
}

/** Draws up to six changes of the keys that a reload applies, and further peers that exist only on paper. */
export function randomPlan(
  link: Pick<Link, 'allowedIps' | 'configure' | 'text'>,
  here: Site,
  choice: Choice,
): RandomPlan {
  const interfaceKeys: Record<string, string> = {};
  const peerKeys: Record<string, string> = {};
  for (let i = choice.below(7); i > 0; i--) {
    const draw = choice.of(DRAWS);
    const [key, value] = draw.make(choice, here);
    (draw.section === 'interface' ? interfaceKeys : peerKeys)[key] = value;
  }
  const own = prefixes(choice, here, 1 + choice.below(3), 0);
  if (choice.below(2) === 0) peerKeys['AllowedIPs'] = [link.allowedIps(here), ...own].join(', ');
  const strangers = Array.from({ length: choice.below(4) }, (_, n) => stranger(choice, here, n + 1));
  const changes: ConfigChanges = { interface: interfaceKeys, peer: peerKeys };
  link.configure(here, changes);
  const text = [link.text(here), ...strangers.map(({ section }) => section)].join('\n');
  const said = [...Object.entries(interfaceKeys), ...Object.entries(peerKeys)].map(
    ([key, value]) => `${key} = ${value}`,
  );
  const usual = link
    .allowedIps(here)
    .split(', ')
    .filter((prefix) => prefix.endsWith('/16'));
  return {
    text,
    summary: [...said, `${strangers.length} more peers`].join('; '),
    prefixes: [
      ...usual,
      ...(peerKeys['AllowedIPs'] === undefined ? [] : own),
      // Without FailClosed there are no routes to peers that are down.
      ...(interfaceKeys['FailClosed'] === 'off' ? [] : strangers.flatMap((one) => one.prefixes)),
    ],
  };
}

/** A file that must be refused, and with which kinds of error. */
export interface BrokenPlan {
  readonly text: string;
  readonly summary: string;
  readonly codes: RegExp;
}

/** Spoils a good file in one of many ways. */
export function brokenPlan(good: string, choice: Choice): BrokenPlan {
  const { summary, spoil, codes } = choice.of(FAULTS);
  return { text: spoil(good), summary, codes };
}

interface Draw {
  readonly section: 'interface' | 'peer';
  make(choice: Choice, here: Site): readonly [string, string];
}

const ofInterface = (key: string, values: readonly string[]): Draw => ({
  section: 'interface',
  make: (choice) => [key, choice.of(values)],
});
const ofPeer = (key: string, values: readonly string[]): Draw => ({
  section: 'peer',
  make: (choice) => [key, choice.of(values)],
});

/** Nothing here may cost a packet: rate limits are far above the traffic, and what is inside fits every MTU. */
const DRAWS: readonly Draw[] = [
  ofInterface('ListenPort', ['4433', '4434', '4435']),
  ofInterface('MTU', ['auto', '1280', '1300', '1400', '9000']),
  {
    section: 'interface',
    make: (choice, here) => [
      'Address',
      [here.inner4, here.inner6, ...(choice.below(2) === 0 ? [`172.31.${1 + choice.below(200)}.1/32`] : [])].join(', '),
    ],
  },
  ofInterface('Metrics', ['127.0.0.1:9469', '127.0.0.1:9470', 'off', 'unix:/run/metrics.sock']),
  ofInterface('MetricsDetail', ['full', 'summary']),
  ofInterface('DSCP', ['clear', 'copy', '46', '0']),
  ofInterface('ECN', ['on', 'off']),
  ofInterface('LogLevel', ['debug', 'info', 'warn', 'error']),
  ofInterface('RouteMetric', ['50', '500']),
  ofInterface('FailClosed', ['on', 'off']),
  ofInterface('Forwarding', ['check', 'off']),
  ofInterface('Unknown', ['challenge', 'drop']),
  ofInterface('MaxHandshakes', ['auto', '16', '4096']),
  ofInterface('RekeyAfter', ['1h', '30s', 'off']),
  ofInterface('RekeyAfterData', ['auto', '16MiB', '4MiB']),
  ofInterface('Ciphers', ['AES128-GCM', 'AES256-GCM, CHACHA20-POLY1305', 'CHACHA20-POLY1305, AES128-GCM, AES256-GCM']),
  ofPeer('Priority', ['1', '100', '200']),
  ofPeer('Failback', ['1s', '60s']),
  ofPeer('PersistentKeepalive', ['auto', '5s', 'off']),
  ofPeer('DeadAfter', ['2s', '10s', '30s']),
  ofPeer('MTU', ['1280', '1400']),
  ofPeer('DSCP', ['copy', 'clear', '10']),
  ofPeer('RateLimit', ['off', '1gbit', '2.5gbit']),
  ofPeer('ExpirePolicy', ['warn', 'enforce']),
];

/** Networks that nobody else has: 10.128 … 10.191 at Berlin, 10.192 … 10.255 at Paris; `n` keeps peers apart. */
function prefixes(choice: Choice, here: Site, count: number, n: number): readonly string[] {
  const high = (here.name === 'berlin' ? 128 : 192) + n * 8;
  const drawn = Array.from({ length: count }, () => `10.${high + choice.below(8)}.${choice.below(64) * 4}.0/22`);
  return [...new Set(drawn)];
}

/** A peer that nobody is: its calls go to a documentation network (RFC 5737) that is not there. */
function stranger(
  choice: Choice,
  here: Site,
  n: number,
): { readonly section: string; readonly prefixes: readonly string[] } {
  const mine = prefixes(choice, here, 1 + choice.below(4), n);
  const fingerprint = Array.from({ length: 32 }, () => choice.below(256).toString(16).padStart(2, '0')).join(':');
  const endpoint = choice.below(3) === 0 ? `Endpoint = 192.0.2.${1 + choice.below(250)}:4433\n` : '';
  const enabled = choice.below(6) === 0 ? 'Enabled = no\n' : '';
  const section = `[Peer stranger${n}]\nFingerprint = ${fingerprint}\n${endpoint}${enabled}AllowedIPs = ${mine.join(', ')}\n`;
  return { section, prefixes: enabled === '' ? mine : [] };
}

const STRANGER = `Fingerprint = ${'ab'.repeat(32)}`;

const FAULTS: readonly {
  readonly summary: string;
  readonly codes: RegExp;
  readonly spoil: (good: string) => string;
}[] = [
  { summary: 'an unknown key', codes: /^S030$/, spoil: (good) => `${good}\nEndpiont = 192.0.2.1:4433\n` },
  { summary: 'an unknown section', codes: /^S030$/, spoil: (good) => `${good}\n[Pear]\nName = x\n` },
  {
    summary: 'an MTU below every path',
    codes: /^S030$/,
    spoil: (good) => good.replace('[Interface]', '[Interface]\nMTU = 100'),
  },
  {
    summary: 'a key given twice',
    codes: /^S030$/,
    spoil: (good) => good.replace('[Interface]', '[Interface]\nListenPort = 4433\nListenPort = 4434'),
  },
  {
    summary: 'two peers with one network',
    codes: /^S030$/,
    spoil: (good) => {
      const priority = /^Priority.*$/m.exec(good)?.[0] ?? '';
      return `${good}\n[Peer twin]\n${STRANGER}\nAllowedIPs = 10.1.0.0/16, 10.2.0.0/16\n${priority}\n`;
    },
  },
  {
    summary: 'a peer without fingerprint',
    codes: /^S030$/,
    spoil: (good) => `${good}\n[Peer x]\nAllowedIPs = 10.77.0.0/16\n`,
  },
  {
    summary: 'a fingerprint that is too short',
    codes: /^S030$/,
    spoil: (good) => `${good}\n[Peer x]\nFingerprint = ab:cd\nAllowedIPs = 10.77.0.0/16\n`,
  },
  {
    summary: 'an address that is none',
    codes: /^S030$/,
    spoil: (good) => `${good}\n[Peer x]\n${STRANGER}\nAllowedIPs = 10.777.0.0/16\n`,
  },
  { summary: 'a line that is no setting', codes: /^S030$/, spoil: (good) => `${good}\nthis is not a setting\n` },
  {
    summary: 'a file that was cut off',
    codes: /^S030$/,
    spoil: (good) => good.slice(0, good.indexOf('PrivateKey') + 5),
  },
  { summary: 'nothing', codes: /^S030$/, spoil: () => '' },
  {
    summary: 'another number of lanes',
    codes: /^S031$/,
    spoil: (good) => good.replace('[Interface]', '[Interface]\nLanes = 2'),
  },
  {
    summary: 'a certificate that is not there',
    codes: /^K/,
    spoil: (good) => good.replace(/^Certificate.*$/m, 'Certificate = /run/sites/nobody.crt'),
  },
];
