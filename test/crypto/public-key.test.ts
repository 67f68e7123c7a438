import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  certificateFromPem,
  certificatePublicKey,
  createSelfSigned,
  readIdentity,
} from '../../src/crypto/certificate.ts';
import { verificationKeyOf } from '../../src/crypto/public-key.ts';
import { ALL_SCHEMES, schemesFor, signWith, verifyWith } from '../../src/crypto/signature.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const TYPES = ['p256', 'p384', 'ed25519', 'rsa2048'] as const;
const data = new TextEncoder().encode('signed');

async function make(keyType: (typeof TYPES)[number]) {
  const made = await createSelfSigned({ commonName: 'x', days: 1, keyType, now: 1.8e9 });
  const identity = readIdentity(made.certificatePem, made.privateKeyPem);
  const der = certificateFromPem(made.certificatePem);
  if (!identity.ok || der === undefined) throw new Error('no identity');
  return { identity: identity.value, der };
}

describe('verificationKeyOf', () => {
  it.each(TYPES)('finds the same key as OpenSSL in a %s certificate', async (keyType) => {
    const { identity, der } = await make(keyType);
    const found = verificationKeyOf(der);
    if (typeof found === 'string') throw new Error(found);
    expect(found.type).toBe(keyType.replace('2048', ''));
    expect(found.key.equals(certificatePublicKey(der) ?? found.key)).toBe(true);
    for (const scheme of ALL_SCHEMES) {
      if (!schemesFor(found.type).includes(scheme)) continue;
      expect(verifyWith(scheme, found, data, signWith(scheme, identity.privateKey, data))).toBe(true);
    }
  });

  it.each(TYPES)('agrees with OpenSSL about every changed, cut or longer %s certificate', async (keyType) => {
    const { der } = await make(keyType);
    const random = new SeededRandom(11);
    const variants = [
      ...Array.from({ length: der.length }, (_, at) => der.slice(0, at)),
      new Uint8Array([...der, 0]),
      ...Array.from({ length: 1500 }, () => {
        const changed = der.slice();
        for (let i = 0; i <= random.below(2); i++) changed[random.below(der.length)] = random.below(256);
        return changed;
      }),
    ];
    for (const variant of variants) {
      const found = verificationKeyOf(variant);
      const openssl = certificatePublicKey(variant);
      // Where both read a key it is the same one; where OpenSSL reads none we may still find the octets of one.
      if (typeof found !== 'string' && openssl !== undefined) expect(found.key.equals(openssl)).toBe(true);
      if (found === 'malformed') expect(openssl).toBeUndefined();
    }
  });

  it('tells a key it does not support from a certificate that is none', () => {
    const openssl = (...args: string[]) =>
      execFileSync(
        'openssl',
        ['req', '-x509', '-nodes', '-days', '1', '-subj', '/CN=x', '-keyout', '/dev/null', ...args],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      );
    const p521 = certificateFromPem(openssl('-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-521'));
    const short = certificateFromPem(openssl('-newkey', 'rsa:1024'));
    expect(verificationKeyOf(p521 ?? data)).toBe('unsupported');
    expect(verificationKeyOf(short ?? data)).toBe('unsupported');
    expect(verificationKeyOf(data)).toBe('malformed');
  });
});
