import { describe, expect, it } from 'vitest';
import type { Instant } from '../../../src/base/brand.ts';
import { COOKIE_SECRET_LIFETIME } from '../../../src/dtls/limits.ts';
import { isSameHello, Listener } from '../../../src/dtls/listener.ts';
import { writeClientHello } from '../../../src/dtls/messages/client-hello.ts';
import { HANDSHAKE_CODES } from '../../../src/dtls/messages/types.ts';
import { BadClient, BadServer, cutFragments, properHello } from '../../support/bad-peer.ts';
import { heapAfterCollection } from '../../support/heap.ts';
import { CLIENT_ADDRESS, Pair } from '../../support/pair.ts';
import { SeededRandom } from '../../support/seeded-random.ts';

/** Hazards of section E: what the unauthenticated can cost. */

function expectWorks(peer: BadClient): void {
  peer.greet();
  peer.completeProperly();
  expect(peer.side.session).toBeDefined();
}

const OTHER_PORT = new Uint8Array([...CLIENT_ADDRESS.slice(0, 5), 0x35]);

describe('H44 the front door gives less than it takes (RFC 6347 §4.2.1)', () => {
  it('answers each hello once, with fewer octets, whatever its size', () => {
    const peer = new BadClient();
    for (let padding = 0; padding < 1300; padding += 7) {
      const body = new Uint8Array(padding);
      const hello = { ...peer.hello, extensions: [{ type: 'other' as const, code: 21, body }] };
      const datagram = peer.record(22, peer.message(hello));
      const verdict = peer.knockWith(datagram);
      if (verdict.kind !== 'challenge') throw new Error(verdict.kind);
      expect(verdict.reply.length).toBeLessThan(datagram.length);
    }
    // The smallest hello there can be.
    const least = peer.record(22, peer.message({ ...peer.hello, extensions: [] }));
    const verdict = peer.knockWith(least);
    expect(verdict.kind === 'challenge' && verdict.reply.length < least.length).toBe(true);
  });

  it('remembers nothing: 1,000,000 sources leave the heap as it was', { timeout: 600_000 }, () => {
    const listener = new Listener({ crypto: new SeededRandom(1) });
    const peer = new BadClient();
    const datagram = peer.record(22, peer.message(peer.hello));
    const knock = (from: number, count: number) => {
      const source = new Uint8Array(6);
      const view = new DataView(source.buffer);
      for (let i = from; i < from + count; i++) {
        view.setUint32(0, i);
        listener.receive(source, datagram, (1000 + i / 100) as Instant);
      }
    };
    knock(0, 20_000);
    const before = heapAfterCollection();
    knock(20_000, 1_000_000);
    expect(heapAfterCollection() - before).toBeLessThan(8 * 2 ** 20);
  });
});

