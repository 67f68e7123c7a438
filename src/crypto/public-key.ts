import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { toHex } from '../wire/bytes.ts';
import { Reader } from '../wire/reader.ts';
import { type CertificateKeyType, certificatePublicKey, keyTypeOf } from './certificate.ts';
import { certificateParts, element, TAGS } from './der.ts';

/** A key to verify signatures with, and its type, which decides by which schemes. */
export interface VerificationKey {
  readonly key: KeyObject;
  readonly type: CertificateKeyType;
}

/** Why a certificate's key cannot be used. */
export type KeyProblem = 'malformed' | 'unsupported';

/**
 * The key in a certificate in DER form. Finds SubjectPublicKeyInfo itself (RFC 5280 §4.1) and imports the numbers in it,
 * which takes a tenth of the time that OpenSSL takes to decode a certificate and then its key; what that does not cover
 * goes through OpenSSL. Nothing else in the certificate matters: its octets are pinned.
 */
export function verificationKeyOf(der: Uint8Array): VerificationKey | KeyProblem {
  const info = subjectPublicKeyInfo(der);
  const found = info === undefined ? undefined : importKey(info);
  if (found !== undefined) return found;
  const key = certificatePublicKey(der);
  if (key === undefined) return 'malformed';
  const type = keyTypeOf(key);
  return type === undefined ? 'unsupported' : { key, type };
}

/** Algorithm identifier and key bits of a SubjectPublicKeyInfo; views. */
interface KeyInfo {
  /** OID and parameters, as they stand. */
  readonly algorithm: Uint8Array;
  readonly bits: Uint8Array;
}

function subjectPublicKeyInfo(der: Uint8Array): KeyInfo | undefined {
  const parts = certificateParts(der);
  if (parts === undefined) return undefined;
  const info = new Reader(parts.publicKeyInfo);
  const algorithm = element(info, TAGS.sequence);
  const bits = new Reader(element(info, TAGS.bitString));
  const unused = bits.uint(1);
  const key = bits.rest();
  return info.done && bits.done && unused === 0 ? { algorithm, bits: key } : undefined;
}

function importKey({ algorithm, bits }: KeyInfo): VerificationKey | undefined {
  switch (toHex(algorithm)) {
    case ALGORITHM_P256:
      return importPoint('p256', 'P-256', bits, 32);
    case ALGORITHM_P384:
      return importPoint('p384', 'P-384', bits, 48);
    case ALGORITHM_ED25519:
      return bits.length === 32 ? imported('ed25519', { kty: 'OKP', crv: 'Ed25519', x: base64url(bits) }) : undefined;
    case ALGORITHM_RSA:
      return importRsa(bits);
    default:
      return undefined;
  }
}

/** An uncompressed point (RFC 5480 §2.2). OpenSSL checks that it lies on the curve. */
function importPoint(
  type: CertificateKeyType,
  crv: string,
  bits: Uint8Array,
  length: number,
): VerificationKey | undefined {
  const r = new Reader(bits);
  const form = r.uint(1);
  const [x, y] = [r.view(length), r.view(length)];
  if (!r.done || form !== UNCOMPRESSED) return undefined;
  return imported(type, { kty: 'EC', crv, x: base64url(x), y: base64url(y) });
}

/** RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 §A.1.1). */
function importRsa(bits: Uint8Array): VerificationKey | undefined {
  const outer = new Reader(bits);
  const r = new Reader(element(outer, TAGS.sequence));
  const [n, e] = [element(r, TAGS.integer), element(r, TAGS.integer)];
  if (!outer.done || !r.done || (n[0] ?? 0x80) >= 0x80 || (e[0] ?? 0x80) >= 0x80) return undefined;
  const found = imported('rsa', { kty: 'RSA', n: base64url(n), e: base64url(e) });
  // Its length decides whether it may be used.
  return found !== undefined && keyTypeOf(found.key) === 'rsa' ? found : undefined;
}

function imported(type: CertificateKeyType, jwk: JsonWebKey): VerificationKey | undefined {
  try {
    return { type, key: createPublicKey({ key: jwk, format: 'jwk' }) };
  } catch {
    // node:crypto's way to say that the numbers are no key.
    return undefined;
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

const UNCOMPRESSED = 4;

/** id-ecPublicKey with prime256v1 and secp384r1 (RFC 5480 §2.1.1), id-Ed25519 (RFC 8410 §3), rsaEncryption with NULL (RFC 3279 §2.3.1). */
const ALGORITHM_P256 = '06072a8648ce3d020106082a8648ce3d030107';
const ALGORITHM_P384 = '06072a8648ce3d020106052b81040022';
const ALGORITHM_ED25519 = '06032b6570';
const ALGORITHM_RSA = '06092a864886f70d0101010500';
