import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { certificateFromPem, createSelfSigned, readIdentity } from '../../src/crypto/certificate.ts';
import { fingerprintOf, formatFingerprint } from '../../src/crypto/fingerprint.ts';
import type { Identity } from '../../src/crypto/identity.ts';

/** UDP port of the hub, and of every spoke at an address of its own. */
export const HUB_PORT = 4433;
export const SPOKE_PORT = 4433;

/** Outer address of spoke `index` (RFC 6598 space, 100.64.0.0/10). */
export function outerAddress(index: number): string {
  return `100.64.${(index >> 8) & 255}.${index & 255}`;
}

/** The one inner prefix of spoke `index`. */
export function innerPrefix(index: number): string {
  return `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}/32`;
}

/** Makes an identity and keeps it as two PEM files with this base name. */
export async function makeIdentityFiles(base: string, commonName: string): Promise<Identity> {
  const now = Math.floor(Date.now() / 1000);
  const made = await createSelfSigned({ commonName, days: 30, keyType: 'p256', now });
  writeFileSync(`${base}.crt`, made.certificatePem, { mode: 0o600 });
  writeFileSync(`${base}.key`, made.privateKeyPem, { mode: 0o600 });
  return readIdentityFiles(base);
}

/** Reads what `makeIdentityFiles` wrote. */
export function readIdentityFiles(base: string): Identity {
  const read = readIdentity(readFileSync(`${base}.crt`, 'utf8'), readFileSync(`${base}.key`, 'utf8'));
  if (!read.ok) throw new Error(read.error.detail);
  return read.value;
}

/**
 * Identities for any number of spokes out of one, without making thousands of keys: each has a serial number of its own
 * and so a fingerprint of its own. The self-signature is then wrong, which nobody who pins certificates looks at.
 */
export class SpokeIdentities {
  readonly #template: Identity;
  readonly #der: Uint8Array;
  readonly #serialEnd: number;

  constructor(base: string) {
    this.#template = readIdentityFiles(base);
    const der = certificateFromPem(readFileSync(`${base}.crt`, 'utf8'));
    if (der === undefined) throw new Error(`no certificate in ${base}.crt`);
    const serial = Buffer.from(new X509Certificate(der).serialNumber, 'hex');
    const at = Buffer.from(der).indexOf(serial);
    if (at < 0) throw new Error('the serial number is not where it should be');
    this.#der = der;
    this.#serialEnd = at + serial.length;
  }

  identity(index: number): Identity {
    const der = this.#der.slice();
    new DataView(der.buffer).setUint32(this.#serialEnd - 4, index);
    return { certificates: [der], privateKey: this.#template.privateKey, fingerprint: fingerprintOf(der) };
  }

  /** As it stands in a configuration. */
  fingerprint(index: number): string {
    return formatFingerprint(this.identity(index).fingerprint);
  }
}
