import type { Duration, TunMtu } from '../base/brand.ts';
import { endpointText } from '../net/endpoint.ts';
import { prefixText } from '../net/prefix.ts';
import { formatFingerprint } from '../crypto/fingerprint.ts';
import { parseFingerprintValue } from './fingerprint-value.ts';
import { dscpValue, durationOrWord, mtuOrAuto, rekeyPeriod } from './interface-keys.ts';
import { type DefaultedKey, type Key, type KeyInfo, type KeySpec, defaulted, key } from './key.ts';
import type { PeerSettings } from './settings.ts';
import { duration, durationText, parseRate, rateText } from './units.ts';
import { choice, either, integer, parseSwitch, word } from './value.ts';
import { parseBlock, parseEndpoint, parsePeerName, remarkHostBits } from './values.ts';

type Setting<T> = KeySpec<T, PeerSettings>;
const optional = <T>(spec: Setting<T>): Key<T, PeerSettings> => key(spec);
const preset = <T>(spec: Setting<T> & { readonly default: string }): DefaultedKey<T, PeerSettings> => defaulted(spec);

const HOUR = 3_600_000;
const yesNo = (value: boolean): string => (value ? 'yes' : 'no');

/** The keys of [Peer], one for each field of PeerSettings, in the order of the reference. */
export const PEER = {
  name: optional({
    name: 'Name',
    type: 'name',
    default: 'first 8 hex digits of the fingerprint',
    help: 'label in status, log and metrics; may be written [Peer NAME]',
    parse: parsePeerName,
    texts: (p) => [p.name],
  }),
  fingerprints: optional({
    name: 'Fingerprint',
    kind: 'list',
    type: 'SHA-256 in hex, colon hex or SHA256:base64',
    required: true,
    note: 'a removed certificate is cut off within 100 ms',
    help: "SHA-256 of the peer's certificate; two while it is being rotated",
    parse: parseFingerprintValue,
    texts: (p) => p.fingerprints.map((fingerprint) => formatFingerprint(fingerprint)),
  }),
  endpoints: optional({
    name: 'Endpoint',
    kind: 'list',
    type: 'host:port',
    default: 'none: this side only listens',
    help: 'where to call the peer; several are tried in this order, a second one is kept warm as standby',
    parse: parseEndpoint,
    texts: (p) => p.endpoints.map(endpointText),
  }),
  allowedIps: optional({
    name: 'AllowedIPs',
    kind: 'list',
    type: 'address/length',
    required: true,
    help: 'networks behind the peer: packets to them are sent to it, and it may send from them',
    parse: parseBlock,
    remark: remarkHostBits,
    texts: (p) => p.allowedIps.map(prefixText),
  }),
  priority: preset({
    name: 'Priority',
    type: '0-65535',
    default: '100',
    help: 'of peers with the same prefix the lowest that is up carries it',
    parse: integer('priority', 0, 65535),
    texts: (p) => [`${p.priority}`],
  }),
  failback: preset({
    name: 'Failback',
    type: 'duration',
    default: '60s',
    help: 'how long a better endpoint or peer must stay up before traffic goes back to it',
    parse: duration(0, 24 * HOUR),
    texts: (p) => [durationText(p.failback)],
  }),
  persistentKeepalive: preset({
    name: 'PersistentKeepalive',
    type: 'auto, duration or off',
    default: 'auto',
    help: 'keeps NAT mappings open while idle: auto starts at 25 s and adapts',
    parse: either<Duration | 'off' | 'auto', Duration>(
      choice(['auto', 'off']),
      duration(1000, 65_535_000, 'auto or off'),
    ),
    texts: (p) => [durationOrWord(p.persistentKeepalive)],
  }),
  deadAfter: optional({
    name: 'DeadAfter',
    type: 'duration',
    default: '1500ms with a standby (second Endpoint, or a peer of other Priority), else 10s',
    help: 'silence, with probes unanswered, after which the peer is down',
    parse: duration(100, HOUR),
    texts: (p) => [durationText(p.deadAfter)],
  }),
  mtu: optional<'auto' | TunMtu>({
    name: 'MTU',
    type: 'auto or 576-65535',
    default: 'that of [Interface]',
    help: 'inner MTU towards this peer',
    parse: mtuOrAuto,
    texts: (p) => [`${p.mtu}`],
  }),
  dscp: optional({
    name: 'DSCP',
    type: 'copy, clear or 0-63',
    default: 'that of [Interface]',
    help: 'DSCP of outer packets to this peer',
    parse: dscpValue,
    texts: (p) => [`${p.dscp}`],
  }),
  rekeyAfter: optional({
    name: 'RekeyAfter',
    type: 'duration or off',
    default: 'that of [Interface]',
    help: 'fresh keys with this peer after this time',
    parse: rekeyPeriod,
    texts: (p) => [durationOrWord(p.rekeyAfter)],
  }),
  expirePolicy: preset({
    name: 'ExpirePolicy',
    type: 'warn or enforce',
    default: 'warn',
    help: 'warn of a certificate outside its dates, or refuse it; the pin is the authority',
    parse: choice(['warn', 'enforce']),
    texts: (p) => [p.expirePolicy],
  }),
  rateLimit: optional({
    name: 'RateLimit',
    type: 'off or rate',
    default: 'off',
    help: 'token bucket on inner traffic, in each direction: 500kbit, 20mbit, 1.5gbit',
    parse: either<number | undefined, number>(word('off', undefined), parseRate),
    texts: (p) => (p.rateLimit === undefined ? [] : [rateText(p.rateLimit)]),
  }),
  allowLegacyPeer: preset({
    name: 'AllowLegacyPeer',
    type: 'yes or no',
    default: 'no',
    note: 'next handshake',
    help: 'accept a peer without extended_master_secret (RFC 7627)',
    parse: parseSwitch,
    texts: (p) => [yesNo(p.allowLegacyPeer)],
  }),
  enabled: preset({
    name: 'Enabled',
    type: 'yes or no',
    default: 'yes',
    help: 'no keeps the block but closes the session',
    parse: parseSwitch,
    texts: (p) => [yesNo(p.enabled)],
  }),
} satisfies Record<keyof PeerSettings, KeyInfo<PeerSettings>>;
