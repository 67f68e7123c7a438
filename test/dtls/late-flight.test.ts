import { describe, expect, it } from 'vitest';
import type { Duration } from '../../src/base/brand.ts';
import { INITIAL_TIMEOUT, MAX_REFUSED_FLIGHTS } from '../../src/dtls/limits.ts';
import { writeMessage } from '../../src/dtls/messages/message.ts';
import { BadServer, fragmentOf } from '../support/bad-peer.ts';
import { Pair, type SideOptions } from '../support/pair.ts';

/** ServerHello to ServerHelloDone, as a server answered a call that is over. */
function flightOfEarlierCall(server: SideOptions = {}): readonly Uint8Array[] {
  const earlier = new Pair({ seed: 2, server });
  earlier.drive(() => earlier.server !== undefined);
  // The first was the challenge.
  return earlier.link.toClient.log.slice(1);
}

/** Until its hello with the cookie is on its way. */
function calling(seed = 1): Pair {
  const pair = new Pair({ seed });
  pair.drive(() => pair.link.toServer.log.length > 1);
  return pair;
}

/** Messages of a flight whose ServerKeyExchange is signed wrongly. */
function wronglySigned(peer: BadServer): Uint8Array[] {
  return peer.flight().map((raw, i) => {
    if (i === 2) raw[raw.length - 1] = (raw[raw.length - 1] ?? 0) ^ 1;
    return raw;
  });
}

// All messages of two server flights have the same numbers, and only the signature is over the hello (RFC 5246 §7.4.3):
// the late one ended the call that it did not answer.
describe('the flight that answers an earlier call of ours', () => {
  it('does not end this one, however often it comes before the right one', () => {
    for (const copies of [1, 2, 10]) {
      const pair = calling();
      for (let i = 0; i < copies; i++) for (const datagram of flightOfEarlierCall()) pair.toClient(datagram);
      expect(pair.client.closed).toBeUndefined();
      expect(pair.client.connection.handshakeState).toBe('hello-sent');
      pair.connect();
      expect(pair.elapsed).toBeLessThan(INITIAL_TIMEOUT);
    }
  });

  it('does not either when it comes in many datagrams, and nothing is kept of it', () => {
    const pair = calling();
    const late = flightOfEarlierCall({ maxDatagram: 300 });
    expect(late.length).toBeGreaterThan(2);
    for (const datagram of [...late, ...late, ...late.slice(1)]) pair.toClient(datagram);
    expect(pair.client.connection.reassemblyOctets).toBe(0);
    expect(pair.client.connection.drops.foreign).toBeGreaterThan(0);
    pair.connect();
  });

  it('does not while the right one is lost and the late one repeated', () => {
    const pair = calling();
    const [late = new Uint8Array()] = flightOfEarlierCall();
    let lost = 0;
    pair.link.toClient.drop((datagram) => datagram[13] === 2 && lost++ < 1);
    pair.toClient(late);
    pair.drive(() => lost > 0);
    pair.toClient(late);
    pair.connect();
  });

  it('does not when the server challenges anew between them', () => {
    const pair = new Pair();
    pair.toClient(flightOfEarlierCall()[0] ?? new Uint8Array());
    expect(pair.client.connection.handshakeState).toBe('hello-sent');
    pair.connect();
  });
});