describe('H45 only a cookie that is wholly right opens the door (CVE-2022-34293)', () => {
  const peer = new BadClient();
  const cookie = peer.cookieFor(peer.hello);
  const right = { ...peer.hello, cookie };
  const wrong = (bytes: Uint8Array) => peer.knock({ ...peer.hello, cookie: bytes }, { number: 1 });

  // Whoever followed a late challenge first has a later number.
  it.each([1, 2, 7])('the right one does, under message number %i', (number) => {
    expect(peer.knock(right, { number }).kind).toBe('accept');
  });

  it.each([1, 19, 20, 22, 31, 32, 33, 255])('%i octets of something do not', (length) => {
    expect(wrong(new Uint8Array(length).fill(7))).toMatchObject({ kind: 'challenge', cookie: 'invalid' });
  });

  it('no changed octet does', () => {
    for (let at = 0; at < cookie.length; at++) {
      const changed = cookie.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(wrong(changed)).toMatchObject({ kind: 'challenge', cookie: at === 0 ? 'stale' : 'invalid' });
    }
  });

  it.each([
    ['another port', right, { from: OTHER_PORT }],
    ['another random', { ...right, random: new Uint8Array(32) }, {}],
    ['other suites', { ...right, suites: [0xc02b, 0xc02c] }, {}],
    ['another session id', { ...right, sessionId: new Uint8Array(4) }, {}],
    ['other compression methods', { ...right, compressions: new Uint8Array([0, 1]) }, {}],
    ['message number 0', right, { number: 0 }],
  ] as const)('not with %s', (_what, hello, overrides) => {
    expect(peer.knock(hello, overrides)).toMatchObject({ kind: 'challenge', cookie: 'invalid' });
  });

  it('not without a cookie under the second number', () => {
    expect(peer.knock(peer.hello, { number: 1 })).toMatchObject({ kind: 'challenge', cookie: 'absent' });
  });

  it.each([0, 0xffff, 0x0303, 0xfeff])('not with version 0x%s', (version) => {
    expect(peer.knock({ ...right, version })).toEqual({ kind: 'drop', reason: 'version' });
  });

  it('not in fragments', () => {
    const body = writeClientHello(right);
    const raw = new Uint8Array([1, 0, 0, body.length, 0, 1, 0, 0, 0, 0, 0, body.length, ...body]);
    for (const fragment of cutFragments(raw, 60)) {
      expect(peer.knockWith(peer.record(22, fragment))).toEqual({ kind: 'drop', reason: 'fragmented' });
    }
  });

  it('for one change of secrets, and not after two', () => {
    const late = new BadClient();
    const hello = { ...late.hello, cookie: late.cookieFor(late.hello) };
    late.clock.pass(COOKIE_SECRET_LIFETIME * 1.5);
    expect(late.knock(hello).kind).toBe('accept');
    late.clock.pass(COOKIE_SECRET_LIFETIME);
    expect(late.knock(hello)).toMatchObject({ kind: 'challenge', cookie: 'stale' });
    const silent = new BadClient();
    const old = { ...silent.hello, cookie: silent.cookieFor(silent.hello) };
    silent.clock.pass(COOKIE_SECRET_LIFETIME * 100);
    expect(silent.knock(old)).toMatchObject({ kind: 'challenge', cookie: 'stale' });
  });

  it('a client that is challenged again follows (once more, not for ever)', () => {
    const pair = new Pair();
    pair.link.toServer.tamper = (datagram, nth) => {
      if (nth !== 2) return [datagram];
      const spoiled = datagram.slice();
      // The first octet of the cookie: behind the headers, version, random, and two lengths.
      const at = 13 + 12 + 2 + 32 + 1 + 1;
      spoiled[at + 3] = (spoiled[at + 3] ?? 0) ^ 1;
      return [spoiled];
    };
    pair.connect();
    const looped = new BadServer();
    for (let i = 0; i < 10; i++) {
      if (looped.closed !== undefined) break;
      looped.send(looped.message({ type: 'hello_verify_request', version: 0xfeff, cookie: new Uint8Array([i]) }));
    }
    expect(looped.closed).toMatchObject({ code: 'cookie_loop' });
  });
});

describe('H46 failed handshakes leave nothing behind (CVE-2022-2576, CVE-2022-39368, CVE-2020-27222)', () => {
  it('10,000 that fail at each stage, then a good one, from the same and another address', {
    timeout: 600_000,
  }, () => {
    const listener = new Listener({ crypto: new SeededRandom(2) });
    const count = 10_000;
    let before = 0;
    for (let i = 0; i < count; i++) {
      if (i === 500) before = heapAfterCollection();
      const peer = new BadClient();
      peer.greet();
      const stage = i % 4;
      if (stage > 0) peer.send(peer.certificate(stage === 1 ? [] : undefined));
      if (stage > 1) peer.send(peer.message({ type: 'client_key_exchange', publicKey: new Uint8Array(stage) }));
      if (stage === 0) peer.pass(100_000);
      expect(peer.closed).toBeDefined();
      expect(peer.side.connection.deadline).toBeUndefined();
    }
    expect(heapAfterCollection() - before).toBeLessThan(8 * 2 ** 20);
    expectWorks(new BadClient());
    const elsewhere = new BadClient();
    expect(
      listener.receive(OTHER_PORT, elsewhere.record(22, elsewhere.message(elsewhere.hello)), elsewhere.now).kind,
    ).toBe('challenge');
  });

  it('a wish to resume never skips the cookie', () => {
    const peer = new BadClient();
    expect(peer.knock({ ...peer.hello, sessionId: new Uint8Array(32).fill(1) }).kind).toBe('challenge');
  });
});

