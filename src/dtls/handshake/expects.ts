import type { HandshakeType } from '../messages/types.ts';
import type { ClientState } from './client.ts';
import type { ServerState } from './server.ts';

/**
 * Which handshake messages each state accepts: the whole state machine. A message that is next in order and not listed
 * ends the handshake (`unexpected_message`). The compiler checks that no state is missing; the table in README.md is
 * generated from here.
 */

/** What a client accepts (RFC 6347 §4.2.4, figure 1; both sides authenticate, so CertificateRequest must come). */
export const CLIENT_EXPECTS = {
  'hello-sent': ['hello_verify_request', 'server_hello'],
  'expect-certificate': ['certificate'],
  'expect-server-key-exchange': ['server_key_exchange'],
  'expect-certificate-request': ['certificate_request'],
  'expect-server-hello-done': ['server_hello_done'],
  'expect-finished': ['finished'],
  established: [],
} as const satisfies Record<ClientState['at'], readonly HandshakeType[]>;

/** What a server accepts. The hello that the listener let in is the first input. */
export const SERVER_EXPECTS = {
  'expect-client-hello': ['client_hello'],
  'expect-certificate': ['certificate'],
  'expect-client-key-exchange': ['client_key_exchange'],
  'expect-certificate-verify': ['certificate_verify'],
  'expect-finished': ['finished'],
  established: [],
} as const satisfies Record<ServerState['at'], readonly HandshakeType[]>;
