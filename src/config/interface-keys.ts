import type { Duration, TunMtu } from '../base/brand.ts';
import type { AeadName } from '../crypto/aead.ts';
import { prefixText } from '../net/prefix.ts';
import { type DefaultedKey, type Key, type KeyInfo, type KeySpec, defaulted, key } from './key.ts';
import type { InterfaceSettings } from './settings.ts';
import { duration, durationText, size, sizeText } from './units.ts';
import { type ValueParser, choice, either, integer, parseSwitch, word } from './value.ts';
import {
  cipherText,
  metricsText,
  parseCertificatePath,
  parseCipher,
  parseInnerAddress,
  parseKeyPath,
  parseLocalAddress,
  parseMark,
  parseMetrics,
  parseMtu,
  parseToken,
  parseTunnelName,
} from './values.ts';

type Setting<T> = KeySpec<T, InterfaceSettings>;
type WithDefault<T> = Setting<T> & { readonly default: string };
const optional = <T>(spec: Setting<T>): Key<T, InterfaceSettings> => key(spec);
const preset = <T>(spec: WithDefault<T>): DefaultedKey<T, InterfaceSettings> => defaulted(spec);

/** `auto`, or an inner MTU. */
export const mtuOrAuto: ValueParser<'auto' | TunMtu> = either(word('auto', 'auto'), parseMtu);

/** The DSCP of outer packets (RFC 2474: six bits). */
export const dscpValue: ValueParser<'copy' | 'clear' | number> = either(
  choice(['copy', 'clear']),
  integer('DSCP', 0, 63, 'copy or clear'),
);

/** When keys are replaced: often enough to matter, not so often that handshakes overlap. */
export const rekeyPeriod: ValueParser<Duration | 'off'> = either(
  word('off', 'off'),
  duration(1000, 365 * 86_400_000, 'off'),
);

/** `off`, or a duration as written. */
export function durationOrWord(value: Duration | 'off' | 'auto'): string {
  return typeof value === 'string' ? value : durationText(value);
}

const onOff = (value: boolean): string => (value ? 'on' : 'off');
const maybe = (value: number | string | undefined): readonly string[] => (value === undefined ? [] : [`${value}`]);

const parseCommandWord: ValueParser<string> = (text) => ({ ok: true, value: text });

function hook(name: string, help: string, field: 'onUp' | 'onDown' | 'onPeerState'): Key<string, InterfaceSettings> {
  return optional({
    name,
    kind: 'command',
    type: 'absolute path and arguments',
    default: 'none',
    help,
    parse: parseCommandWord,
    texts: (s) => s[field] ?? [],
  });
}

