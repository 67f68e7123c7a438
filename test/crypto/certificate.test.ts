import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  certificateFromPem,
  certificatePublicKey,
  createSelfSigned,
  readCertificate,
  readIdentity,
} from '../../src/crypto/certificate.ts';
import { fingerprintOf } from '../../src/crypto/fingerprint.ts';

const NOW = 1_800_000_000;
const KEY_TYPES = ['p256', 'p384', 'ed25519', 'rsa2048'] as const;

describe('createSelfSigned', () => {
  it.each(KEY_TYPES)('makes a %s certificate that reads back as an identity', async (keyType) => {
    const made = await createSelfSigned({ commonName: 'paris, "édge"=1', days: 10, keyType, now: NOW });
    const identity = readIdentity(made.certificatePem, made.privateKeyPem);
    if (!identity.ok) throw new Error(identity.error.detail);
    const [leaf] = identity.value.certificates;
    if (leaf === undefined) throw new Error('no leaf');
    expect(identity.value.fingerprint).toBe(made.fingerprint);
    expect(fingerprintOf(leaf)).toBe(made.fingerprint);
    expect(certificateFromPem(made.certificatePem)).toEqual(leaf);
    expect(readCertificate(leaf)).toEqual({
      fingerprint: made.fingerprint,
      subject: String.raw`CN=paris\, \"édge\"=1`,
      notBefore: NOW - 3600,
      notAfter: NOW + 864_000,
      keyType: keyType === 'rsa2048' ? 'rsa' : keyType,
    });
    const publicKey = certificatePublicKey(leaf);
    if (publicKey === undefined) throw new Error('no public key');
    const signature = sign(null, leaf, identity.value.privateKey);
    expect(verify(null, leaf, publicKey, signature)).toBe(true);
  });

  it('never makes the same key or serial number twice', async () => {
    const options = { commonName: 'x', days: 1, keyType: 'p256', now: NOW } as const;
    const [a, b] = await Promise.all([createSelfSigned(options), createSelfSigned(options)]);
    expect(a?.privateKeyPem).not.toBe(b?.privateKeyPem);
    expect(a?.fingerprint).not.toBe(b?.fingerprint);
  });
});

describe('readIdentity', () => {
  const made = createSelfSigned({ commonName: 'x', days: 1, keyType: 'p256', now: NOW });

  function reason(certificatePem: string, privateKeyPem: string): string {
    const identity = readIdentity(certificatePem, privateKeyPem);
    return identity.ok ? 'ok' : identity.error.reason;
  }

  it('refuses the key of another certificate', async () => {
    const other = await createSelfSigned({ commonName: 'x', days: 1, keyType: 'p256', now: NOW });
    expect(reason((await made).certificatePem, other.privateKeyPem)).toBe('key_mismatch');
  });

  it('refuses text that is no certificate or no key', async () => {
    const { certificatePem, privateKeyPem } = await made;
    expect(reason('', privateKeyPem)).toBe('certificate_format');
    expect(reason(privateKeyPem, privateKeyPem)).toBe('certificate_format');
    expect(reason(certificatePem.replace(/\n.{8}/, '\nAAAAAAAA'), privateKeyPem)).toBe('certificate_format');
    expect(reason(certificatePem, '')).toBe('key_format');
    expect(reason(certificatePem, certificatePem)).toBe('key_format');
  });

  it('refuses a key behind a passphrase by that reason', async () => {
    const { privateKey } = generateKeyPairSync('ec', {
      namedCurve: 'P-256',
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'secret' },
    });
    expect(reason((await made).certificatePem, privateKey)).toBe('key_encrypted');
  });

  it('never repeats the key in what it says', async () => {
    const { certificatePem } = await made;
    const answer = readIdentity(certificatePem, '-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----');
    expect(JSON.stringify(answer)).not.toContain('SECRET');
  });
});

describe('readCertificate', () => {
  it('refuses octets that follow or are missing', async () => {
    const { certificatePem } = await createSelfSigned({ commonName: 'x', days: 1, keyType: 'p256', now: NOW });
    const der = certificateFromPem(certificatePem);
    if (der === undefined) throw new Error('no certificate');
    expect(readCertificate(der)).toBeDefined();
    expect(readCertificate(new Uint8Array([...der, 0]))).toBeUndefined();
    for (let length = 0; length < der.length; length += 7) {
      expect(readCertificate(der.slice(0, length))).toBeUndefined();
    }
  });
});
