import type { AeadName } from '../crypto/aead.ts';
import type { HashName } from '../crypto/hash.ts';
import type { GroupName, SuiteName } from './options.ts';

/** What a cipher suite stands for. All of them agree on a key by ECDHE. */
export interface Suite {
  readonly name: SuiteName;
  readonly code: number;
  readonly aead: AeadName;
  /** Of the PRF and of Finished. */
  readonly hash: HashName;
  /** What the server signs with; `ecdsa` includes Ed25519 (RFC 8422 §5.10). */
  readonly auth: 'ecdsa' | 'rsa';
}

/** Our suites in default order of preference (RFC 5289 §3.2, RFC 7905 §2). */
export const SUITES: readonly Suite[] = [
  {
    name: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    code: 0xc02b,
    aead: 'aes-128-gcm',
    hash: 'sha256',
    auth: 'ecdsa',
  },
  { name: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', code: 0xc02f, aead: 'aes-128-gcm', hash: 'sha256', auth: 'rsa' },
  {
    name: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    code: 0xc02c,
    aead: 'aes-256-gcm',
    hash: 'sha384',
    auth: 'ecdsa',
  },
  { name: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', code: 0xc030, aead: 'aes-256-gcm', hash: 'sha384', auth: 'rsa' },
  {
    name: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    code: 0xcca9,
    aead: 'chacha20-poly1305',
    hash: 'sha256',
    auth: 'ecdsa',
  },
  {
    name: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
    code: 0xcca8,
    aead: 'chacha20-poly1305',
    hash: 'sha256',
    auth: 'rsa',
  },
];

/** The suite of this name. */
export function suiteNamed(name: SuiteName): Suite | undefined {
  return SUITES.find((suite) => suite.name === name);
}

/** Signals what an empty renegotiation_info does (RFC 5746 §3.3); never a suite to choose. */
export const RENEGOTIATION_SCSV = 0x00ff;

/** Code points of our groups (RFC 8422 §5.1.1). */
export const GROUP_CODES: Readonly<Record<GroupName, number>> = { x25519: 29, secp256r1: 23, secp384r1: 24 };

/** Our groups in default order of preference. */
export const GROUPS: readonly GroupName[] = ['x25519', 'secp256r1', 'secp384r1'];

/** A suite code as text, for reasons. */
export function suiteText(code: number): string {
  const known = SUITES.find((suite) => suite.code === code);
  return known?.name ?? `suite 0x${code.toString(16).padStart(4, '0')}`;
}

/** A group code as text, for reasons. */
export function groupText(code: number): string {
  return GROUPS.find((name) => GROUP_CODES[name] === code) ?? `group ${code}`;
}
