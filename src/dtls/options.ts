import type { Duration, Fingerprint } from '../base/brand.ts';
import type { Identity } from '../crypto/identity.ts';
import type { Role } from './effects.ts';

/** How one association is to behave. Everything that could be a hidden input (time, randomness, keys) is here. */
export interface ConnectionOptions {
  readonly role: Role;
  /** Our certificate and key; both roles present one. */
  readonly identity: Identity;
  /** Judges the peer's leaf certificate; undefined refuses it (`unknown_fingerprint`). Asked once, free of effects. */
  readonly authorize: (peer: Fingerprint) => Authorization | undefined;
  /** What a refusal by `authorize` says was expected, for logs; e.g. the pinned fingerprints. */
  readonly expected?: string;
  /** Largest UDP payload to send, octets; handshake messages are fragmented to fit. Default 1400. May be lowered later. */
  readonly maxDatagram?: number;
  /** Cipher suites in order of preference. Default: all of `suites.ts`, AES-128-GCM first. */
  readonly suites?: readonly SuiteName[];
  /** Key-exchange groups in order of preference. Default: x25519, secp256r1, secp384r1. */
  readonly groups?: readonly GroupName[];
  /** Application protocols in order of preference (RFC 7301). Empty: none offered, none chosen. No overlap: none agreed. */
  readonly protocols?: readonly string[];
  /** The id that records to us shall carry (RFC 9146); empty: we need none but allow the peer one; undefined: not offered. */
  readonly connectionId?: Uint8Array;
  /** First retransmission timeout; doubles up to `maxTimeout`. Defaults 1 s and 60 s (RFC 6347 §4.2.4.1), least 50 ms. */
  readonly initialTimeout?: Duration;
  readonly maxTimeout?: Duration;
  /** The handshake fails with `timeout` after this long. Default 90 s. */
  readonly handshakeTimeout?: Duration;
  /** Hand the keys out at establishment (effects `install`, `seal`) instead of protecting records here. Default false. */
  readonly offload?: boolean;
  /** Randomness and ephemeral keys. Default: the process's CSPRNG through node:crypto. */
  readonly crypto?: CryptoSource;
}

/** What a pinned peer may do. */
export interface Authorization {
  /** Accept a handshake without extended_master_secret (RFC 7627) from this peer. */
  readonly allowLegacyPeer: boolean;
}

/** Where unpredictable octets come from. Tests inject a seeded one. */
export interface CryptoSource {
  /** `length` unpredictable octets. */
  random(length: number): Uint8Array;
}

/** Suites of RFC 5289 and RFC 7905, by IANA name. */
export type SuiteName =
  | 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'
  | 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'
  | 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'
  | 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'
  | 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'
  | 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256';

/** Groups of RFC 8422. */
export type GroupName = 'x25519' | 'secp256r1' | 'secp384r1';
