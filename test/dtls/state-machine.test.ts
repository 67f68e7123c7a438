import { describe, expect, it } from 'vitest';
import { CLIENT_EXPECTS, SERVER_EXPECTS } from '../../src/dtls/handshake/expects.ts';
import type { Message } from '../../src/dtls/messages/message.ts';
import { HANDSHAKE_CODES } from '../../src/dtls/messages/types.ts';
import { BadClient, BadServer, properHello } from '../support/bad-peer.ts';
import { SeededRandom } from '../support/seeded-random.ts';

/**
 * H32 every handshake message in every state, both roles (CVE-2014-6593 and its kin): exactly those that EXPECTS lists
 * advance. Drawn from the table itself.
 */

const ALL = Object.keys(HANDSHAKE_CODES);

/** A plausible message of each kind. */
function plausible(peer: BadClient | BadServer, type: string): Uint8Array {
  const empty = new Uint8Array(0);
  const message = (m: Message) => peer.message(m);
  switch (type) {
    case 'client_hello':
      return message({ ...properHello(new SeededRandom(1)), cookie: empty });
    case 'hello_verify_request':
      return message({ type, version: 0xfeff, cookie: new Uint8Array(20).fill(3) });
    case 'server_hello':
      return peer instanceof BadServer
        ? peer.serverHello()
        : message({
            type,
            version: 0xfefd,
            random: new Uint8Array(32),
            sessionId: empty,
            suite: 0xc02b,
            compression: 0,
            extensions: [],
          });
    case 'certificate':
      return peer.certificate();
    case 'server_key_exchange':
      return peer instanceof BadServer
        ? peer.keyExchange()
        : message({
            type,
            group: 29,
            publicKey: new Uint8Array(32).fill(9),
            scheme: 0x0403,
            signature: new Uint8Array(70),
          });
    case 'certificate_request':
      return message({ type, certificateTypes: [64], schemes: [0x0403] });
    case 'server_hello_done':
      return message({ type });
    case 'client_key_exchange':
      return message({ type, publicKey: new Uint8Array(32).fill(9) });
    case 'certificate_verify':
      return peer instanceof BadClient
        ? peer.certificateVerify()
        : message({ type, scheme: 0x0403, signature: new Uint8Array(70) });
    case 'finished':
      return peer.finished(peer.keys === undefined ? new Uint8Array(12) : undefined);
    default: {
      // hello_request, new_session_ticket, certificate_status: no state of ours takes them.
      const code = Object.entries(HANDSHAKE_CODES).find(([name]) => name === type)?.[1] ?? 0;
      const body = type === 'hello_request' ? [] : [0, 0, 0, 0, 0, 0];
      return new Uint8Array([code, 0, 0, body.length, 0, peer.nextMessage++, 0, 0, 0, 0, 0, body.length, ...body]);
    }
  }
}

/** Sends a message as its kind is sent: Finished under the keys behind ChangeCipherSpec, all others in clear. */
function sendAs(peer: BadClient | BadServer, type: string, raw: Uint8Array): void {
  if (type === 'finished') {
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, raw, { epoch: 1 }));
  } else {
    peer.send(raw);
  }
}

/** A peer whose engine is in `state`, on the proper way there. */
function serverIn(state: string): BadClient {
  const peer = new BadClient();
  peer.greet();
  const way: [string, () => void][] = [
    ['expect-certificate', () => peer.send(peer.certificate())],
    ['expect-client-key-exchange', () => peer.send(peer.keyExchange())],
    ['expect-certificate-verify', () => peer.send(peer.certificateVerify())],
    ['expect-finished', () => sendAs(peer, 'finished', peer.finished())],
  ];
  for (const [at, step] of way) if (peer.side.connection.handshakeState === at && at !== state) step();
  expect(peer.side.connection.handshakeState).toBe(state);
  return peer;
}

