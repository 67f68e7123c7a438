import { ok, type Result } from '../../base/result.ts';
import { concat } from '../../wire/bytes.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import type { Epochs, Exhausted } from '../epochs.ts';
import { MAX_PLAINTEXT } from '../limits.ts';
import { HANDSHAKE_HEADER } from '../messages/message.ts';
import { HANDSHAKE_CODES } from '../messages/types.ts';
import { CONTENT } from '../record.ts';
import type { FlightItem } from './step.ts';

/**
 * The datagrams of a flight, each no larger than `maxDatagram` as long as one octet of a message fits with its headers.
 * Every call takes fresh record numbers, also for a flight that was sent before (RFC 6347 §4.2.4): each record in the
 * epoch that belongs to it, never the same number with other contents.
 */
export function packFlight(
  flight: readonly FlightItem[],
  epochs: Epochs,
  maxDatagram: number,
): Result<readonly Uint8Array[], Exhausted> {
  const datagrams: Uint8Array[] = [];
  let records: Uint8Array[] = [];
  let filled = 0;

  const flush = () => {
    if (records.length > 0) datagrams.push(concat(records));
    records = [];
    filled = 0;
  };
  /** Yields the failure, if it is one. */
  const append = (record: Result<Uint8Array, Exhausted>) => {
    if (!record.ok) return record;
    if (filled + record.value.length > maxDatagram) flush();
    records.push(record.value);
    filled += record.value.length;
    return undefined;
  };

  for (const element of flight) {
    if (element.kind === 'change-cipher-spec') {
      const failure = append(epochs.write(0, CONTENT.changeCipherSpec, CHANGE_CIPHER_SPEC));
      if (failure !== undefined) return failure;
      continue;
    }
    const overhead = epochs.overhead(element.epoch) + HANDSHAKE_HEADER;
    const length = element.raw.length - HANDSHAKE_HEADER;
    let offset = 0;
    do {
      const left = length - offset;
      // Too little room in this datagram to be worth a record of its own: begin the next.
      if (maxDatagram - filled - overhead < Math.min(left, LEAST_USEFUL)) flush();
      const room = isClientHello(element.raw) ? left : Math.max(1, maxDatagram - filled - overhead);
      const size = Math.min(left, room, MAX_PLAINTEXT - HANDSHAKE_HEADER);
      const failure = append(epochs.write(element.epoch, CONTENT.handshake, cut(element.raw, offset, size)));
      if (failure !== undefined) return failure;
      offset += size;
    } while (offset < length);
  }
  flush();
  return ok(datagrams);
}

/** The one octet of ChangeCipherSpec (RFC 5246 §7.1). */
export const CHANGE_CIPHER_SPEC = new Uint8Array([1]);

/** Octets of a message below which a fragment is not worth its 25 octets of headers. */
const LEAST_USEFUL = 32;

/** A hello goes in one piece: a server without state for us yet cannot put fragments together (RFC 6347 §4.2.1). */
function isClientHello(raw: Uint8Array): boolean {
  return raw[0] === HANDSHAKE_CODES.client_hello;
}

/** One fragment with its header (RFC 6347 §4.2.2): type, length and number are those of the whole message. */
function cut(raw: Uint8Array, offset: number, size: number): Uint8Array {
  const r = new Reader(raw);
  const typeLengthAndNumber = r.view(6);
  return new Writer(HANDSHAKE_HEADER + size)
    .bytes(typeLengthAndNumber)
    .uint(offset, 3)
    .vector(3, raw.subarray(HANDSHAKE_HEADER + offset, HANDSHAKE_HEADER + offset + size))
    .take();
}
