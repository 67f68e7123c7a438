import type { Role } from './effects.ts';
import { fragmentsIn } from './handshake/reassembly.ts';
import { HANDSHAKE_CODES } from './messages/types.ts';
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
      const sender = SENDERS.get(fragment.code);
      if (sender !== undefined) return sender;
    }
  }
  return undefined;
}

/** Certificate and Finished come from either. */
const SENDERS: ReadonlyMap<number, Role> = new Map([
  [HANDSHAKE_CODES.client_hello, 'client'],
  [HANDSHAKE_CODES.client_key_exchange, 'client'],
  [HANDSHAKE_CODES.certificate_verify, 'client'],
  [HANDSHAKE_CODES.hello_request, 'server'],
  [HANDSHAKE_CODES.hello_verify_request, 'server'],
  [HANDSHAKE_CODES.server_hello, 'server'],
  [HANDSHAKE_CODES.server_key_exchange, 'server'],
  [HANDSHAKE_CODES.certificate_request, 'server'],
  [HANDSHAKE_CODES.server_hello_done, 'server'],
  [HANDSHAKE_CODES.new_session_ticket, 'server'],
  [HANDSHAKE_CODES.certificate_status, 'server'],
]);
