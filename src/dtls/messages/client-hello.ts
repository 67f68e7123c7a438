import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { type Extension, parseExtensions, writeExtensions } from '../extensions/extension.ts';

/** RFC 5246 §7.4.1.2 with the cookie of RFC 6347 §4.2.1. Byte arrays are copies. */
export interface ClientHello {
  readonly type: 'client_hello';
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cookie: Uint8Array;
  readonly suites: readonly number[];
  readonly compressions: Uint8Array;
  readonly extensions: readonly Extension[];
}

/** The message in `body`; undefined when it does not parse. */
export function parseClientHello(body: Uint8Array): ClientHello | undefined {
  const r = new Reader(body);
  const version = r.uint(2);
  const random = r.view(32).slice();
  const sessionId = r.vector(1).slice();
  const cookie = r.vector(1).slice();
  const suiteList = new Reader(r.vector(2));
  const suites: number[] = [];
  while (!suiteList.empty) suites.push(suiteList.uint(2));
  const compressions = r.vector(1).slice();
  const extensions = parseExtensions(r);
  const fits = r.done && suiteList.ok && sessionId.length <= 32 && suites.length > 0 && compressions.length > 0;
  if (!fits || extensions === undefined) return undefined;
  return { type: 'client_hello', version, random, sessionId, cookie, suites, compressions, extensions };
}

/** The message's body. */
export function writeClientHello(message: ClientHello): Uint8Array {
  const w = new Writer(256)
    .uint(message.version, 2)
    .bytes(message.random)
    .vector(1, message.sessionId)
    .vector(1, message.cookie)
    .vector(2, (list) => {
      for (const suite of message.suites) list.uint(suite, 2);
    })
    .vector(1, message.compressions);
  writeExtensions(w, message.extensions);
  return w.take();
}
