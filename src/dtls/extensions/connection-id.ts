import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** The id that records to the sender of this extension are to carry; empty: none (RFC 9146 §3). */
export interface ConnectionId {
  readonly type: 'connection_id';
  readonly id: Uint8Array;
}

/** The extension in `body`; undefined when it does not parse. */
export function parseConnectionId(body: Uint8Array): ConnectionId | undefined {
  const r = new Reader(body);
  const id = r.vector(1).slice();
  return r.done ? { type: 'connection_id', id } : undefined;
}

/** The extension's body. */
export function writeConnectionId(extension: ConnectionId): Uint8Array {
  return new Writer(1 + extension.id.length).vector(1, extension.id).take();
}
