import type { Epoch, SequenceNumber } from '../base/brand.ts';
import { open, type RecordKeys, seal, TAG_LENGTH } from '../crypto/aead.ts';
import { Writer } from '../wire/writer.ts';
import { CONTENT, RECORD_HEADER, type RecordView, writeRecord } from './record.ts';
import { DTLS_1_2 } from './versions.ts';

/** Record protection with an AEAD (RFC 5246 §6.2.3.3, RFC 5288, RFC 7905), with and without connection id (RFC 9146). */

/** What a protected record held. `fragment` is fresh memory. */
export interface Opened {
  readonly contentType: number;
  readonly fragment: Uint8Array;
}

/**
 * A whole record that protects `fragment`. `connectionId` is the id that our records carry; when it is not empty the
 * record is of type 25 and the content type travels inside (RFC 9146 §4).
 */
export function sealRecord(
  keys: RecordKeys,
  epoch: Epoch,
  sequence: SequenceNumber,
  connectionId: Uint8Array,
  contentType: number,
  fragment: Uint8Array,
): Uint8Array {
  const type = connectionId.length > 0 ? CONTENT.withConnectionId : contentType;
  const plaintext =
    connectionId.length > 0 ? new Writer(fragment.length + 1).bytes(fragment).uint(contentType, 1).take() : fragment;
  const number = new Writer(8).uint(epoch, 2).uint(sequence, 6).take();
  const header = { type, version: DTLS_1_2, epoch, sequence, connectionId };
  const aad = additionalData(header, number, plaintext.length);
  const sealed = seal(keys.aead, keys.key, nonceOf(keys, number), aad, plaintext);
  const body = isExplicit(keys) ? new Writer(8 + sealed.length).bytes(number).bytes(sealed).take() : sealed;
  return writeRecord({ ...header, fragment: body });
}

/** What `record` holds; undefined when it does not authenticate, whatever the cause. */
export function openRecord(keys: RecordKeys, record: RecordView): Opened | undefined {
  const number = new Writer(8).uint(record.epoch, 2).uint(record.sequence, 6).take();
  const explicit = isExplicit(keys) ? EXPLICIT_NONCE : 0;
  const length = record.fragment.length - explicit - TAG_LENGTH;
  if (length < 0) return undefined;
  // The explicit nonce is whatever the sender chose (RFC 5288 §3); ours equals the record number, others' need not.
  const nonce = nonceOf(keys, explicit > 0 ? record.fragment.subarray(0, explicit) : number);
  const plaintext = open(
    keys.aead,
    keys.key,
    nonce,
    additionalData(record, number, length),
    record.fragment.subarray(explicit),
  );
  if (plaintext === undefined) return undefined;
  return record.type === CONTENT.withConnectionId
    ? innerPlaintext(plaintext)
    : { contentType: record.type, fragment: plaintext };
}

/** Octets that protection adds to a fragment, header included. */
export function sealedOverhead(keys: RecordKeys, connectionId: Uint8Array): number {
  const id = connectionId.length > 0 ? connectionId.length + 1 : 0;
  return RECORD_HEADER + id + (isExplicit(keys) ? EXPLICIT_NONCE : 0) + TAG_LENGTH;
}

/** Octets of the nonce that an AES-GCM record carries (RFC 5288 §3). */
const EXPLICIT_NONCE = 8;

function isExplicit(keys: RecordKeys): boolean {
  return keys.aead !== 'chacha20-poly1305';
}

/** RFC 5288 §3: implicit then explicit part. RFC 7905 §2: the number, padded to the left, XOR the implicit part. */
function nonceOf(keys: RecordKeys, number: Uint8Array): Uint8Array {
  const nonce = new Uint8Array(12);
  nonce.set(number, 4);
  for (let i = 0; i < keys.iv.length; i++) nonce[i] = (nonce[i] ?? 0) ^ (keys.iv[i] ?? 0);
  return nonce;
}

/** RFC 5246 §6.2.3.3, and RFC 9146 §5.3 for type 25. `length` is that of the plaintext. */
function additionalData(record: Omit<RecordView, 'fragment'>, number: Uint8Array, length: number): Uint8Array {
  if (record.type !== CONTENT.withConnectionId) {
    return new Writer(13).bytes(number).uint(record.type, 1).uint(record.version, 2).uint(length, 2).take();
  }
  return new Writer(23 + record.connectionId.length)
    .bytes(PLACEHOLDER)
    .uint(CONTENT.withConnectionId, 1)
    .uint(record.connectionId.length, 1)
    .uint(CONTENT.withConnectionId, 1)
    .uint(record.version, 2)
    .bytes(number)
    .bytes(record.connectionId)
    .uint(length, 2)
    .take();
}

/** RFC 9146 §5.3: seq_num_placeholder. */
const PLACEHOLDER = new Uint8Array(8).fill(0xff);

/** RFC 9146 §4: content, type, zeros. A record of zeros only has no type and authenticates to nothing. */
function innerPlaintext(plaintext: Uint8Array): Opened | undefined {
  let at = plaintext.length - 1;
  while (at >= 0 && plaintext[at] === 0) at--;
  const contentType = plaintext[at];
  return contentType === undefined ? undefined : { contentType, fragment: plaintext.subarray(0, at) };
}