function clientIn(state: string): BadServer {
  const peer = new BadServer();
  const way: [string, () => void][] = [
    ['hello-sent', () => peer.send(peer.serverHello())],
    ['expect-certificate', () => peer.send(peer.certificate())],
    ['expect-server-key-exchange', () => peer.send(peer.keyExchange())],
    ['expect-certificate-request', () => peer.send(peer.certificateRequest())],
    ['expect-server-hello-done', () => peer.send(peer.helloDone())],
    ['expect-finished', () => sendAs(peer, 'finished', peer.finished())],
  ];
  for (const [at, step] of way) if (peer.side.connection.handshakeState === at && at !== state) step();
  expect(peer.side.connection.handshakeState).toBe(state);
  return peer;
}

/** What only the role of the engine under test sends (RFC 5246 §7.3). */
function ownTypes(peer: BadClient | BadServer): readonly string[] {
  return peer instanceof BadServer
    ? ['client_hello', 'client_key_exchange', 'certificate_verify']
    : [
        'server_hello',
        'hello_verify_request',
        'new_session_ticket',
        'server_key_exchange',
        'certificate_request',
        'server_hello_done',
        'certificate_status',
      ];
}

function check(peer: BadClient | BadServer, state: string, type: string, target: string | undefined): void {
  const flights = peer.received.length;
  sendAs(peer, type, plausible(peer, type));
  const after = peer.side.connection.handshakeState;
  if (target !== undefined) {
    expect(after).toBe(target);
    expect(peer.closed).toBeUndefined();
  } else {
    expect(after).toBe(state);
    const ended = peer.closed;
    // Refused with the reason, or ignored: what only its own role sends, HelloRequest always, Finished without keys,
    // anything once established.
    const isOwn = type !== 'hello_request' && ownTypes(peer).includes(type);
    if (isOwn && state !== 'established') {
      expect(ended).toBeUndefined();
      expect(peer.side.connection.drops.foreign).toBe(1);
    } else if (ended !== undefined) expect(['unexpected_message', 'malformed']).toContain(ended.code);
    else if (type !== 'hello_request' && type !== 'finished' && state !== 'established') {
      throw new Error(`${type} in ${state} was neither refused nor accepted`);
    }
    if (ended === undefined) expect(peer.received.length).toBe(flights);
    if (state !== 'established') expect(peer.side.session).toBeUndefined();
  }
}

describe('H32 the server accepts exactly what its table lists', () => {
  // The first state is the listener's business: it lets in a ClientHello and nothing else (H20).
  for (const [state, transitions] of Object.entries(SERVER_EXPECTS).slice(1)) {
    const targets = new Map<string, string>(Object.entries(transitions));
    it.each(ALL)(`${state}: %s`, (type) => check(serverIn(state), state, type, targets.get(type)));
  }
});

describe('H32 the client accepts exactly what its table lists', () => {
  for (const [state, transitions] of Object.entries(CLIENT_EXPECTS)) {
    const targets = new Map<string, string>(Object.entries(transitions));
    it.each(ALL)(`${state}: %s`, (type) => check(clientIn(state), state, type, targets.get(type)));
  }
});

describe('H32 skipping to the end', () => {
  it('a Finished right after the hello, and a second Finished, establish nothing', () => {
    const peer = new BadClient();
    peer.greet();
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, peer.finished(new Uint8Array(12)), { epoch: 1 }));
    expect(peer.side.session).toBeUndefined();
    const done = serverIn('established');
    const sent = done.received.length;
    done.deliver(done.record(22, done.finished(new Uint8Array(12)), { epoch: 1 }));
    expect(done.received.length).toBe(sent);
    expect(done.side.connection.state).toBe('established');
  });

  it('Finished without ChangeCipherSpec waits for it (RFC 5246 §7.4.9)', () => {
    const peer = new BadClient();
    peer.greet();
    peer.send(peer.certificate(), peer.keyExchange(), peer.certificateVerify());
    peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
    expect(peer.side.session).toBeUndefined();
    peer.changeCipherSpec();
    expect(peer.side.session).toBeDefined();
  });
});
