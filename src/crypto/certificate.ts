import { createPrivateKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import type { Fingerprint } from '../base/brand.ts';
import { err, ok, type Result } from '../base/result.ts';
import { notAfterOf } from './der.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { Identity } from './identity.ts';
import { systemRandom } from './random.ts';
import { installReflectMetadata } from './reflect-metadata.ts';

/** Keys a handshake of ours can be signed with. RSA: 2048 bits or more (RFC 9325 §4.5). */
export type CertificateKeyType = 'p256' | 'p384' | 'ed25519' | 'rsa';

/** What is wrong with a certificate or its private key. The texts name no secret and no file. */
export interface IdentityProblem {
  readonly reason: 'certificate_format' | 'key_format' | 'key_encrypted' | 'key_type' | 'key_mismatch';
  readonly detail: string;
}

/** An identity from PEM: one or more certificates (leaf first) and the leaf's private key. */
export function readIdentity(certificatePem: string, privateKeyPem: string): Result<Identity, IdentityProblem> {
  const blocks = certificatePem.match(CERTIFICATE_BLOCK) ?? [];
  const chain = blocks.map(parsePem);
  const [leaf] = chain;
  if (leaf === undefined) return problem('certificate_format', 'no CERTIFICATE block in PEM form');
  const certificates: Uint8Array[] = [];
  for (const certificate of chain) {
    if (certificate === undefined) return problem('certificate_format', 'a CERTIFICATE block does not parse');
    certificates.push(new Uint8Array(certificate.raw));
  }
  if (ENCRYPTED_KEY.test(privateKeyPem))
    return problem('key_encrypted', 'the private key is protected by a passphrase');
  const privateKey = parsePrivateKey(privateKeyPem);
  if (privateKey === undefined) return problem('key_format', 'no private key in PEM form');
  if (!leaf.checkPrivateKey(privateKey)) {
    return problem('key_mismatch', 'the private key does not belong to the certificate');
  }
  if (keyTypeOf(privateKey) === undefined) {
    return problem(
      'key_type',
      `cannot sign with ${describeKey(privateKey)}: use P-256, P-384, Ed25519 or RSA of 2048 bits`,
    );
  }
  return ok({ certificates, privateKey, fingerprint: fingerprintOf(leaf.raw) });
}

/** What operators ask of a certificate. Times are epoch seconds. */
export interface CertificateSummary {
  readonly fingerprint: Fingerprint;
  readonly subject: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Undefined for a key that no handshake of ours can use. */
  readonly keyType: CertificateKeyType | undefined;
}

/** A summary of the certificate in DER form; undefined when it does not parse. */
export function readCertificate(der: Uint8Array): CertificateSummary | undefined {
  const certificate = parseDer(der);
  const publicKey = certificate === undefined ? undefined : publicKeyOf(certificate);
  if (certificate === undefined || publicKey === undefined) return undefined;
  return {
    fingerprint: fingerprintOf(der),
    subject: certificate.subject ?? '',
    notBefore: Math.floor(Date.parse(certificate.validFrom) / 1000),
    notAfter: Math.floor(Date.parse(certificate.validTo) / 1000),
    keyType: keyTypeOf(publicKey),
  };
}

/**
 * When the certificate in DER form expires, epoch seconds; undefined when it does not parse. Asked at the end of every
 * handshake, where decoding all of it would take as long as a signature.
 */
export function certificateNotAfter(der: Uint8Array): number | undefined {
  return notAfterOf(der) ?? readCertificate(der)?.notAfter;
}

/** The first certificate of a PEM text as DER; undefined when there is none that parses. */
export function certificateFromPem(pem: string): Uint8Array | undefined {
  const block = pem.match(CERTIFICATE_BLOCK)?.[0];
  const certificate = block === undefined ? undefined : parsePem(block);
  return certificate === undefined ? undefined : new Uint8Array(certificate.raw);
}

/** The public key in a certificate in DER form; undefined when the certificate or its key does not parse. */
export function certificatePublicKey(der: Uint8Array): KeyObject | undefined {
  const certificate = parseDer(der);
  return certificate === undefined ? undefined : publicKeyOf(certificate);
}

/** The kind of a public or private key; undefined for one that no handshake of ours can use. */
export function keyTypeOf(key: KeyObject): CertificateKeyType | undefined {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case 'ec':
      if (details?.namedCurve === 'prime256v1') return 'p256';
      return details?.namedCurve === 'secp384r1' ? 'p384' : undefined;
    case 'ed25519':
      return 'ed25519';
    case 'rsa':
      return (details?.modulusLength ?? 0) >= MIN_RSA_BITS ? 'rsa' : undefined;
    default:
      return undefined;
  }
}

