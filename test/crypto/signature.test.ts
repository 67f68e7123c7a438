import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type CertificateKeyType, keyTypeOf } from '../../src/crypto/certificate.ts';
import { ALL_SCHEMES, schemeCode, schemeOfCode, schemesFor, signWith, verifyWith } from '../../src/crypto/signature.ts';

const pair = (type: CertificateKeyType, keys: { publicKey: KeyObject; privateKey: KeyObject }) => ({
  privateKey: keys.privateKey,
  publicKey: { key: keys.publicKey, type },
});

const KEYS = {
  p256: pair('p256', generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  p384: pair('p384', generateKeyPairSync('ec', { namedCurve: 'P-384' })),
  ed25519: pair('ed25519', generateKeyPairSync('ed25519')),
  rsa: pair('rsa', generateKeyPairSync('rsa', { modulusLength: 2048 })),
} as const;
const TYPES = ['p256', 'p384', 'ed25519', 'rsa'] as const;
const data = new TextEncoder().encode('what is signed');

describe('signatures', () => {
  it.each(TYPES)('a %s key signs with each of its schemes, and verifies no other', (type) => {
    const { privateKey, publicKey } = KEYS[type];
    for (const scheme of schemesFor(type)) {
      const signature = signWith(scheme, privateKey, data);
      expect(verifyWith(scheme, publicKey, data, signature)).toBe(true);
      for (const other of ALL_SCHEMES) {
        if (other !== scheme) expect(verifyWith(other, publicKey, data, signature)).toBe(false);
      }
      for (const otherType of TYPES) {
        if (otherType !== type) expect(verifyWith(scheme, KEYS[otherType].publicKey, data, signature)).toBe(false);
      }
    }
  });

  it.each(TYPES)('refuses any changed octet, and changed data, with %s', (type) => {
    const { privateKey, publicKey } = KEYS[type];
    const [scheme = 'ed25519'] = schemesFor(type);
    const signature = signWith(scheme, privateKey, data);
    for (let at = 0; at < signature.length; at += 3) {
      const changed = signature.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      expect(verifyWith(scheme, publicKey, data, changed)).toBe(false);
    }
    expect(verifyWith(scheme, publicKey, data.slice(1), signature)).toBe(false);
    expect(verifyWith(scheme, publicKey, data, new Uint8Array(0))).toBe(false);
  });

  it('names every scheme by one code point and back', () => {
    for (const scheme of ALL_SCHEMES) expect(schemeOfCode(schemeCode(scheme))).toBe(scheme);
    for (const unknown of [0, 0x0201, 0x0203, 0x0101, 0x0808, 0xffff]) expect(schemeOfCode(unknown)).toBeUndefined();
  });

  it('knows no type for a key that is too short or of another curve', () => {
    expect(keyTypeOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)).toBeUndefined();
    for (const namedCurve of ['P-521', 'secp256k1']) {
      expect(keyTypeOf(generateKeyPairSync('ec', { namedCurve }).publicKey)).toBeUndefined();
    }
    expect(keyTypeOf(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey)).toBeUndefined();
  });
});