describe('H47 cookies are on unless they were turned off', () => {
  it('a listener as it comes challenges', () => {
    const hello = new BadClient();
    const datagram = hello.record(22, hello.message(hello.hello));
    expect(new Listener().receive(CLIENT_ADDRESS, datagram, hello.now).kind).toBe('challenge');
    expect(new Listener({ cookies: false }).receive(CLIENT_ADDRESS, datagram, hello.now).kind).toBe('accept');
  });

  it('without cookies a handshake completes from the first hello', () => {
    const pair = new Pair({ cookies: false }).connect();
    expect(pair.link.toServer.log).toHaveLength(2);
  });
});

describe('H48 a hello in the middle of things (CVE-2023-49786, CVE-2023-51443)', () => {
  it.each(['during the handshake', 'after it'])('%s changes nothing, with or without a valid cookie', (when) => {
    const peer = new BadClient();
    peer.greet();
    if (when === 'after it') peer.completeProperly();
    const other = properHello(new SeededRandom(77));
    const valid = { ...other, cookie: peer.cookieFor(other) };
    const state = peer.side.connection.handshakeState;
    const sent = peer.received.length;
    for (const hello of [other, valid]) {
      for (const number of [0, 1, 2]) {
        const body = writeClientHello(hello);
        const header = [1, 0, 0, body.length, 0, number, 0, 0, 0, 0, 0, body.length];
        if (when === 'after it' || number < 2) peer.deliver(peer.record(22, new Uint8Array([...header, ...body])));
      }
    }
    expect(peer.side.connection.handshakeState).toBe(state);
    expect(peer.received.length).toBe(sent);
    if (when !== 'after it') peer.completeProperly();
    peer.say('unharmed');
    expect(peer.side.texts).toEqual(['unharmed']);
    // The driver tells a repetition from another attempt without asking the association.
    const raw = peer.message(peer.hello);
    const first = peer.record(22, raw);
    expect(isSameHello(first, peer.record(22, raw))).toBe(true);
    // That of a client which was challenged again: its transcript begins with the later one.
    expect(isSameHello(first, peer.record(22, peer.message(peer.hello)))).toBe(false);
    expect(isSameHello(first, peer.record(22, peer.message(valid)))).toBe(false);
    expect(isSameHello(first, new Uint8Array(30))).toBe(false);
  });
});

describe('H49 HelloRequest to a client (CVE-2014-0221)', () => {
  it('10,000 before, between and after ServerHello, in and ahead of order, with bogus lengths', () => {
    const peer = new BadServer();
    const raws = peer.flight();
    const request = (sequence: number, length: number, body: number) =>
      peer.record(22, new Uint8Array([0, 0, 0, length, 0, sequence, 0, 0, 0, 0, 0, body, ...new Uint8Array(body)]));
    let count = 0;
    const flood = () => {
      for (let i = 0; i < 1700; i++) peer.side.connection.receive(request(i % 12, i % 3, i % 2), peer.now);
      count += 1700;
    };
    for (const raw of raws) {
      flood();
      peer.send(raw);
    }
    flood();
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
    expect(peer.side.session).toBeDefined();
    expect(count).toBeGreaterThan(10_000);
    expect(peer.side.connection.drops.renegotiation).toBe(count);
  });
});

describe('H50 every length in a hello (CVE-2021-42143, CVE-2022-35409)', () => {
  it('odd, zero, one more, one less, the largest: refused or read, never past the end', () => {
    const peer = new BadClient();
    const body = writeClientHello({ ...peer.hello, cookie: new Uint8Array(20), sessionId: new Uint8Array(8) });
    const header = (length: number) => [1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length];
    const knock = (changed: Uint8Array) =>
      peer.knockWith(peer.record(22, new Uint8Array([...header(changed.length), ...changed]))).kind;
    expect(knock(body)).toBe('challenge');
    for (let at = 0; at < body.length; at++) {
      for (const value of [0, 1, 2, 0x7f, 0xff, ((body[at] ?? 0) + 1) & 0xff, ((body[at] ?? 0) + 255) & 0xff]) {
        const changed = body.slice();
        changed[at] = value;
        expect(['challenge', 'drop']).toContain(knock(changed));
      }
      expect(['challenge', 'drop']).toContain(knock(body.slice(0, at)));
    }
  });

  it.each([
    ['a session id of 33 octets', { sessionId: new Uint8Array(33) }],
    ['no suites', { suites: [] }],
    ['no compression methods', { compressions: new Uint8Array(0) }],
    [
      'an extension twice',
      { extensions: [1, 2].map(() => ({ type: 'other' as const, code: 9, body: new Uint8Array(1) })) },
    ],
    ['no groups in supported_groups', { extensions: [{ type: 'supported_groups' as const, groups: [] }] }],
  ])('%s: malformed', (_what, changes) => {
    const peer = new BadClient();
    expect(peer.knock({ ...peer.hello, ...changes })).toEqual({ kind: 'drop', reason: 'malformed' });
  });

  it('compression methods without null are refused', () => {
    const peer = new BadClient();
    peer.greet({ compressions: new Uint8Array([1, 64]) });
    expect(peer.closed).toMatchObject({ code: 'malformed', alert: 47 });
  });
});

