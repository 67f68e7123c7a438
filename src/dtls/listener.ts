import type { Instant } from '../base/brand.ts';
import { systemRandom } from '../crypto/random.ts';
import { equalBytes } from '../wire/bytes.ts';
import { CookieJar } from './cookie.ts';
import { fragmentsIn } from './handshake/reassembly.ts';
import { speaksOurVersion } from './handshake/server.ts';
import { MAX_MESSAGE } from './limits.ts';
import { type ClientHello, parseClientHello } from './messages/client-hello.ts';
import { writeMessage } from './messages/message.ts';
import { HANDSHAKE_CODES } from './messages/types.ts';
import type { CryptoSource } from './options.ts';
import { CONTENT, type RecordView, recordsIn, writeRecord } from './record.ts';
import type { FrontDoorDrop, FrontDoorVerdict } from './sans-io.ts';
import { DTLS_1_0, DTLS_1_2 } from './versions.ts';

/** How a listener behaves. */
export interface ListenerOptions {
  /** Source of the cookie secrets. Default: the process's CSPRNG. */
  readonly crypto?: CryptoSource;
  /** Demand a cookie (default). Without, anybody who forges an address costs us key work and a flight to a victim. */
  readonly cookies?: boolean;
}

/**
 * The front door of a server: looks at first datagrams without memory, without key work, and answers a hello at most
 * once with less than it brought (RFC 6347 §4.2.1). Nothing is remembered about any sender.
 */
export class Listener {
  readonly #cookies: CookieJar | undefined;

  constructor(options: ListenerOptions = {}) {
    this.#cookies = options.cookies === false ? undefined : new CookieJar(options.crypto ?? systemRandom);
  }

  /**
   * What to do about a datagram that belongs to no association. `client` identifies its source: address and port, in
   * whatever form, at most 255 octets, the same for the same source.
   */
  receive(client: Uint8Array, datagram: Uint8Array, now: Instant): FrontDoorVerdict {
    const first = firstHello(datagram);
    if ('reason' in first) return { kind: 'drop', reason: first.reason };
    const { hello, record, sequence } = first;
    if (this.#cookies === undefined) return { kind: 'accept', hello: datagram.slice() };
    const cookie = this.#cookies.judge(client, hello, sequence, now);
    if (cookie === 'valid') return { kind: 'accept', hello: datagram.slice() };
    // RFC 6347 §4.2.1: a cookie that does not verify is as none. Silence would lock out who asked before a restart.
    const reply = challenge(this.#cookies.make(client, hello, now), record, sequence);
    return { kind: 'challenge', reply, cookie };
  }
}

/**
 * Whether two accepted datagrams hold the same client's same hello: a repetition, not another attempt, nor the hello that
 * follows another challenge, whose connection is to be made from it.
 */
export function isSameHello(a: Uint8Array, b: Uint8Array): boolean {
  const one = firstHello(a);
  const other = firstHello(b);
  if (!('hello' in one) || !('hello' in other)) return false;
  return one.sequence === other.sequence && equalBytes(one.hello.random, other.hello.random);
}

interface FirstHello {
  readonly hello: ClientHello;
  readonly record: RecordView;
  /** Of the handshake message. */
  readonly sequence: number;
}

/** The ClientHello that a first datagram must begin with. */
function firstHello(datagram: Uint8Array): FirstHello | { readonly reason: FrontDoorDrop } {
  const [record] = recordsIn(datagram, 0);
  if (record === undefined) return { reason: 'malformed' };
  if (record.type !== CONTENT.handshake || record.epoch !== 0) return { reason: 'not_client_hello' };
  if (record.version !== DTLS_1_2 && record.version !== DTLS_1_0) return { reason: 'version' };
  const [fragment] = fragmentsIn(record.fragment);
  if (fragment === undefined) return { reason: 'malformed' };
  if (fragment.code !== HANDSHAKE_CODES.client_hello) return { reason: 'not_client_hello' };
  if (fragment.length > MAX_MESSAGE.client_hello) return { reason: 'malformed' };
  if (fragment.offset > 0 || fragment.data.length !== fragment.length) return { reason: 'fragmented' };
  const hello = parseClientHello(fragment.data);
  if (hello === undefined) return { reason: 'malformed' };
  if (!speaksOurVersion(hello.version)) return { reason: 'version' };
  return { hello, record, sequence: fragment.sequence };
}

/** HelloVerifyRequest under the numbers of the hello it answers, so that nothing has to be counted (RFC 6347 §4.2.1). */
function challenge(cookie: Uint8Array, record: RecordView, sequence: number): Uint8Array {
  const message = writeMessage({ type: 'hello_verify_request', version: DTLS_1_0, cookie }, sequence);
  return writeRecord({
    type: CONTENT.handshake,
    version: DTLS_1_0,
    epoch: record.epoch,
    sequence: record.sequence,
    connectionId: new Uint8Array(0),
    fragment: message,
  });
}
