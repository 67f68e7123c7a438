import { constants, type KeyObject, sign, verify } from 'node:crypto';
import type { CertificateKeyType } from './certificate.ts';
import { HASH_LENGTH, type HashName } from './hash.ts';
import type { VerificationKey } from './public-key.ts';

/** Signature schemes by their name in RFC 8446 §4.2.3; in TLS 1.2 the ECDSA ones do not fix the curve. */
export type SignatureScheme = keyof typeof SCHEMES;

/** Code points of the schemes (RFC 8446 §4.2.3, RFC 8422 §5.1.3, RFC 5246 §7.4.1.4.1). */
export function schemeCode(scheme: SignatureScheme): number {
  return SCHEMES[scheme].code;
}

/** The scheme with this code point; undefined when it is none of ours. */
export function schemeOfCode(code: number): SignatureScheme | undefined {
  return ALL_SCHEMES.find((scheme) => SCHEMES[scheme].code === code);
}

/** The schemes that a key of this type can sign with, best first. */
export function schemesFor(keyType: CertificateKeyType): readonly SignatureScheme[] {
  return BY_KEY[keyType];
}

/** The signature of `data` with our own key, which must be of a type that the scheme names. */
export function signWith(scheme: SignatureScheme, privateKey: KeyObject, data: Uint8Array): Uint8Array {
  const { hash } = SCHEMES[scheme];
  return new Uint8Array(sign(hash, data, { key: privateKey, ...padding(scheme) }));
}

/**
 * Whether `signature` over `data` was made with the private key that belongs to `verifier`. False as well when the scheme is
 * not one for that type of key, whatever the signature.
 */
export function verifyWith(
  scheme: SignatureScheme,
  verifier: VerificationKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (!BY_KEY[verifier.type].includes(scheme)) return false;
  try {
    return verify(SCHEMES[scheme].hash, data, { key: verifier.key, ...padding(scheme) }, signature);
  } catch {
    // OpenSSL reports some malformed signatures as an error instead of a mismatch.
    return false;
  }
}

const SCHEMES = {
  ecdsa_secp256r1_sha256: { code: 0x0403, hash: 'sha256' },
  ed25519: { code: 0x0807, hash: null },
  ecdsa_secp384r1_sha384: { code: 0x0503, hash: 'sha384' },
  rsa_pss_rsae_sha256: { code: 0x0804, hash: 'sha256' },
  rsa_pss_rsae_sha384: { code: 0x0805, hash: 'sha384' },
  rsa_pss_rsae_sha512: { code: 0x0806, hash: 'sha512' },
  rsa_pkcs1_sha256: { code: 0x0401, hash: 'sha256' },
  rsa_pkcs1_sha384: { code: 0x0501, hash: 'sha384' },
  rsa_pkcs1_sha512: { code: 0x0601, hash: 'sha512' },
} as const satisfies Record<string, { readonly code: number; readonly hash: HashName | null }>;

/** Every scheme, in the order in which we offer them. */
export const ALL_SCHEMES: readonly SignatureScheme[] = [
  'ecdsa_secp256r1_sha256',
  'ed25519',
  'ecdsa_secp384r1_sha384',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
];

/**
 * RFC 5246 §7.4.1.4.1: in TLS 1.2 an ECDSA code point is a pair of hash and algorithm and goes with every curve (OpenSSL
 * signs with SHA-256 and a P-384 key if that is offered first). Our own choice is the hash of the curve's strength.
 */
const BY_KEY: Readonly<Record<CertificateKeyType, readonly SignatureScheme[]>> = {
  p256: ['ecdsa_secp256r1_sha256', 'ecdsa_secp384r1_sha384'],
  p384: ['ecdsa_secp384r1_sha384', 'ecdsa_secp256r1_sha256'],
  ed25519: ['ed25519'],
  rsa: [
    'rsa_pss_rsae_sha256',
    'rsa_pss_rsae_sha384',
    'rsa_pss_rsae_sha512',
    'rsa_pkcs1_sha256',
    'rsa_pkcs1_sha384',
    'rsa_pkcs1_sha512',
  ],
};

function padding(scheme: SignatureScheme): { readonly padding?: number; readonly saltLength?: number } {
  switch (scheme) {
    case 'rsa_pss_rsae_sha256':
    case 'rsa_pss_rsae_sha384':
    case 'rsa_pss_rsae_sha512':
      // RFC 8446 §4.2.3: the salt is as long as the digest.
      return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: HASH_LENGTH[SCHEMES[scheme].hash] };
    case 'rsa_pkcs1_sha256':
    case 'rsa_pkcs1_sha384':
    case 'rsa_pkcs1_sha512':
      return { padding: constants.RSA_PKCS1_PADDING };
    default:
      return {};
  }
}
