import fc from 'fast-check';
import { type Fingerprint, ms, type TunMtu } from '../../src/base/brand.ts';
import type { InterfaceSettings, PeerSettings, Settings } from '../../src/config/settings.ts';
import { parseAddress } from '../../src/net/address.ts';
import { type InterfaceAddress, type Prefix, parseInterfaceAddress, parsePrefix } from '../../src/net/prefix.ts';

/**
 * Settings that hold together: whatever this yields, `renderSettings` writes as a text that reads back to the same
 * value. Peers have names, certificates and prefixes of their own, except for pairs that share a prefix as standbys.
 */
export function arbitrarySettings(limits: { readonly maxPeers: number } = { maxPeers: 6 }): fc.Arbitrary<Settings> {
  return fc
    .tuple(arbitraryInterface(), fc.array(arbitraryPeer(), { maxLength: limits.maxPeers }), fc.boolean())
    .map(([iface, drafts, standby]) => {
      const peers = drafts.map((peer, index) => ownPeer(peer, index, standby));
      const mustListen = peers.some((peer) => peer.enabled && peer.endpoints.length === 0);
      return {
        interface: mustListen && iface.listenPort === 0 ? { ...iface, listenPort: 4433 } : iface,
        peers,
      };
    });
}

/** Two settings of which the second came from the first by a few changes, as an operator would make them. */
export function arbitraryChange(): fc.Arbitrary<readonly [Settings, Settings]> {
  return fc
    .tuple(arbitrarySettings(), arbitrarySettings(), fc.infiniteStream(fc.boolean()))
    .map(([from, other, coins]) => {
      const keep = (): boolean => coins.next().value === true;
      const iface = keep() ? from.interface : other.interface;
      const peers = from.peers.flatMap((peer, i) =>
        keep() ? [peer] : other.peers[i] === undefined ? [] : [other.peers[i]],
      );
      const mustListen = peers.some((peer) => peer.enabled && peer.endpoints.length === 0);
      const listenPort = mustListen && iface.listenPort === 0 ? 4433 : iface.listenPort;
      return [from, { interface: { ...iface, listenPort }, peers }] as const;
    });
}

const NAME = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_=+.-]{0,13}$/);

const MTU: fc.Arbitrary<'auto' | TunMtu> = fc.oneof(
  fc.constant('auto' as const),
  fc.integer({ min: 1280, max: 65535 }).map((mtu) => mtu as TunMtu),
);
const DSCP = fc.oneof(fc.constantFrom('copy' as const, 'clear' as const), fc.integer({ min: 0, max: 63 }));
const DURATION = fc.integer({ min: 1000, max: 3_600_000 }).map(ms);
const REKEY = fc.oneof(fc.constant('off' as const), DURATION);
const PORT = fc.integer({ min: 1, max: 65535 });
const COMMAND = fc.option(
  fc
    .tuple(
      fc.stringMatching(/^\/[a-z/ ]{0,20}[a-z]$/),
      fc.array(fc.string({ maxLength: 12, unit: 'grapheme' }), { maxLength: 3 }),
    )
    .map(([program, words]) => [program, ...words.map(oneLine)]),
  { nil: undefined },
);

/** What a quoted value can hold: everything but control characters other than a tab and a newline. */
function oneLine(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]|\p{Cs}|\uFFFD/gu, '');
}

