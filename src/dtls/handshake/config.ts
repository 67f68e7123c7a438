import type { Duration, Fingerprint } from '../../base/brand.ts';
import { invariant } from '../../base/invariant.ts';
import { keyTypeOf } from '../../crypto/certificate.ts';
import type { Identity } from '../../crypto/identity.ts';
import { systemRandom } from '../../crypto/random.ts';
import { type SignatureScheme, schemesFor } from '../../crypto/signature.ts';
import {
  DEFAULT_MAX_DATAGRAM,
  HANDSHAKE_TIMEOUT,
  INITIAL_TIMEOUT,
  LARGEST_DATAGRAM,
  LEAST_INITIAL_TIMEOUT,
  MAX_TIMEOUT,
} from '../limits.ts';
import type { Authorization, ConnectionOptions, CryptoSource, GroupName } from '../options.ts';
import { GROUPS, SUITES, type Suite, suiteNamed } from '../suites.ts';

/** The options with every default filled in. */
export interface HandshakeConfig {
  readonly identity: Identity;
  /** What our key can sign with, best first. */
  readonly ourSchemes: readonly SignatureScheme[];
  /** What a server with our key can offer: suites whose signatures it can make. */
  readonly ourAuth: Suite['auth'];
  readonly authorize: (peer: Fingerprint) => Authorization | undefined;
  readonly expected: string | undefined;
  readonly suites: readonly Suite[];
  readonly groups: readonly GroupName[];
  readonly protocols: readonly string[];
  readonly connectionId: Uint8Array | undefined;
  readonly crypto: CryptoSource;
}

/** Timers with their defaults filled in. */
export interface TimerConfig {
  readonly initial: Duration;
  readonly max: Duration;
  readonly handshake: Duration;
}

/** Fills in the defaults. Throws when the options cannot be meant: that is a mistake of the caller. */
export function resolveOptions(options: ConnectionOptions): HandshakeConfig {
  const keyType = keyTypeOf(options.identity.privateKey);
  invariant(keyType !== undefined, 'the private key is of a type that can sign handshakes');
  const suites = options.suites === undefined ? SUITES : options.suites.flatMap((name) => suiteNamed(name) ?? []);
  const groups = options.groups ?? GROUPS;
  const protocols = options.protocols ?? [];
  invariant(suites.length > 0 && groups.length > 0, 'at least one suite and one group are allowed');
  invariant(options.identity.certificates.length > 0, 'the identity has a certificate');
  // RFC 9146 §3: one octet of length; RFC 7301 §3.1 likewise.
  invariant((options.connectionId?.length ?? 0) < 256, 'a connection id has at most 255 octets');
  invariant(
    protocols.every((name) => name.length > 0 && name.length < 256),
    'protocol names have 1 to 255 octets',
  );
  return {
    identity: options.identity,
    ourSchemes: schemesFor(keyType),
    ourAuth: keyType === 'rsa' ? 'rsa' : 'ecdsa',
    authorize: options.authorize,
    expected: options.expected,
    suites,
    groups,
    protocols,
    connectionId: options.connectionId?.slice(),
    crypto: options.crypto ?? systemRandom,
  };
}

/** The timers to use; a first timeout below the least is raised to it. */
export function resolveTimers(options: ConnectionOptions): TimerConfig {
  const initial = Math.max(options.initialTimeout ?? INITIAL_TIMEOUT, LEAST_INITIAL_TIMEOUT) as Duration;
  return {
    initial,
    max: Math.max(options.maxTimeout ?? MAX_TIMEOUT, initial) as Duration,
    handshake: options.handshakeTimeout ?? HANDSHAKE_TIMEOUT,
  };
}

/** The datagram size to use: what was asked for, within what UDP can carry. */
export function resolveMaxDatagram(octets: number | undefined): number {
  return Math.min(Math.max(octets ?? DEFAULT_MAX_DATAGRAM, 1), LARGEST_DATAGRAM);
}
