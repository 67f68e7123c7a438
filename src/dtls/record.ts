import type { Epoch, SequenceNumber } from '../base/brand.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';

/** Content types by name (RFC 5246 §6.2.1, RFC 9146 §4). */
export const CONTENT = {
  changeCipherSpec: 20,
  alert: 21,
  handshake: 22,
  applicationData: 23,
  withConnectionId: 25,
} as const;

/**
 * One record as it lies in a datagram; `connectionId` and `fragment` are views.
 *
 * | octets | field |
 * | --- | --- |
 * | 1 | content type |
 * | 2 | version |
 * | 2 | epoch |
 * | 6 | sequence number |
 * | n | connection id, in records of type 25 only; its length is known to the receiver alone |
 * | 2 | length |
 * | length | fragment |
 */
export interface RecordView {
  readonly type: number;
  readonly version: number;
  readonly epoch: Epoch;
  readonly sequence: SequenceNumber;
  readonly connectionId: Uint8Array;
  readonly fragment: Uint8Array;
}

/** Octets of a record header without a connection id (RFC 6347 §4.1). */
export const RECORD_HEADER = 13;

/**
 * Every whole record in a datagram, in order. Stops at the first that does not fit, with a last value of undefined
 * (RFC 6347 §4.1.2.7: drop in silence). `connectionIdLength` is that of the id which records to us carry.
 */
export function* recordsIn(datagram: Uint8Array, connectionIdLength: number): Generator<RecordView | undefined> {
  const r = new Reader(datagram);
  while (!r.empty) {
    const type = r.uint(1);
    const version = r.uint(2);
    const epoch = r.uint(2) as Epoch;
    const sequence = r.uint(6) as SequenceNumber;
    const connectionId = r.view(type === CONTENT.withConnectionId ? connectionIdLength : 0);
    const fragment = r.vector(2);
    if (!r.ok) {
      yield undefined;
      return;
    }
    yield { type, version, epoch, sequence, connectionId, fragment };
  }
}

/** The octets of a record. `connectionId` is empty except for type 25. */
export function writeRecord(record: RecordView): Uint8Array {
  return new Writer(RECORD_HEADER + record.connectionId.length + record.fragment.length)
    .uint(record.type, 1)
    .uint(record.version, 2)
    .uint(record.epoch, 2)
    .uint(record.sequence, 6)
    .bytes(record.connectionId)
    .vector(2, record.fragment)
    .take();
}
