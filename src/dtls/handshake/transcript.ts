import { digest, type HashName } from '../../crypto/hash.ts';
import { concat } from '../../wire/bytes.ts';

/**
 * The handshake messages both sides have seen, whole, with headers as if never fragmented; without the first hello and
 * HelloVerifyRequest (RFC 6347 §4.2.1, §4.2.6). Immutable: `with` yields a longer one.
 */
export class Transcript {
  static readonly EMPTY = new Transcript([]);

  readonly #messages: readonly Uint8Array[];

  private constructor(messages: readonly Uint8Array[]) {
    this.#messages = messages;
  }

  /** This and then `messages`, which must not be changed afterwards. */
  with(...messages: readonly Uint8Array[]): Transcript {
    return new Transcript([...this.#messages, ...messages]);
  }

  /** The hash of all messages (RFC 5246 §7.4.9, RFC 7627 §3). */
  hash(hash: HashName): Uint8Array {
    // One call with all octets costs less than a dozen with a message each.
    return digest(hash, this.bytes());
  }

  /** All octets, which is what CertificateVerify signs (RFC 5246 §7.4.8). */
  bytes(): Uint8Array {
    return concat(this.#messages);
  }
}
