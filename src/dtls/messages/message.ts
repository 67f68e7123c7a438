import { assertNever } from '../../base/invariant.ts';
import { Writer } from '../../wire/writer.ts';
import { type Certificate, parseCertificate, writeCertificate } from './certificate.ts';
import { type CertificateRequest, parseCertificateRequest, writeCertificateRequest } from './certificate-request.ts';
import { type CertificateVerify, parseCertificateVerify, writeCertificateVerify } from './certificate-verify.ts';
import { type ClientHello, parseClientHello, writeClientHello } from './client-hello.ts';
import { type ClientKeyExchange, parseClientKeyExchange, writeClientKeyExchange } from './client-key-exchange.ts';
import { type Finished, parseFinished, writeFinished } from './finished.ts';
import { type HelloVerifyRequest, parseHelloVerifyRequest, writeHelloVerifyRequest } from './hello-verify-request.ts';
import { parseServerHello, type ServerHello, writeServerHello } from './server-hello.ts';
import { parseServerHelloDone, type ServerHelloDone, writeServerHelloDone } from './server-hello-done.ts';
import { parseServerKeyExchange, type ServerKeyExchange, writeServerKeyExchange } from './server-key-exchange.ts';
import { HANDSHAKE_CODES, type HandshakeType } from './types.ts';

/** A handshake message that a state of ours can accept. */
export type Message =
  | ClientHello
  | HelloVerifyRequest
  | ServerHello
  | Certificate
  | ServerKeyExchange
  | CertificateRequest
  | ServerHelloDone
  | ClientKeyExchange
  | CertificateVerify
  | Finished;

/** The message of this type in `body`; undefined when it does not parse or is of a type that no state accepts. */
export function parseMessage(type: HandshakeType, body: Uint8Array): Message | undefined {
  switch (type) {
    case 'client_hello':
      return parseClientHello(body);
    case 'hello_verify_request':
      return parseHelloVerifyRequest(body);
    case 'server_hello':
      return parseServerHello(body);
    case 'certificate':
      return parseCertificate(body);
    case 'server_key_exchange':
      return parseServerKeyExchange(body);
    case 'certificate_request':
      return parseCertificateRequest(body);
    case 'server_hello_done':
      return parseServerHelloDone(body);
    case 'client_key_exchange':
      return parseClientKeyExchange(body);
    case 'certificate_verify':
      return parseCertificateVerify(body);
    case 'finished':
      return parseFinished(body);
    case 'hello_request':
    case 'new_session_ticket':
    case 'certificate_status':
      return undefined;
    default:
      return assertNever(type, 'handshake type');
  }
}

/**
 * A whole message with its header, as it enters the transcript and, cut into fragments, the wire (RFC 6347 §4.2.2).
 *
 * | octets | field |
 * | --- | --- |
 * | 1 | type |
 * | 3 | length of the body |
 * | 2 | message_seq |
 * | 3 | fragment_offset, here 0 |
 * | 3 | fragment_length, here the length |
 */
export function writeMessage(message: Message, sequence: number): Uint8Array {
  const body = bodyOf(message);
  return new Writer(HANDSHAKE_HEADER + body.length)
    .uint(HANDSHAKE_CODES[message.type], 1)
    .uint(body.length, 3)
    .uint(sequence, 2)
    .uint(0, 3)
    .vector(3, body)
    .take();
}

/** Octets of a handshake header. */
export const HANDSHAKE_HEADER = 12;

function bodyOf(message: Message): Uint8Array {
  switch (message.type) {
    case 'client_hello':
      return writeClientHello(message);
    case 'hello_verify_request':
      return writeHelloVerifyRequest(message);
    case 'server_hello':
      return writeServerHello(message);
    case 'certificate':
      return writeCertificate(message);
    case 'server_key_exchange':
      return writeServerKeyExchange(message);
    case 'certificate_request':
      return writeCertificateRequest(message);
    case 'server_hello_done':
      return writeServerHelloDone(message);
    case 'client_key_exchange':
      return writeClientKeyExchange(message);
    case 'certificate_verify':
      return writeCertificateVerify(message);
    case 'finished':
      return writeFinished(message);
    default:
      return assertNever(message, 'handshake message');
  }
}