/** The keys of [Interface], one for each field of InterfaceSettings, in the order of the reference. */
export const INTERFACE = {
  name: optional({
    name: 'Name',
    type: 'name',
    default: 'base name of the file',
    hot: false,
    help: 'tunnel and device name, 1 to 15 of A-Z a-z 0-9 _ = + . -',
    parse: parseTunnelName,
    texts: (s) => [s.name],
  }),
  addresses: optional({
    name: 'Address',
    kind: 'list',
    type: 'address/length',
    required: true,
    help: 'inner addresses of this side, IPv4 and IPv6',
    parse: parseInnerAddress,
    texts: (s) => s.addresses.map(prefixText),
  }),
  certificate: optional({
    name: 'Certificate',
    type: 'path or credential:NAME',
    required: true,
    note: 'next handshake',
    help: 'PEM file with the certificate of this side',
    parse: parseCertificatePath,
    texts: (s) => [s.certificate],
  }),
  privateKey: optional({
    name: 'PrivateKey',
    type: 'path or credential:NAME',
    required: true,
    note: 'next handshake',
    help: 'PEM file with its key, mode 0600 or 0400, owned by the user or root; may be the certificate file',
    parse: parseKeyPath,
    texts: (s) => [s.privateKey],
  }),
  listenPort: optional({
    name: 'ListenPort',
    type: 'port',
    default: 'chosen by the kernel if every peer has an Endpoint, else required',
    note: 'both sockets for 30 s',
    help: 'UDP port',
    parse: integer('port', 1, 65535),
    texts: (s) => (s.listenPort === 0 ? [] : [`${s.listenPort}`]),
  }),
  listenAddresses: optional({
    name: 'ListenAddress',
    kind: 'list',
    type: 'address',
    default: 'every address',
    note: 'both sockets for 30 s',
    help: 'local addresses to listen on',
    parse: parseLocalAddress,
    texts: (s) => s.listenAddresses,
  }),
  mtu: preset({
    name: 'MTU',
    type: 'auto or 576-65535',
    default: 'auto',
    help: 'inner MTU: auto discovers it per path, a number is a ceiling; at least 1280 to carry IPv6',
    parse: mtuOrAuto,
    texts: (s) => [`${s.mtu}`],
  }),
  table: preset({
    name: 'Table',
    type: 'auto, off or table number',
    default: 'auto',
    help: 'routing table for the routes to AllowedIPs: auto is the main one, off makes none',
    parse: either<'auto' | 'off', number>(
      choice(['auto', 'off']),
      integer('routing table', 1, 0xffffffff, 'auto or off'),
    ),
    texts: (s) => [`${s.table}`],
  }),
  routeMetric: optional({
    name: 'RouteMetric',
    type: 'number',
    default: "the kernel's",
    help: 'metric of those routes',
    parse: integer('metric', 0, 0xffffffff),
    texts: (s) => maybe(s.routeMetric),
  }),
  forwarding: preset({
    name: 'Forwarding',
    type: 'check, set or off',
    default: 'check',
    help: 'check warns if the host does not forward, set makes it forward, off leaves it alone',
    parse: choice(['check', 'set', 'off']),
    texts: (s) => [s.forwarding],
  }),
  failClosed: preset({
    name: 'FailClosed',
    type: 'on or off',
    default: 'on',
    help: 'keep blackhole routes for AllowedIPs while a peer is down, so that nothing leaves in the clear',
    parse: parseSwitch,
    texts: (s) => [onOff(s.failClosed)],
  }),
  fwMark: optional({
    name: 'FwMark',
    type: 'off, number or 0xHEX',
    default: 'off',
    help: 'mark on outer packets, for policy routing',
    parse: either<number | undefined, number>(word('off', undefined), parseMark),
    texts: (s) => (s.fwMark === undefined ? [] : [`0x${s.fwMark.toString(16)}`]),
  }),
  dscp: preset({
    name: 'DSCP',
    type: 'copy, clear or 0-63',
    default: 'clear',
    help: 'DSCP of outer packets: copy that of the inner packet, clear it, or fix it',
    parse: dscpValue,
    texts: (s) => [`${s.dscp}`],
  }),
  ecn: preset({
    name: 'ECN',
    type: 'on or off',
    default: 'on',
    help: 'carry congestion marks through the tunnel (RFC 6040)',
    parse: parseSwitch,
    texts: (s) => [onOff(s.ecn)],
  }),
  ciphers: optional({
    name: 'Ciphers',
    kind: 'list',
    type: 'AES128-GCM, AES256-GCM, CHACHA20-POLY1305',
    default: 'all, ordered by what the CPU does best',
    note: 'next handshake',
    help: 'ciphers to offer and accept, the best first',
    parse: parseCipher,
    texts: (s) => (s.ciphers === 'auto' ? [] : s.ciphers.map((aead: AeadName) => cipherText(aead))),
  }),
  crypto: preset({
    name: 'Crypto',
    type: 'auto or openssl',
    default: 'auto',
    hot: false,
    help: 'cipher implementation of the data plane: auto is the fastest that passes its self-test',
    parse: choice(['auto', 'openssl']),
    texts: (s) => [s.crypto],
  }),
  rekeyAfter: preset({
    name: 'RekeyAfter',
    type: 'duration or off',
    default: '1h',
    help: 'fresh keys after this time, made before the old ones go',
    parse: rekeyPeriod,
    texts: (s) => [durationOrWord(s.rekeyAfter)],
  }),
  rekeyAfterData: preset({
    name: 'RekeyAfterData',
    type: 'auto or size',
    default: 'auto',
    help: "fresh keys after this much data: auto is a quarter of the cipher's limit",
    parse: either<'auto', number>(word('auto', 'auto'), size(2 ** 16, 'auto')),
    texts: (s) => [s.rekeyAfterData === 'auto' ? 'auto' : sizeText(s.rekeyAfterData)],
  }),
  unknown: preset({
    name: 'Unknown',
    type: 'challenge or drop',
    default: 'challenge',
    help: 'what a first packet from a stranger gets: a stateless cookie, or nothing',
    parse: choice(['challenge', 'drop']),
    texts: (s) => [s.unknown],
  }),
  maxHandshakes: preset({
    name: 'MaxHandshakes',
    type: 'auto or 1-65536',
    default: 'auto',
    help: 'half-open handshakes at one time',
    parse: either<'auto', number>(word('auto', 'auto'), integer('number of handshakes', 1, 65536, 'auto')),
    texts: (s) => [`${s.maxHandshakes}`],
  }),
  metrics: preset({
    name: 'Metrics',
    type: 'address:port, unix:PATH or off',
    default: '127.0.0.1:9469',
    help: 'HTTP listener for /metrics, /livez, /readyz and the status page',
    parse: parseMetrics,
    texts: (s) => [metricsText(s.metrics)],
  }),
  metricsToken: optional({
    name: 'MetricsToken',
    type: 'token or credential:NAME',
    default: 'none',
    secret: true,
    help: 'bearer token that scrapes must bring; required unless Metrics is a loopback address or a socket',
    parse: parseToken,
    texts: (s) => maybe(s.metricsToken),
  }),
  metricsDetail: preset({
    name: 'MetricsDetail',
    type: 'full or summary',
    default: 'full',
    help: 'summary keeps to six series per peer, for thousands of peers',
    parse: choice(['full', 'summary']),
    texts: (s) => [s.metricsDetail],
  }),
  logLevel: preset({
    name: 'LogLevel',
    type: 'trace, debug, info, warn or error',
    default: 'info',
    help: 'least important line that is logged',
    parse: choice(['trace', 'debug', 'info', 'warn', 'error']),
    texts: (s) => [s.logLevel],
  }),
  logFormat: preset({
    name: 'LogFormat',
    type: 'auto, pretty or json',
    default: 'auto',
    help: 'auto is pretty on a terminal, else json',
    parse: choice(['auto', 'pretty', 'json']),
    texts: (s) => [s.logFormat],
  }),
  lanes: preset({
    name: 'Lanes',
    type: 'auto or 1-16',
    default: 'auto',
    hot: false,
    help: 'data-plane lanes: pairs of threads, each with its own outer UDP flow',
    parse: either<'auto', number>(word('auto', 'auto'), integer('number of lanes', 1, 16, 'auto')),
    texts: (s) => [`${s.lanes}`],
  }),
  disableOffloads: optional({
    name: 'DisableOffloads',
    kind: 'list',
    type: 'offload names',
    default: 'none',
    hot: false,
    help: 'kernel offloads to leave off: tun-tso, tun-uso, tun-coalesce-tcp, tun-coalesce-udp, udp-segment, udp-gro',
    parse: choice(['tun-tso', 'tun-uso', 'tun-coalesce-tcp', 'tun-coalesce-udp', 'udp-segment', 'udp-gro']),
    texts: (s) => s.disableOffloads,
  }),
  realtime: preset({
    name: 'Realtime',
    type: 'on or off',
    default: 'off',
    hot: false,
    help: 'run the data threads under SCHED_FIFO: less latency under load for more CPU (needs CAP_SYS_NICE)',
    parse: parseSwitch,
    texts: (s) => [onOff(s.realtime)],
  }),
  onUp: hook('OnUp', 'run when the tunnel is up; no shell, 5 s at most, never fatal', 'onUp'),
  onDown: hook('OnDown', 'run before the tunnel goes down', 'onDown'),
  onPeerState: hook('OnPeerState', "run when a peer's state changes", 'onPeerState'),
} satisfies Record<keyof InterfaceSettings, KeyInfo<InterfaceSettings>>;
