import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { keyTypeOf } from '../../src/crypto/certificate.ts';
import { ALL_SCHEMES, schemeCode, schemeOfCode, schemesFor, signWith, verifyWith } from '../../src/crypto/signature.ts';

const KEYS = {
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ed25519: generateKeyPairSync('ed25519'),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
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

  it('takes no key that is too short or of another curve', () => {
    const short = generateKeyPairSync('rsa', { modulusLength: 1024 });
    expect(keyTypeOf(short.publicKey)).toBeUndefined();
    expect(verifyWith('rsa_pkcs1_sha256', short.publicKey, data, sign('sha256', data, short.privateKey))).toBe(false);
    for (const namedCurve of ['P-521', 'secp256k1']) {
      const pair = generateKeyPairSync('ec', { namedCurve });
      const signature = sign('sha256', data, pair.privateKey);
      expect(verifyWith('ecdsa_secp256r1_sha256', pair.publicKey, data, signature)).toBe(false);
    }
  });
});
