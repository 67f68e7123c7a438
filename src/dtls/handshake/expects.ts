import type { HandshakeType } from '../messages/types.ts';
import type { ClientState } from './client.ts';
import type { ServerState } from './server.ts';

/**
 * The state machine: which messages each state accepts, and the state each leads to. A message that is next in order and
 * not listed ends the handshake (`unexpected_message`). The compiler checks that no state is missing, the machine that
 * every step ends where the table says; the tables and diagrams in README.md are generated from here.
 */

/** What a client accepts (RFC 6347 §4.2.4, figure 1; both sides authenticate, so CertificateRequest must come). */
export const CLIENT_EXPECTS = {
  'hello-sent': { hello_verify_request: 'hello-sent', server_hello: 'expect-certificate' },
  'expect-certificate': { certificate: 'expect-server-key-exchange' },
  'expect-server-key-exchange': { server_key_exchange: 'expect-certificate-request' },
  'expect-certificate-request': { certificate_request: 'expect-server-hello-done' },
  'expect-server-hello-done': { server_hello_done: 'expect-finished' },
  'expect-finished': { finished: 'established' },
  established: {},
} as const satisfies Record<ClientState['at'], Transitions<ClientState['at']>>;

/** What a server accepts. The hello that the listener let in is the first input. */
export const SERVER_EXPECTS = {
  'expect-client-hello': { client_hello: 'expect-certificate' },
  'expect-certificate': { certificate: 'expect-client-key-exchange' },
  'expect-client-key-exchange': { client_key_exchange: 'expect-certificate-verify' },
  'expect-certificate-verify': { certificate_verify: 'expect-finished' },
  'expect-finished': { finished: 'established' },
  established: {},
} as const satisfies Record<ServerState['at'], Transitions<ServerState['at']>>;

/** From an accepted message to the state after it. */
export type Transitions<At extends string> = Readonly<Partial<Record<HandshakeType, At>>>;
