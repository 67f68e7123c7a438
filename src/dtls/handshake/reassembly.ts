import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import type { DropReason } from '../drops.ts';
import { MAX_MESSAGE, MAX_MESSAGES_AHEAD, MAX_PIECES, MAX_REASSEMBLY_OCTETS } from '../limits.ts';
import { HANDSHAKE_HEADER } from '../messages/message.ts';
import { HANDSHAKE_CODES, type HandshakeType, handshakeTypeOf } from '../messages/types.ts';

/** A piece of a handshake message as it came (RFC 6347 §4.2.2). `data` is a view. */
export interface Fragment {
  readonly code: number;
  /** Of the whole message's body. */
  readonly length: number;
  readonly sequence: number;
  readonly offset: number;
  readonly data: Uint8Array;
}

/** The fragments in a handshake record, in order; a last undefined when the end does not fit. */
export function* fragmentsIn(record: Uint8Array): Generator<Fragment | undefined> {
  const r = new Reader(record);
  // A record without octets is no message either.
  do {
    const code = r.uint(1);
    const length = r.uint(3);
    const sequence = r.uint(2);
    const offset = r.uint(3);
    const data = r.vector(3);
    if (!r.ok) {
      yield undefined;
      return;
    }
    yield { code, length, sequence, offset, data };
  } while (!r.empty);
}

/** A handshake message with all its octets. `raw` begins with the header as if it had come in one piece. */
export interface WholeMessage {
  readonly type: HandshakeType;
  readonly sequence: number;
  readonly raw: Uint8Array;
  /** A view into `raw`. */
  readonly body: Uint8Array;
}

/** The message that `fragment` is all of; undefined when it is only a part. */
export function wholeOf(fragment: Fragment): WholeMessage | undefined {
  const reassembly = new Reassembly(fragment.sequence);
  reassembly.add(fragment);
  return reassembly.take();
}

/**
 * Puts handshake messages together, in order of their sequence numbers, from fragments that may come in any order, any
 * number of times and cut differently each time (RFC 6347 §4.2.3).
 *
 * Everything here is unauthenticated. Memory is bounded by count and octets. What is said about a message last wins
 * while it is incomplete: an injected fragment must not keep the honest retransmission out.
 */
export class Reassembly {
  #next: number;
  readonly #messages = new Map<number, PartialMessage>();
  #octets = 0;

  constructor(next: number) {
    this.#next = next;
  }

  /** The sequence number of the message to be taken next. */
  get next(): number {
    return this.#next;
  }

  /** Octets held for messages that have not been taken. */
  get octets(): number {
    return this.#octets;
  }

  /** The type of the next message once it is whole; undefined before. */
  get ready(): HandshakeType | undefined {
    const message = this.#messages.get(this.#next);
    return message?.whole ? message.type : undefined;
  }

  /** Adds a fragment; yields why it was ignored, or undefined when it was not. */
  add(fragment: Fragment): DropReason | undefined {
    const type = handshakeTypeOf(fragment.code);
    if (type === undefined || fragment.offset + fragment.data.length > fragment.length) return 'bad_fragment';
    // RFC 5246 §7.4.5: the only message without a body, besides HelloRequest, which never gets here.
    if (fragment.length === 0 && type !== 'server_hello_done') return 'bad_fragment';
    if (fragment.sequence < this.#next) return 'repeated';
    if (fragment.length > MAX_MESSAGE[type]) return 'too_large';
    if (fragment.sequence >= this.#next + MAX_MESSAGES_AHEAD) return 'no_room';
    if (fragment.data.length === 0 && fragment.length > 0) return 'empty_fragment';
    const message = this.#messageFor(type, fragment);
    if (message === undefined) return 'no_room';
    return message.put(fragment.offset, fragment.data) ? undefined : 'no_room';
  }

  /** The next message if it is whole; the one after it is then next. */
  take(): WholeMessage | undefined {
    const message = this.#messages.get(this.#next);
    if (message === undefined || !message.whole) return undefined;
    const sequence = this.#next;
    this.#forget(sequence, message);
    this.#next++;
    return {
      type: message.type,
      sequence,
      raw: message.raw,
      body: message.raw.subarray(HANDSHAKE_HEADER),
    };
  }

  /** Says that the message of this number is next; forgets those before it. */
  continueAt(sequence: number): void {
    this.#next = sequence;
    for (const [held, message] of this.#messages) if (held < sequence) this.#forget(held, message);
  }

  /** Drops everything that waits: the handshake is over. */
  clear(): void {
    this.#messages.clear();
    this.#octets = 0;
  }

  #messageFor(type: HandshakeType, fragment: Fragment): PartialMessage | undefined {
    const known = this.#messages.get(fragment.sequence);
    if (known !== undefined) {
      if (known.type === type && known.length === fragment.length) return known;
      // One of the two is forged or the peer is broken: the later word counts.
      this.#forget(fragment.sequence, known);
    }
    if (!this.#makeRoom(fragment.length, fragment.sequence)) return undefined;
    const message = new PartialMessage(type, fragment.length, fragment.sequence);
    this.#messages.set(fragment.sequence, message);
    this.#octets += fragment.length;
    return message;
  }

  /** Makes room by forgetting messages that are further ahead than `sequence`, furthest first. */
  #makeRoom(octets: number, sequence: number): boolean {
    while (this.#octets + octets > MAX_REASSEMBLY_OCTETS) {
      const furthest = Math.max(...this.#messages.keys());
      const message = this.#messages.get(furthest);
      if (furthest <= sequence || message === undefined) return false;
      this.#forget(furthest, message);
    }
    return true;
  }

  #forget(sequence: number, message: PartialMessage): void {
    this.#messages.delete(sequence);
    this.#octets -= message.length;
  }
}

/** One message being put together: its octets, and which ranges of them are there. */
class PartialMessage {
  readonly type: HandshakeType;
  readonly length: number;
  readonly raw: Uint8Array;
  /** Ascending, disjoint, not touching: [from, to). */
  #ranges: (readonly [from: number, to: number])[] = [];

  constructor(type: HandshakeType, length: number, sequence: number) {
    this.type = type;
    this.length = length;
    const header = new Writer(HANDSHAKE_HEADER)
      .uint(HANDSHAKE_CODES[type], 1)
      .uint(length, 3)
      .uint(sequence, 2)
      .uint(0, 3)
      .uint(length, 3)
      .take();
    this.raw = new Uint8Array(HANDSHAKE_HEADER + length);
    this.raw.set(header);
  }

  get whole(): boolean {
    if (this.length === 0) return true;
    const [first] = this.#ranges;
    return first !== undefined && first[0] === 0 && first[1] === this.length;
  }

  /** False when the pieces would become too many. */
  put(offset: number, data: Uint8Array): boolean {
    let from = offset;
    let to = offset + data.length;
    const before: (readonly [number, number])[] = [];
    const after: (readonly [number, number])[] = [];
    for (const range of this.#ranges) {
      if (range[1] < from) before.push(range);
      else if (range[0] > to) after.push(range);
      else {
        from = Math.min(from, range[0]);
        to = Math.max(to, range[1]);
      }
    }
    if (before.length + after.length >= MAX_PIECES) return false;
    this.raw.set(data, HANDSHAKE_HEADER + offset);
    this.#ranges = this.length === 0 ? [] : [...before, [from, to], ...after];
    return true;
  }
}
