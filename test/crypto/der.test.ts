import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { certificateFromPem, certificateNotAfter, createSelfSigned } from '../../src/crypto/certificate.ts';
import { notAfterOf } from '../../src/crypto/der.ts';

async function made(keyType: 'p256' | 'ed25519' | 'rsa2048', days: number): Promise<Uint8Array> {
  const { certificatePem } = await createSelfSigned({ commonName: 'x', days, keyType, now: 1.8e9 });
  const der = certificateFromPem(certificatePem);
  if (der === undefined) throw new Error('a certificate was made');
  return der;
}

/** The certificate with these octets where its notAfter is. */
function withNotAfter(der: Uint8Array, tag: number, text: string): Uint8Array {
  const octets = Buffer.from(der);
  // Both times of Validity are UTCTime of 13 octets: the second one is found behind the first.
  const at = octets.indexOf(Buffer.from([0x17, 13]), octets.indexOf(Buffer.from([0x17, 13])) + 15);
  octets[at] = tag;
  octets.write(text, at + 2, 'latin1');
  return new Uint8Array(octets);
}

describe('notAfter', () => {
  it.each([
    ['p256', 1],
    ['ed25519', 3650],
    ['rsa2048', 365],
    // After 2049 the time is of another form (RFC 5280 §4.1.2.5).
    ['p256', 20_000],
    ['p256', 400_000],
  ] as const)('of a %s certificate of %i days is what OpenSSL reads', async (keyType, days) => {
    const der = await made(keyType, days);
    const { validTo } = new X509Certificate(der);
    expect(notAfterOf(der)).toBe(Date.parse(validTo) / 1000);
    expect(certificateNotAfter(der)).toBe(notAfterOf(der));
  });

  it.each([
    ['500101000000Z', '1950-01-01T00:00:00Z'],
    ['491231235959Z', '2049-12-31T23:59:59Z'],
    ['000229120000Z', '2000-02-29T12:00:00Z'],
  ])('%s is %s', async (text, meaning) => {
    expect(notAfterOf(withNotAfter(await made('p256', 1), 0x17, text))).toBe(Date.parse(meaning) / 1000);
  });

  it.each(['010229000000Z', '251301000000Z', '250101250000Z', '2501010000000', 'abcdefghijklm'])(
    '%s is no time',
    async (text) => {
      expect(notAfterOf(withNotAfter(await made('p256', 1), 0x17, text))).toBeUndefined();
      expect(notAfterOf(withNotAfter(await made('p256', 1), 0x04, '250101000000Z'))).toBeUndefined();
    },
  );

  it('of anything cut short or changed is a time or undefined, never an exception', async () => {
    const der = await made('p256', 1);
    for (let length = 0; length < der.length; length++) expect(notAfterOf(der.slice(0, length))).toBeUndefined();
    for (let at = 0; at < der.length; at++) {
      for (const value of [0, 0x7f, 0x80, 0x82, 0xff]) {
        const changed = der.slice();
        changed[at] = value;
        expect(['number', 'undefined']).toContain(typeof notAfterOf(changed));
      }
    }
    expect(certificateNotAfter(new Uint8Array(10))).toBeUndefined();
  });
});
