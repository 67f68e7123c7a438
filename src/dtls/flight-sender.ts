import type { Role } from './effects.ts';
import { fragmentsIn } from './handshake/reassembly.ts';
import { SENDER_OF } from './messages/types.ts';
import { CONTENT, recordsIn } from './record.ts';

/**
 * The role of who sent the handshake messages in a datagram, as far as they are in the clear; undefined when they are
 * what either sends. Where two ends call each other there are two handshakes between the same addresses, and their
 * messages have the same numbers (RFC 5246 §7.3, RFC 6347 §4.2.4). `connectionIdLength` is that of the ids which records
 * to us carry.
 */
export function senderOf(datagram: Uint8Array, connectionIdLength: number): Role | undefined {
  for (const record of recordsIn(datagram, connectionIdLength)) {
    if (record?.type !== CONTENT.handshake || record.epoch !== 0) continue;
    for (const fragment of fragmentsIn(record.fragment)) {
      if (fragment === undefined) break;
      const sender = SENDER_OF.get(fragment.code);
      if (sender !== undefined) return sender;
    }
  }
  return undefined;
}
