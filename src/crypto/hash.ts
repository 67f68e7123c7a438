import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** Hash functions of the suites and signatures we speak. */
export type HashName = 'sha256' | 'sha384' | 'sha512';

/** Octets of each hash's output. */
export const HASH_LENGTH: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** The hash of `parts` one after the other. */
export function digest(hash: HashName, parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(hash);
  for (const part of parts) state.update(part);
  return state.digest();
}

/** The HMAC of `parts` one after the other (RFC 2104). */
export function hmac(hash: HashName, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const state = createHmac(hash, key);
  for (const part of parts) state.update(part);
  return state.digest();
}

/** Whether both hold the same octets, in a time that depends on their lengths only. For secrets and what proves them. */
export function equalSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
