import type { GroupName, SuiteName } from '../../src/dtls/options.ts';
import type { CertificateKind } from './peers/credentials.ts';
import type { PeerName } from './peers/peers.ts';

/** One meeting of the engine with a foreign library: one value of each dimension. */
export interface Case {
  readonly peer: PeerName;
  /** The engine's role. */
  readonly role: 'client' | 'server';
  readonly aead: Aead;
  readonly group: GroupName;
  readonly certificate: CertificateKind;
  readonly cid: 'on' | 'off';
  /** Largest datagram that either end sends, octets. */
  readonly limit: 1400 | 600 | 300;
  readonly path: 'plain' | 'lossy';
}

export type Aead = 'AES-128-GCM' | 'AES-256-GCM' | 'ChaCha20-Poly1305';

/** Every value of every dimension. */
export const DIMENSIONS = {
  peer: ['openssl', 'gnutls', 'mbedtls', 'wolfssl', 'botan', 'mbedtls-new', 'wolfssl-new'],
  role: ['client', 'server'],
  aead: ['AES-128-GCM', 'AES-256-GCM', 'ChaCha20-Poly1305'],
  group: ['x25519', 'secp256r1', 'secp384r1'],
  certificate: ['P-256', 'P-384', 'Ed25519', 'RSA-2048'],
  cid: ['on', 'off'],
  limit: [1400, 600, 300],
  path: ['plain', 'lossy'],
} as const satisfies { readonly [D in keyof Case]: readonly Case[D][] };

/** What the library of a peer has, as far as the cases hang on it. */
export interface Abilities {
  /** As people know it. */
  readonly title: string;
  /** RFC 9146. */
  readonly connectionIds: boolean;
  /** Whether it can present and judge an Ed25519 certificate in DTLS 1.2; `as-client`: present one only as a client. */
  readonly ed25519: 'yes' | 'as-client' | 'no';
  /** Whether its own datagrams can be limited; if not, the limit binds the engine alone. */
  readonly limit: boolean;
  /** Whether as a server it sends its last flight again when the client repeats its own (RFC 6347 §4.2.4). */
  readonly repeatsLastFlight: boolean;
}

export const ABILITIES: Readonly<Record<PeerName, Abilities>> = {
  // OpenSSL allows Ed25519 under ECDSA suites in TLS 1.2 proper only, where a server has to choose by its certificate.
  openssl: { title: 'OpenSSL 3.0', connectionIds: false, ed25519: 'as-client', limit: true, repeatsLastFlight: true },
  gnutls: { title: 'GnuTLS 3.7', connectionIds: false, ed25519: 'yes', limit: true, repeatsLastFlight: true },
  mbedtls: { title: 'Mbed TLS 2.28', connectionIds: false, ed25519: 'no', limit: true, repeatsLastFlight: true },
  // Debian's builds: no datagram limit, and no way to ask for an Ed25519 certificate of the far end.
  wolfssl: { title: 'wolfSSL 5.5', connectionIds: false, ed25519: 'no', limit: false, repeatsLastFlight: true },
  // Its server is done when it has sent Finished: if that is lost, no client of any library gets through.
  botan: { title: 'Botan 2.19', connectionIds: false, ed25519: 'no', limit: true, repeatsLastFlight: false },
  'mbedtls-new': { title: 'Mbed TLS 3.6', connectionIds: true, ed25519: 'no', limit: true, repeatsLastFlight: true },
  'wolfssl-new': { title: 'wolfSSL 5.9', connectionIds: true, ed25519: 'yes', limit: true, repeatsLastFlight: true },
};

/** Whether the library has what the case needs. */
export function isPossible(one: Case): boolean {
  const { connectionIds, ed25519, repeatsLastFlight } = ABILITIES[one.peer];
  if (one.cid === 'on' && !connectionIds) return false;
  if (one.certificate === 'Ed25519' && ed25519 === 'no') return false;
  return one.path === 'plain' || one.role === 'server' || repeatsLastFlight;
}

/** Every possible case with one of these peers. */
export function fullProduct(peers: readonly PeerName[]): Case[] {
  const out: Case[] = [];
  for (const peer of DIMENSIONS.peer) {
    if (!peers.includes(peer)) continue;
    for (const role of DIMENSIONS.role)
      for (const aead of DIMENSIONS.aead)
        for (const group of DIMENSIONS.group)
          for (const certificate of DIMENSIONS.certificate)
            for (const cid of DIMENSIONS.cid)
              for (const limit of DIMENSIONS.limit)
                for (const path of DIMENSIONS.path) {
                  const one = { peer, role, aead, group, certificate, cid, limit, path };
                  if (isPossible(one)) out.push(one);
                }
  }
  return out;
}

/**
 * A small part of the product in which, for every library and each role, every possible pair of values of any two of the
 * other dimensions occurs: whatever goes wrong because two settings meet shows up with every library in both roles.
 */
export function coveringDesign(peers: readonly PeerName[]): Case[] {
  const product = fullProduct(peers);
  return peers.flatMap((peer) =>
    DIMENSIONS.role.flatMap((role) => cover(product.filter((one) => one.peer === peer && one.role === role))),
  );
}

/** Takes, again and again, the case that covers most of what is not covered yet. */
function cover(product: readonly Case[]): Case[] {
  const rest = product.map((one) => ({ one, needs: combinations(one) }));
  const open = new Set(rest.flatMap(({ needs }) => needs));
  const out: Case[] = [];
  while (open.size > 0) {
    const gains = rest.map(({ needs }) => needs.filter((need) => open.has(need)).length);
    const [chosen] = rest.splice(gains.indexOf(Math.max(...gains)), 1);
    if (chosen === undefined) break;
    for (const need of chosen.needs) open.delete(need);
    out.push(chosen.one);
  }
  return out;
}

/** What a case covers: the pairs of its values, each with its peer and role. */
export function combinations(one: Case): string[] {
  const { peer, role, ...others } = one;
  const values = Object.entries(others).map(([dimension, value]) => `${dimension}=${value}`);
  return values.flatMap((first, at) => values.slice(at + 1).map((second) => `${peer} ${role} ${first} ${second}`));
}

/** The IANA name that goes with an AEAD and a kind of certificate (RFC 8422 §5.10: Ed25519 counts as ECDSA). */
export function suiteOf(aead: Aead, certificate: CertificateKind): SuiteName {
  const rsa = certificate === 'RSA-2048';
  switch (aead) {
    case 'AES-128-GCM':
      return rsa ? 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' : 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256';
    case 'AES-256-GCM':
      return rsa ? 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384' : 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384';
    case 'ChaCha20-Poly1305':
      return rsa ? 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256' : 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256';
    default:
      return aead;
  }
}

/** A case as one line. */
export function titleOf(one: Case): string {
  const ids = one.cid === 'on' ? 'ids' : 'no ids';
  return `${one.peer} × engine as ${one.role} × ${one.aead} × ${one.group} × ${one.certificate} × ${ids} × ${one.limit} × ${one.path}`;
}
