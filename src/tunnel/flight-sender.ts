import type { Role } from '../dtls/effects.ts';
import { fragmentsIn } from '../dtls/handshake/reassembly.ts';
import { HANDSHAKE_CODES } from '../dtls/messages/types.ts';
import { CONTENT, recordsIn } from '../dtls/record.ts';
import { CONNECTION_ID_LENGTH } from './limits.ts';

/**
 * The role of who sent the handshake messages in a datagram, as far as they are in the clear; undefined when they are
 * what either sends. Where two ends call each other there are two handshakes between the same addresses, and their
 * messages have the same numbers (RFC 5246 §7.3, RFC 6347 §4.2.4).
 */
export function senderOf(datagram: Uint8Array): Role | undefined {
  for (const record of recordsIn(datagram, CONNECTION_ID_LENGTH)) {
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
