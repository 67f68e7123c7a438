import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** The client's ephemeral key (RFC 8422 §5.7). A copy. */
export interface ClientKeyExchange {
  readonly type: 'client_key_exchange';
  readonly publicKey: Uint8Array;
}

/** The message in `body`; undefined when it does not parse. */
export function parseClientKeyExchange(body: Uint8Array): ClientKeyExchange | undefined {
  const r = new Reader(body);
  const publicKey = r.vector(1).slice();
  return r.done ? { type: 'client_key_exchange', publicKey } : undefined;
}

/** The message's body. */
export function writeClientKeyExchange(message: ClientKeyExchange): Uint8Array {
  return new Writer(1 + message.publicKey.length).vector(1, message.publicKey).take();
}