// Servers without memory number what they say as our hellos are, or all alike (RFC 6347 §4.2.2).
describe('a server that numbers its challenges as our hellos are', () => {
  /** Challenged for the hellos 0 and 1; the last one out has the number 2. */
  const challengedTwice = (numbers: readonly number[]): BadServer => {
    const peer = new BadServer();
    for (const number of numbers) challenge(peer, number);
    expect(peer.received).toHaveLength(3);
    return peer;
  };
  const challenge = (peer: BadServer, number: number, cookie = number): void => {
    const message = { type: 'hello_verify_request', version: 0xfeff, cookie: Uint8Array.of(7, cookie) } as const;
    peer.deliver(peer.record(22, writeMessage(message, number)));
  };

  it('answers no earlier hello than the last: a challenge to one is late', () => {
    const peer = challengedTwice([0, 1]);
    challenge(peer, 0, 50);
    challenge(peer, 1, 51);
    expect(peer.received).toHaveLength(3);
    challenge(peer, 2, 52);
    expect(peer.received).toHaveLength(4);
  });

  it('nor is its flight for an earlier one taken, whose transcript begins with another hello than ours', () => {
    const peer = challengedTwice([0, 1]);
    peer.nextMessage = 1;
    peer.send(...peer.flight());
    expect(peer.side.connection.handshakeState).toBe('hello-sent');
    expect(peer.side.connection.reassemblyOctets).toBe(0);
    peer.nextMessage = 2;
    peer.send(...peer.flight());
    expect(peer.side.connection.handshakeState).toBe('expect-finished');
  });

  it('is not taken for one that numbers all alike, whose second challenge is followed when it is repeated', () => {
    const peer = new BadServer();
    challenge(peer, 0, 1);
    challenge(peer, 0, 2);
    expect(peer.received).toHaveLength(2);
    peer.pass(INITIAL_TIMEOUT);
    expect(peer.received).toHaveLength(3);
    challenge(peer, 0, 2);
    expect(peer.received).toHaveLength(4);
    peer.nextMessage = 1;
    peer.send(...peer.flight());
    expect(peer.side.connection.handshakeState).toBe('expect-finished');
  });
});

describe('a server that cannot sign', () => {
  // Every one of our hellos may be lost for as long as its server repeats the flight of an earlier call.
  it('is refused at the end of the time, however often it repeats its flight', () => {
    const peer = new BadServer({ handshakeTimeout: 20_000 as Duration });
    const flight = wronglySigned(peer);
    for (let i = 0; i < 19; i++) {
      peer.send(...flight);
      peer.pass(1000);
      expect(peer.closed).toBeUndefined();
    }
    peer.pass(1000);
    expect(peer.closed).toMatchObject({ code: 'bad_signature', by: 'local', alert: 51 });
    expect(peer.alerts).toEqual([51]);
    expect(peer.side.session).toBeUndefined();
  });

  it('is refused at once when it tries too many others', () => {
    const peer = new BadServer();
    for (let i = 0; i <= MAX_REFUSED_FLIGHTS; i++) {
      expect(peer.closed).toBeUndefined();
      peer.serverRandom = peer.random.random(32);
      peer.send(...wronglySigned(peer));
      peer.nextMessage -= 5;
    }
    expect(peer.closed).toMatchObject({ code: 'bad_signature', alert: 51 });
  });

  it('is named as the cause when it says no more until the time is over', () => {
    const peer = new BadServer({ handshakeTimeout: 20_000 as Duration });
    peer.send(...wronglySigned(peer));
    peer.pass(19_999);
    expect(peer.closed).toBeUndefined();
    peer.pass(1);
    expect(peer.closed).toMatchObject({ code: 'bad_signature', by: 'local' });
  });

  it('is not the cause once another has answered and fell silent', () => {
    const peer = new BadServer({ handshakeTimeout: 20_000 as Duration });
    const flight = peer.flight();
    const late = flightOfEarlierCall()[0] ?? new Uint8Array();
    peer.deliver(late);
    peer.send(...flight);
    expect(peer.side.connection.handshakeState).toBe('expect-finished');
    peer.pass(20_000);
    expect(peer.closed?.code).toBe('timeout');
  });
});

describe('messages that only our own role sends', () => {
  it('are ignored and not kept, next in order or ahead', () => {
    const pair = calling();
    const body = new Uint8Array(112).fill(7);
    const inject = (types: readonly number[], to: (datagram: Uint8Array) => void): void => {
      for (const type of types) {
        for (const sequence of [1, 2, 3]) to(plain(fragmentOf(body, 0, 100, { type, sequence })));
      }
    };
    inject([1, 15, 16], (datagram) => pair.toClient(datagram));
    expect(pair.client.connection.drops.foreign).toBe(9);
    expect(pair.client.connection.reassemblyOctets).toBe(0);
    pair.drive(() => pair.server !== undefined);
    inject([2, 3, 4, 12, 13, 14, 22], (datagram) => pair.toServer(datagram));
    expect(pair.accepted.connection.drops.foreign).toBe(21);
    expect(pair.accepted.connection.reassemblyOctets).toBe(0);
    pair.connect();
  });
});

/** A handshake record in clear. */
function plain(fragment: Uint8Array): Uint8Array {
  const header = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, fragment.length >> 8, fragment.length & 0xff];
  return new Uint8Array([...header, ...fragment]);
}
