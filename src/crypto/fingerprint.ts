import { hash } from 'node:crypto';
import type { Fingerprint } from '../base/brand.ts';

/** The SHA-256 of a certificate's DER form: the only name a peer has. */
export function fingerprintOf(der: Uint8Array): Fingerprint {
  return hash('sha256', der, 'hex') as Fingerprint;
}

/**
 * The fingerprint that `text` writes, or undefined when it writes none. Accepted: 64 hex digits, the same with a colon
 * between octets (as openssl and browsers print it), and `SHA256:` with base64 (as ssh prints it, padding optional).
 */
export function parseFingerprint(text: string): Fingerprint | undefined {
  const trimmed = text.trim();
  const base64 = BASE64_FORM.exec(trimmed)?.[1];
  if (base64 !== undefined) {
    const octets = Buffer.from(base64, 'base64');
    // 43 digits carry 258 bits: the two that are left over must be zero, or two texts would name one peer.
    return octets.toString('base64').startsWith(base64) ? (octets.toString('hex') as Fingerprint) : undefined;
  }
  const plain = trimmed.toLowerCase();
  if (HEX_FORM.test(plain)) return plain as Fingerprint;
  if (COLON_FORM.test(plain)) return plain.replaceAll(':', '') as Fingerprint;
  return undefined;
}

/** The fingerprint as colon hex, the form that every message and config file of ours shows. */
export function formatFingerprint(fingerprint: Fingerprint): string {
  return fingerprint.replace(/..(?=.)/g, '$&:');
}

/** The fingerprint as `SHA256:` and base64 without padding, the short form. */
export function fingerprintBase64(fingerprint: Fingerprint): string {
  return `SHA256:${Buffer.from(fingerprint, 'hex').toString('base64').replace(/=+$/, '')}`;
}

const HEX_FORM = /^[0-9a-f]{64}$/;
const COLON_FORM = /^[0-9a-f]{2}(?::[0-9a-f]{2}){31}$/;
const BASE64_FORM = /^sha256:([A-Za-z0-9+/]{43})=?$/i;
