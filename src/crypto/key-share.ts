import { createECDH, createPrivateKey, createPublicKey, diffieHellman, type ECDH, type KeyObject } from 'node:crypto';
import { invariant } from '../base/invariant.ts';

/** Groups of ephemeral Diffie-Hellman (RFC 8422 §5.1.1). */
export type ShareGroup = 'x25519' | 'secp256r1' | 'secp384r1';

/** One side's ephemeral key: used for one handshake, then dropped. */
export interface KeyShare {
  readonly group: ShareGroup;
  /** What the peer is sent: an uncompressed point, or the 32 octets of X25519. */
  readonly publicKey: Uint8Array;
  /**
   * The premaster secret with the peer's public key; undefined when that is not a valid public key of the group: wrong
   * length or form, not on the curve, the point at infinity, or of small order (RFC 8422 §5.11, RFC 7748 §6.1).
   */
  derive(peer: Uint8Array): Uint8Array | undefined;
}

/** A fresh share whose private key comes from `random`. */
export function createKeyShare(group: ShareGroup, random: (length: number) => Uint8Array): KeyShare {
  return group === 'x25519' ? x25519Share(random) : curveShare(group, random);
}

function x25519Share(random: (length: number) => Uint8Array): KeyShare {
  const secret = random(X25519_LENGTH);
  // JWK import is several times faster than DER, for which OpenSSL 3 tries every decoder. `x` is computed from `d`.
  const jwk = { kty: 'OKP', crv: 'X25519', d: base64url(secret), x: '' };
  secret.fill(0);
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  invariant(x !== undefined, 'an X25519 key has a public part');
  return {
    group: 'x25519',
    publicKey: new Uint8Array(Buffer.from(x, 'base64url')),
    derive(peer) {
      if (peer.length !== X25519_LENGTH) return undefined;
      const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: base64url(peer) }, format: 'jwk' });
      const premaster = agree(privateKey, publicKey);
      // RFC 7748 §6.1: OpenSSL refuses the all-zero result too; the check here does not rest on that.
      return premaster?.some((octet) => octet !== 0) ? premaster : undefined;
    },
  };
}

function curveShare(group: keyof typeof CURVES, random: (length: number) => Uint8Array): KeyShare {
  const { name, coordinate } = CURVES[group];
  const ecdh = createECDH(name);
  setPrivateKey(ecdh, coordinate, random);
  return {
    group,
    publicKey: new Uint8Array(ecdh.getPublicKey()),
    derive(peer) {
      // RFC 8422 §5.1.2: uncompressed points only.
      if (peer.length !== 1 + 2 * coordinate || peer[0] !== UNCOMPRESSED) return undefined;
      try {
        return new Uint8Array(ecdh.computeSecret(peer));
      } catch {
        // Not a point of the curve.
        return undefined;
      }
    },
  };
}

/** Draws until the number is a valid private key: 1 … order − 1. Missing by chance is below 2^-32 for both curves. */
function setPrivateKey(ecdh: ECDH, length: number, random: (length: number) => Uint8Array): void {
  for (let attempt = 0; attempt < MAX_DRAWS; attempt++) {
    const secret = random(length);
    try {
      ecdh.setPrivateKey(secret);
      return;
    } catch {
      // Zero, or not below the order: draw again.
    } finally {
      secret.fill(0);
    }
  }
  invariant(false, 'the random source yields numbers below the order of the curve');
}

function agree(privateKey: KeyObject, publicKey: KeyObject): Uint8Array | undefined {
  try {
    return new Uint8Array(diffieHellman({ privateKey, publicKey }));
  } catch {
    return undefined;
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

const X25519_LENGTH = 32;
const UNCOMPRESSED = 4;
const MAX_DRAWS = 16;

const CURVES = {
  secp256r1: { name: 'prime256v1', coordinate: 32 },
  secp384r1: { name: 'secp384r1', coordinate: 48 },
} as const;
