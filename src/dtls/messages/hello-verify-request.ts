import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** RFC 6347 §4.2.1. `cookie` is a copy. */
export interface HelloVerifyRequest {
  readonly type: 'hello_verify_request';
  readonly version: number;
  readonly cookie: Uint8Array;
}

/** The message in `body`; undefined when it does not parse. */
export function parseHelloVerifyRequest(body: Uint8Array): HelloVerifyRequest | undefined {
  const r = new Reader(body);
  const version = r.uint(2);
  const cookie = r.vector(1).slice();
  return r.done ? { type: 'hello_verify_request', version, cookie } : undefined;
}

/** The message's body. */
export function writeHelloVerifyRequest(message: HelloVerifyRequest): Uint8Array {
  return new Writer(3 + message.cookie.length).uint(message.version, 2).vector(1, message.cookie).take();
}
