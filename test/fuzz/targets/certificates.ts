import {
  certificateFromPem,
  certificatePublicKey,
  readCertificate,
  readIdentity,
} from '../../../src/crypto/certificate.ts';
import { fingerprintBase64, formatFingerprint, parseFingerprint } from '../../../src/crypto/fingerprint.ts';
import { verificationKeyOf } from '../../../src/crypto/public-key.ts';
import { ALL_SCHEMES, verifyWith } from '../../../src/crypto/signature.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { CLIENT_IDENTITY, identityOf } from '../../support/pair.ts';
import { join } from '../mutate.ts';
import { holds, type Target } from '../target.ts';

/** The first octet says what the rest is taken for: DER, PEM, or a fingerprint as text. */
export const certificates: Target = {
  name: 'certificates',
  covers: /^crypto\/(certificate|fingerprint|signature|public-key)\.ts$/,
  executions: 3_000,
  seeds: [
    ...(
      await Promise.all((['p256', 'p384', 'ed25519', 'rsa2048'] as const).map((type) => identityOf(type, 'fuzz')))
    ).map(({ certificates: [leaf] }) => join(Uint8Array.of(0), leaf ?? new Uint8Array(0))),
    join(Uint8Array.of(1), Buffer.from(pem(CLIENT_IDENTITY.certificates[0] ?? new Uint8Array(0)))),
    join(Uint8Array.of(2), Buffer.from(formatFingerprint(CLIENT_IDENTITY.fingerprint))),
    join(Uint8Array.of(2), Buffer.from(fingerprintBase64(CLIENT_IDENTITY.fingerprint))),
  ],
  run(input) {
    const rest = input.subarray(1);
    const text = Buffer.from(rest).toString('latin1');
    switch ((input[0] ?? 0) % 3) {
      case 0:
        judge(rest);
        return;
      case 1: {
        const der = certificateFromPem(text);
        if (der !== undefined) judge(der);
        const identity = readIdentity(text, KEY);
        holds(identity.ok || identity.error.detail.length > 0, 'a refusal says why');
        const swapped = readIdentity(pem(CLIENT_IDENTITY.certificates[0] ?? new Uint8Array(0)), text);
        holds(!swapped.ok || swapped.value.certificates.length === 1, 'a chain of one stays one');
        return;
      }
      default: {
        const fingerprint = parseFingerprint(text);
        if (fingerprint === undefined) return;
        holds(parseFingerprint(formatFingerprint(fingerprint)) === fingerprint, 'colon form reads as it is written');
        holds(parseFingerprint(fingerprintBase64(fingerprint)) === fingerprint, 'short form reads as it is written');
      }
    }
  },
  mutate: changeTag,
};

/** A certificate as the handshake uses it: its summary, its key, and signatures checked with that key. */
function judge(der: Uint8Array): void {
  const summary = readCertificate(der);
  const verifier = verificationKeyOf(der);
  holds(summary === undefined || /^[0-9a-f]{64}$/.test(summary.fingerprint), 'a certificate has a fingerprint');
  if (typeof verifier === 'string') return;
  // Our own reader takes the key out of the DER; OpenSSL's, where it reads the certificate at all, must find the same.
  const key = certificatePublicKey(der);
  holds(key === undefined || key.equals(verifier.key), 'both readers find the same key');
  for (const scheme of ALL_SCHEMES) {
    holds(!verifyWith(scheme, verifier, der, der.subarray(-72)), 'a signature is not made by chance');
  }
}

/** Changes a tag or a length of the DER structure. */
function changeTag(input: Uint8Array, random: SeededRandom): Uint8Array {
  const out = input.slice();
  const places: number[] = [];
  for (let at = 1; at + 1 < out.length; at++) {
    const length = out[at + 1] ?? 0;
    if (length < 128 && at + 2 + length <= out.length && TAGS.has(out[at] ?? 0)) places.push(at);
  }
  const at = places[random.below(Math.max(1, places.length))] ?? 1;
  const place = at + random.below(2);
  if (place < out.length) out[place] = (out[place] ?? 0) ^ (1 << random.below(8));
  return out;
}

const TAGS = new Set([0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x17, 0x30, 0x31, 0xa0, 0xa3]);

const KEY = String(CLIENT_IDENTITY.privateKey.export({ type: 'pkcs8', format: 'pem' }));

function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
