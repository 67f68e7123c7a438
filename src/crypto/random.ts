import { randomBytes } from 'node:crypto';

/** The process's CSPRNG: the one real source of unpredictable octets. Satisfies `CryptoSource` of the engine's options. */
export const systemRandom = {
  /** `length` unpredictable octets. */
  random(length: number): Uint8Array {
    return new Uint8Array(randomBytes(length));
  },
} as const;
