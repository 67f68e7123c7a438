import type { Role } from '../effects.ts';

/** Handshake message types by name (RFC 5246 §7.4, RFC 6347 §4.3.2, RFC 6066 §8 and RFC 5077 for two we never ask for). */
export const HANDSHAKE_CODES = {
  hello_request: 0,
  client_hello: 1,
  server_hello: 2,
  hello_verify_request: 3,
  new_session_ticket: 4,
  certificate: 11,
  server_key_exchange: 12,
  certificate_request: 13,
  server_hello_done: 14,
  certificate_verify: 15,
  client_key_exchange: 16,
  finished: 20,
  certificate_status: 22,
} as const;

/** Name of a handshake message type. */
export type HandshakeType = keyof typeof HANDSHAKE_CODES;

/** The type with this code; undefined for codes that TLS 1.2 does not define. */
export function handshakeTypeOf(code: number): HandshakeType | undefined {
  return NAMES.get(code);
}

const NAMES: ReadonlyMap<number, HandshakeType> = new Map([
  [0, 'hello_request'],
  [1, 'client_hello'],
  [2, 'server_hello'],
  [3, 'hello_verify_request'],
  [4, 'new_session_ticket'],
  [11, 'certificate'],
  [12, 'server_key_exchange'],
  [13, 'certificate_request'],
  [14, 'server_hello_done'],
  [15, 'certificate_verify'],
  [16, 'client_key_exchange'],
  [20, 'finished'],
  [22, 'certificate_status'],
]);

/** Which role alone sends the messages with these codes (RFC 5246 §7.3). Certificate and Finished come from either. */
export const SENDER_OF: ReadonlyMap<number, Role> = new Map([
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
