import { createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type AeadName, open, seal } from '../../src/crypto/aead.ts';
import { keyTypeOf } from '../../src/crypto/certificate.ts';
import { createKeyShare, type ShareGroup } from '../../src/crypto/key-share.ts';
import { type SignatureScheme, verifyWith } from '../../src/crypto/signature.ts';
import { aeadCases, wycheproof } from '../vectors/wycheproof.ts';

// Project Wycheproof's vectors (test/vectors/README.md) against the functions that the engine calls: what is valid must
// be accepted with the very octets, what is invalid must be refused. `acceptable` ones are decided case by case below.

/** Failures of one file, all at once: a list of case numbers says more than the first of them. */
function failures<T extends { readonly tcId: number }>(cases: readonly T[], passes: (one: T) => boolean): number[] {
  expect(cases.length).toBeGreaterThan(0);
  return cases.filter((one) => !passes(one)).map((one) => one.tcId);
}

describe.each<AeadName>(['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'])('%s', (name) => {
  it('opens the valid ones only, and seals to the same octets', () => {
    const cases = aeadCases(name);
    expect(cases.length).toBeGreaterThan(50);
    const wrong = failures(cases, ({ key, iv, aad, msg, ct, tag, result }) => {
      const sealed = octets(ct + tag);
      const opened = open(name, octets(key), octets(iv), octets(aad), sealed);
      if (result === 'invalid') return opened === undefined;
      return hex(opened) === msg && hex(seal(name, octets(key), octets(iv), octets(aad), octets(msg))) === hex(sealed);
    });
    expect(wrong).toEqual([]);
  });
});

describe.each<[string, ShareGroup, number]>([
  ['x25519', 'x25519', 32],
  ['ecdh_secp256r1_ecpoint', 'secp256r1', 32],
  ['ecdh_secp384r1_ecpoint', 'secp384r1', 48],
])('%s', (file, group, length) => {
  it('agrees on the same secret with every valid public key and refuses the others', () => {
    const cases = wycheproof(file, exchangeGroup).flatMap((one) => one.tests);
    const wrong = failures(cases, ({ public: peer, private: secret, shared, result, flags }) => {
      const share = createKeyShare(group, () => octets(secret.padStart(2 * length, '0').slice(-2 * length)));
      const agreed = hex(share.derive(octets(peer)));
      // RFC 7748 §6.1: a peer whose key has small order decides the secret alone. RFC 8422 §5.1.2: no compressed points.
      const refused = flags.includes('ZeroSharedSecret') || flags.includes('CompressedPoint') || result === 'invalid';
      return refused ? agreed === undefined : agreed === shared;
    });
    expect(wrong).toEqual([]);
  });
});

describe.each<[string, SignatureScheme]>([
  ['ecdsa_secp256r1_sha256', 'ecdsa_secp256r1_sha256'],
  // A pair of hash and algorithm in TLS 1.2, whatever the curve (RFC 5246 §7.4.1.4.1).
  ['ecdsa_secp384r1_sha256', 'ecdsa_secp256r1_sha256'],
  ['ecdsa_secp384r1_sha384', 'ecdsa_secp384r1_sha384'],
  ['ed25519', 'ed25519'],
  ['rsa_pss_2048_sha256_mgf1_32', 'rsa_pss_rsae_sha256'],
  ['rsa_pss_2048_sha384_mgf1_48', 'rsa_pss_rsae_sha384'],
  ['rsa_signature_2048_sha256', 'rsa_pkcs1_sha256'],
  ['rsa_signature_2048_sha384', 'rsa_pkcs1_sha384'],
])('%s', (file, scheme) => {
  it('verifies the valid signatures and no other', () => {
    const groups = wycheproof(file, signatureGroup);
    const cases = groups.flatMap((group) => {
      const key = createPublicKey({ key: Buffer.from(group.publicKeyDer, 'hex'), format: 'der', type: 'spki' });
      const type = keyTypeOf(key);
      if (type === undefined) throw new Error(`${file} has a key that no handshake could use`);
      return group.tests.map((one) => ({ ...one, verifier: { key, type } }));
    });
    expect(cases.some(({ result }) => result === 'valid') && cases.some(({ result }) => result === 'invalid')).toBe(
      true,
    );
    const wrong = failures(cases, ({ verifier, msg, sig, result }) => {
      const accepted = verifyWith(scheme, verifier, octets(msg), octets(sig));
      // The one acceptable kind is a PKCS #1 digest without its NULL, which RFC 8017 §9.2 leaves to the verifier.
      return result === 'acceptable' || accepted === (result === 'valid');
    });
    expect(wrong).toEqual([]);
  });
});

const result = z.enum(['valid', 'invalid', 'acceptable']);

const exchangeGroup = z.object({
  tests: z.array(
    z.object({
      tcId: z.number(),
      flags: z.array(z.string()),
      public: z.string(),
      private: z.string(),
      shared: z.string(),
      result,
    }),
  ),
});

const signatureGroup = z.object({
  publicKeyDer: z.string(),
  tests: z.array(z.object({ tcId: z.number(), msg: z.string(), sig: z.string(), result })),
});

function octets(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex');
}
