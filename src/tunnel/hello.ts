import { toHex } from '../wire/bytes.ts';
import { Reader } from '../wire/reader.ts';

/**
 * What tells hellos apart: the random stays the same for a whole call, the message number grows with every challenge
 * (RFC 6347 §4.2.1, §4.2.2). Two datagrams with the same of both are the same hello.
 */
export interface HelloMark {
  /** In hex. */
  readonly random: string;
  readonly number: number;
}

/** The mark of an unfragmented ClientHello. */
export function helloMark(datagram: Uint8Array): HelloMark | undefined {
  const r = new Reader(datagram.subarray(RECORD_HEADER + TYPE_AND_LENGTH));
  const number = r.uint(2);
  r.view(FRAGMENT_PLACE);
  r.uint(2);
  const random = r.view(32);
  return r.ok ? { random: toHex(random), number } : undefined;
}

const RECORD_HEADER = 13;
const TYPE_AND_LENGTH = 4;
const FRAGMENT_PLACE = 6;
