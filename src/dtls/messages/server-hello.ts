import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { type Extension, parseExtensions, writeExtensions } from '../extensions/extension.ts';

/** RFC 5246 §7.4.1.3. Byte arrays are copies. */
export interface ServerHello {
  readonly type: 'server_hello';
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly suite: number;
  readonly compression: number;
  readonly extensions: readonly Extension[];
}

/** The message in `body`; undefined when it does not parse. */
export function parseServerHello(body: Uint8Array): ServerHello | undefined {
  const r = new Reader(body);
  const version = r.uint(2);
  const random = r.view(32).slice();
  const sessionId = r.vector(1).slice();
  const suite = r.uint(2);
  const compression = r.uint(1);
  const extensions = parseExtensions(r);
  if (!r.done || sessionId.length > 32 || extensions === undefined) return undefined;
  return { type: 'server_hello', version, random, sessionId, suite, compression, extensions };
}

/** The message's body. */
export function writeServerHello(message: ServerHello): Uint8Array {
  const w = new Writer(128)
    .uint(message.version, 2)
    .bytes(message.random)
    .vector(1, message.sessionId)
    .uint(message.suite, 2)
    .uint(message.compression, 1);
  writeExtensions(w, message.extensions);
  return w.take();
}