/** How to make a certificate. */
export interface SelfSignedOptions {
  readonly commonName: string;
  readonly days: number;
  readonly keyType: 'p256' | 'p384' | 'ed25519' | 'rsa2048';
  /** Wall clock, epoch seconds. Validity begins an hour earlier, for clocks that are behind. */
  readonly now: number;
}

/** A fresh certificate with its key, as PEM (PKCS #8 for the key). */
export interface SelfSigned {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly fingerprint: Fingerprint;
}

/** Makes a key pair and its self-signed certificate. Loads the X.509 library on first use. */
export async function createSelfSigned(options: SelfSignedOptions): Promise<SelfSigned> {
  installReflectMetadata();
  const x509 = await import('@peculiar/x509');
  const algorithm = ALGORITHMS[options.keyType];
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  if (!('privateKey' in keys)) throw new TypeError('a key pair was expected');
  const serial = Buffer.from(systemRandom.random(16));
  // RFC 5280 §4.1.2.2: positive, and at most 20 octets.
  serial.writeUInt8((serial.readUInt8(0) & 0x7f) | 0x40, 0);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serial.toString('hex'),
      // A plain string would be read as RFC 4514 text, in which a quotation mark has a meaning.
      name: new x509.Name([{ CN: [{ utf8String: options.commonName }] }]),
      notBefore: new Date((options.now - 3600) * 1000),
      notAfter: new Date((options.now + options.days * 86_400) * 1000),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      ],
    },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  pkcs8.fill(0);
  return {
    certificatePem: `${certificate.toString('pem').trimEnd()}\n`,
    privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    fingerprint: fingerprintOf(new Uint8Array(certificate.rawData)),
  };
}

/** RFC 9325 §4.5. */
const MIN_RSA_BITS = 2048;

const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const ENCRYPTED_KEY = /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/;

const ALGORITHMS = {
  p256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  p384: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  ed25519: { name: 'Ed25519' },
  rsa2048: {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
} as const;

function problem(reason: IdentityProblem['reason'], detail: string): Result<Identity, IdentityProblem> {
  return err({ reason, detail });
}

function describeKey(key: KeyObject): string {
  const details = key.asymmetricKeyDetails;
  if (details?.namedCurve !== undefined) return `an EC key on ${details.namedCurve}`;
  if (details?.modulusLength !== undefined) return `a ${key.asymmetricKeyType} key of ${details.modulusLength} bits`;
  return `a key of type ${key.asymmetricKeyType ?? 'unknown'}`;
}

// node:crypto reports malformed input by throwing; here, at its border, that becomes undefined.

function parsePem(block: string): X509Certificate | undefined {
  try {
    return new X509Certificate(block);
  } catch {
    return undefined;
  }
}

function parseDer(der: Uint8Array): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(der);
    // OpenSSL stops at the end of the first certificate; what is pinned is all of the octets.
    return certificate.raw.length === der.length ? certificate : undefined;
  } catch {
    return undefined;
  }
}

function publicKeyOf(certificate: X509Certificate): KeyObject | undefined {
  try {
    return certificate.publicKey;
  } catch {
    return undefined;
  }
}

function parsePrivateKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}