describe('H51 a malformed message of each kind stops nobody else (tinydtls #244)', () => {
  it.each([
    ['certificate', HANDSHAKE_CODES.certificate, 0],
    ['client_key_exchange', HANDSHAKE_CODES.client_key_exchange, 1],
    ['certificate_verify', HANDSHAKE_CODES.certificate_verify, 2],
  ])('%s', (_name, code, before) => {
    const peer = new BadClient();
    peer.greet();
    const steps = [() => peer.certificate(), () => peer.keyExchange()];
    for (const step of steps.slice(0, before)) peer.send(step());
    peer.send(new Uint8Array([code, 0, 0, 5, 0, peer.nextMessage, 0, 0, 0, 0, 0, 5, 9, 9, 9, 9, 9]));
    expect(peer.closed).toMatchObject({ code: 'malformed', alert: 50 });
    expectWorks(new BadClient());
  });
});

describe('H52 bad records close nothing (CVE-2026-50713)', () => {
  it('10,000 of them: the association lives', () => {
    const peer = new BadClient();
    expectWorks(peer);
    const sent = peer.received.length;
    const forged = peer.record(23, new Uint8Array(60), { epoch: 1 });
    forged.fill(7, 21);
    for (let i = 0; i < 10_000; i++) peer.side.connection.receive(forged, peer.now);
    peer.collect();
    expect(peer.received.length).toBe(sent);
    peer.say('alive');
    expect(peer.side.texts).toEqual(['alive']);
  });
});

describe('H53 answers to repetitions (OpenSSL #18635)', () => {
  it('a hello that comes again gets the flight again, not more than twice a timeout', () => {
    const peer = new BadClient();
    peer.greet();
    const flight = peer.received.length;
    const hello = peer.record(22, helloRaw(peer));
    for (let i = 0; i < 100; i++) peer.deliver(hello);
    expect(peer.received.length).toBe(flight);
    peer.clock.pass(600);
    for (let i = 0; i < 100; i++) peer.deliver(hello);
    expect(peer.received.length).toBe(2 * flight);
  });

  it('the server answers a repeated Finished also after data has begun, each time', () => {
    const pair = new Pair();
    let lost = 0;
    pair.link.toClient.drop((datagram) => datagram[0] === 20 && lost++ < 4);
    pair.connect();
    expect(lost).toBe(5);
    expect(pair.elapsed).toBeLessThan(16_000);
  });
});

describe('H54 every order in which the datagrams of a flight may come (OpenSSL #15478)', () => {
  it('ChangeCipherSpec and Finished ahead of all else cost no timeout', () => {
    for (const order of orders([0, 1, 2, 3, 4])) {
      const peer = new BadClient();
      peer.greet();
      const raws = [peer.certificate(), peer.keyExchange(), peer.certificateVerify()];
      const records = [
        ...raws.map((raw) => peer.record(22, raw)),
        peer.record(20, new Uint8Array([1])),
        peer.record(22, peer.finished(), { epoch: 1 }),
      ];
      for (const place of order) peer.deliver(records[place] ?? new Uint8Array(0));
      expect(peer.side.connection.state, order.join()).toBe('established');
    }
  });
});

function helloRaw(peer: BadClient): Uint8Array {
  const body = writeClientHello(peer.hello);
  return new Uint8Array([1, 0, 0, body.length, 0, 1, 0, 0, 0, 0, 0, body.length, ...body]);
}

function orders<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, i) =>
    orders([...items.slice(0, i), ...items.slice(i + 1)]).map((rest) => [item, ...rest]),
  );
}
