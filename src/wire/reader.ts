/**
 * A cursor over bytes that cannot run off the end. Reading past the end yields zeros or empty views and turns `ok`
 * false for good, so that parsers stay straight and check once. Views share the caller's memory: copy what is kept.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #ok = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** False once any read went past the end. */
  get ok(): boolean {
    return this.#ok;
  }

  /** True when nothing is left to read (or the reader is poisoned). */
  get empty(): boolean {
    return !this.#ok || this.#at >= this.#bytes.length;
  }

  /** True when every read fitted and nothing is left over: a whole message. */
  get done(): boolean {
    return this.#ok && this.#at === this.#bytes.length;
  }

  /** Octets left; 0 when poisoned. */
  get remaining(): number {
    return this.#ok ? this.#bytes.length - this.#at : 0;
  }

  /** Octets read so far. */
  get position(): number {
    return this.#at;
  }

  /** The big-endian unsigned integer in the next `width` octets (1 … 6, exact in a double). */
  uint(width: 1 | 2 | 3 | 4 | 5 | 6): number {
    if (!this.#take(width)) return 0;
    let value = 0;
    for (let i = this.#at - width; i < this.#at; i++) value = value * 256 + (this.#bytes[i] ?? 0);
    return value;
  }

  /** A view of the next `length` octets. */
  view(length: number): Uint8Array {
    if (!this.#take(length)) return EMPTY;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** A view of a vector: a length of `width` octets, then that many octets (RFC 5246 §4.3). */
  vector(width: 1 | 2 | 3): Uint8Array {
    return this.view(this.uint(width));
  }

  /** A view of everything that is left. */
  rest(): Uint8Array {
    return this.view(this.remaining);
  }

  /** Marks the input as malformed: for a value that fits but must not be. */
  poison(): void {
    this.#ok = false;
  }

  #take(length: number): boolean {
    if (!this.#ok || length < 0 || this.#at + length > this.#bytes.length) {
      this.#ok = false;
      return false;
    }
    this.#at += length;
    return true;
  }
}

const EMPTY = new Uint8Array(0);
