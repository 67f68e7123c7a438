/**
 * Content both ends can make from a seed, so that a receiver checks every byte of a transfer without being told
 * anything: a block of pseudo-random bytes, repeated. The length is a prime, so that a packet lost, repeated or put
 * elsewhere never happens to match.
 */
export class Pattern {
  /** The block twice in a row: any stretch up to its length is one contiguous view. */
  readonly #twice: Buffer;

  constructor(seed: number) {
    const block = Buffer.alloc(PERIOD);
    const random = seededRandom(seed);
    for (let i = 0; i < PERIOD; i++) block[i] = random() & 0xff;
    this.#twice = Buffer.concat([block, block]);
  }

  /** A view of the `length` bytes at `offset` of the endless content; `length` at most `PERIOD`. */
  at(offset: number, length: number): Buffer {
    const start = offset % PERIOD;
    return this.#twice.subarray(start, start + length);
  }

  /** Whether `bytes` is what the content holds at `offset`. */
  matches(bytes: Uint8Array, offset: number): boolean {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(bytes.length - done, PERIOD);
      if (!this.at(offset + done, length).equals(bytes.subarray(done, done + length))) return false;
      done += length;
    }
    return true;
  }
}

/** Octets after which the content repeats. */
export const PERIOD = 1_048_573;

/**
 * A generator of 32-bit unsigned integers, the same for the same seed (xorshift32 after a mixing step, so that small
 * seeds differ from the start). For tests and impairments, never for secrets.
 */
export function seededRandom(seed: number): () => number {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}
