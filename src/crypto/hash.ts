import { createHmac, hash, timingSafeEqual } from 'node:crypto';

/** Hash functions of the suites and signatures we speak. */
export type HashName = 'sha256' | 'sha384' | 'sha512';

/** Octets of each hash's output. */
export const HASH_LENGTH: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** The hash of `bytes`. */
export function digest(name: HashName, bytes: Uint8Array): Uint8Array {
  return hash(name, bytes, 'buffer');
}

/** The HMAC of `parts` one after the other (RFC 2104). */
export function hmac(name: HashName, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const state = createHmac(name, key);
  for (const part of parts) state.update(part);
  return state.digest();
}

/** Whether both hold the same octets, in a time that depends on their lengths only. For secrets and what proves them. */
export function equalSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
