import { toHex } from '../wire/bytes.ts';
import { Reader } from '../wire/reader.ts';

/** The random in an unfragmented ClientHello (RFC 6347 §4.2.1): two datagrams with the same one are the same hello. */
export function helloRandom(datagram: Uint8Array): string | undefined {
  const r = new Reader(datagram.subarray(RECORD_HEADER + HANDSHAKE_HEADER));
  r.uint(2);
  const random = r.view(32);
  return r.ok ? toHex(random) : undefined;
}

const RECORD_HEADER = 13;
const HANDSHAKE_HEADER = 12;