function arbitraryInterface(): fc.Arbitrary<InterfaceSettings> {
  return fc
    .record({
      name: NAME,
      addresses: fc.uniqueArray(
        fc
          .tuple(fc.boolean(), fc.integer({ min: 0, max: 255 }), fc.nat({ max: 24 }))
          .map(([v6, n, more]) => inner(v6 ? `fd31:${n.toString(16)}::1/${64 + more}` : `172.31.${n}.1/${8 + more}`)),
        { minLength: 1, maxLength: 3, selector: (address) => address.address },
      ),
      certificate: fc.constantFrom('/etc/dtunnel/a.crt', 'credential:a.crt', '/etc/my keys/"a", b;#.crt'),
      privateKey: fc.constantFrom('/etc/dtunnel/a.key', 'credential:a.key'),
      listenPort: fc.oneof(fc.constant(0), PORT),
      listenAddresses: fc.constantFrom([], ['203.0.113.10'], ['203.0.113.10', '2001:db8::10']),
      mtu: MTU,
      table: fc.oneof(fc.constantFrom('auto' as const, 'off' as const), fc.integer({ min: 1, max: 2 ** 32 - 1 })),
      routeMetric: fc.option(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { nil: undefined }),
      forwarding: fc.constantFrom('check' as const, 'set' as const, 'off' as const),
      failClosed: fc.boolean(),
      fwMark: fc.option(fc.integer({ min: 1, max: 2 ** 32 - 1 }), { nil: undefined }),
      dscp: DSCP,
      ecn: fc.boolean(),
      ciphers: fc.oneof(
        fc.constant('auto' as const),
        fc.shuffledSubarray(['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'] as const, { minLength: 1 }),
      ),
      crypto: fc.constantFrom('auto' as const, 'openssl' as const),
      rekeyAfter: REKEY,
      rekeyAfterData: fc.oneof(fc.constant('auto' as const), fc.integer({ min: 2 ** 16, max: 2 ** 52 })),
      unknown: fc.constantFrom('challenge' as const, 'drop' as const),
      maxHandshakes: fc.oneof(fc.constant('auto' as const), fc.integer({ min: 1, max: 65536 })),
      metrics: fc.oneof(
        fc.constant({ kind: 'off' } as const),
        fc.constant({ kind: 'unix', path: '/run/dtunnel/metrics.sock' } as const),
        fc.record({
          kind: fc.constant('tcp' as const),
          host: fc.constantFrom('127.0.0.1', '::1', 'localhost'),
          port: PORT,
        }),
      ),
      metricsToken: fc.option(fc.stringMatching(/^[A-Za-z0-9._~+/-]{16,40}$/), { nil: undefined }),
      metricsDetail: fc.constantFrom('full' as const, 'summary' as const),
      logLevel: fc.constantFrom('trace' as const, 'debug' as const, 'info' as const, 'warn' as const, 'error' as const),
      logFormat: fc.constantFrom('auto' as const, 'pretty' as const, 'json' as const),
      lanes: fc.oneof(fc.constant('auto' as const), fc.integer({ min: 1, max: 16 })),
      disableOffloads: fc.subarray(['tun-tso', 'udp-segment', 'udp-gro']),
      realtime: fc.boolean(),
      onUp: COMMAND,
      onDown: COMMAND,
      onPeerState: COMMAND,
    })
    .map((iface) => ({ ...iface, listenAddresses: iface.listenAddresses.flatMap((text) => parseAddress(text) ?? []) }));
}

/** A peer before it is given what must be its own. */
function arbitraryPeer(): fc.Arbitrary<
  Omit<PeerSettings, 'name' | 'fingerprints' | 'allowedIps'> & { readonly two: boolean }
> {
  return fc.record({
    two: fc.boolean(),
    endpoints: fc.uniqueArray(
      fc.record({ host: fc.constantFrom('vpn.example.net', '203.0.113.77', '2001:db8::77'), port: PORT }),
      { maxLength: 3, selector: ({ host, port }) => `${host} ${port}` },
    ),
    priority: fc.integer({ min: 0, max: 65535 }),
    failback: fc.integer({ min: 0, max: 86_400_000 }).map(ms),
    persistentKeepalive: fc.oneof(fc.constantFrom('off' as const, 'auto' as const), DURATION),
    deadAfter: fc.integer({ min: 100, max: 3_600_000 }).map(ms),
    mtu: MTU,
    dscp: DSCP,
    rekeyAfter: REKEY,
    expirePolicy: fc.constantFrom('warn' as const, 'enforce' as const),
    rateLimit: fc.option(fc.integer({ min: 16_000, max: 1e10 }), { nil: undefined }),
    allowLegacyPeer: fc.boolean(),
    enabled: fc.boolean(),
  });
}

function ownPeer(
  peer: Omit<PeerSettings, 'name' | 'fingerprints' | 'allowedIps'> & { readonly two: boolean },
  index: number,
  standby: boolean,
): PeerSettings {
  const { two, ...rest } = peer;
  const pin = (salt: string): Fingerprint => `${salt}${index.toString(16)}`.padStart(64, '0') as Fingerprint;
  // Neighbours in a pair serve one prefix, with priorities that differ by their parity.
  const group = standby ? index - (index % 2) : index;
  return {
    ...rest,
    name: `peer-${index}`,
    fingerprints: two ? [pin('a'), pin('b')] : [pin('a')],
    allowedIps: [block(`10.${group}.0.0/16`), block(`fd00:${index.toString(16)}::/64`)],
    priority: peer.priority - (peer.priority % 2) + (index % 2),
  };
}

function inner(text: string): InterfaceAddress {
  const parsed = parseInterfaceAddress(text);
  if (parsed === undefined) throw new Error(`the generator made ${text}`);
  return parsed;
}

function block(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`the generator made ${text}`);
  return parsed;
}
