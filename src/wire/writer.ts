import { invariant } from '../base/invariant.ts';

/**
 * Builds a message front to back in one growing buffer. Length fields are reserved and filled in when the body is
 * known. Overrunning a field is a bug in the caller, never input: it throws.
 */
export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Octets written so far. */
  get length(): number {
    return this.#length;
  }

  /** Appends `value` as a big-endian unsigned integer of `width` octets. */
  uint(value: number, width: 1 | 2 | 3 | 4 | 5 | 6): this {
    // The text is made only when it is needed: it would cost more than the octets.
    if (!fits(value, width)) invariant(false, `${value} fits ${width} octets`);
    const at = this.#grow(width);
    this.#put(at, value, width);
    return this;
  }

  /** Appends a copy of `bytes`. */
  bytes(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** Appends a vector: the length in `width` octets, then what `body` writes (RFC 5246 §4.3). */
  vector(width: 1 | 2 | 3, body: Uint8Array | ((writer: this) => void)): this {
    const at = this.#grow(width);
    if (typeof body === 'function') body(this);
    else this.bytes(body);
    const length = this.#length - at - width;
    if (!fits(length, width)) invariant(false, `vector of ${length} octets fits a length of ${width} octets`);
    this.#put(at, length, width);
    return this;
  }

  /** Everything written, as memory of its own; the writer is empty afterwards. */
  take(): Uint8Array {
    const written = this.#length === this.#bytes.length ? this.#bytes : this.#bytes.slice(0, this.#length);
    this.#bytes = EMPTY;
    this.#length = 0;
    return written;
  }

  #grow(by: number): number {
    const at = this.#length;
    this.#length += by;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    return at;
  }

  #put(at: number, value: number, width: number): void {
    let rest = value;
    for (let i = at + width - 1; i >= at; i--) {
      this.#bytes[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }
}

function fits(value: number, width: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value < 256 ** width;
}

const EMPTY = new Uint8Array(0);
