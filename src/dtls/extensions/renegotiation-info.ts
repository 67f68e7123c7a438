import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** The Finished of the handshake before, empty in a first one (RFC 5746 §3.2). */
export interface RenegotiationInfo {
  readonly type: 'renegotiation_info';
  readonly renegotiatedConnection: Uint8Array;
}

/** The extension in `body`; undefined when it does not parse. */
export function parseRenegotiationInfo(body: Uint8Array): RenegotiationInfo | undefined {
  const r = new Reader(body);
  const renegotiatedConnection = r.vector(1).slice();
  return r.done ? { type: 'renegotiation_info', renegotiatedConnection } : undefined;
}

/** The extension's body. */
export function writeRenegotiationInfo(extension: RenegotiationInfo): Uint8Array {
  return new Writer(1).vector(1, extension.renegotiatedConnection).take();
}
