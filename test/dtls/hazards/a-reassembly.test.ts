import { describe, expect, it } from 'vitest';
import { MAX_MESSAGES_AHEAD, MAX_REASSEMBLY_OCTETS } from '../../../src/dtls/limits.ts';
import { HANDSHAKE_CODES } from '../../../src/dtls/messages/types.ts';
import { BadClient, BadServer, cutFragments, fragmentOf } from '../../support/bad-peer.ts';
import { cases } from '../../support/counts.ts';
import { heapAfterCollection } from '../../support/heap.ts';
import { Pair } from '../../support/pair.ts';
import { SeededRandom } from '../../support/seeded-random.ts';

/** Hazards of section A: memory and order while handshake messages are put together. */

/** A client that has greeted: the server awaits its Certificate, message 2. */
function greeted(): BadClient {
  const peer = new BadClient();
  peer.greet();
  return peer;
}

/** A fragment that says what it likes. */
function forged(type: number, length: number, sequence: number, offset: number, data: Uint8Array): Uint8Array {
  const raw = new Uint8Array([type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...data]);
  return fragmentOf(raw, 0, data.length, { length, sequence, offset });
}

const octets = (length: number) => new Uint8Array(length).fill(0x41);
const { certificate, client_key_exchange } = HANDSHAKE_CODES;

function expectCompletion(peer: BadClient | BadServer): void {
  peer.completeProperly();
  expect(peer.closed).toBeUndefined();
  expect(peer.side.session).toBeDefined();
  peer.say('still works');
  expect(peer.side.texts).toEqual(['still works']);
}

describe('H01 a later fragment claims another length than the first (CVE-2014-0195)', () => {
  it.each([
    ['larger', 60_000, 2, 1400],
    ['smaller', 50, 2, 10],
    ['shorter than the fragment reaches', 100, 90, 20],
    ['an offset of 2^24 − 1', 100, 2 ** 24 - 1, 20],
  ])('%s: discarded, and the honest flight completes', (_what, length, offset, size) => {
    const peer = greeted();
    peer.deliver(peer.record(22, forged(certificate, 100, 2, 0, octets(2))));
    peer.deliver(peer.record(22, forged(certificate, length, 2, offset, octets(size))));
    expectCompletion(peer);
  });
});

describe('H02 the same on every kind of message of both roles', () => {
  const disagree = (peer: BadClient | BadServer, raw: Uint8Array, at: 'first' | 'middle' | 'last') => {
    const pieces = cutFragments(raw, Math.max(1, Math.ceil((raw.length - 12) / 3)));
    const wrong = { first: 0, middle: 1, last: 2 }[at];
    pieces.forEach((piece, i) => {
      if (i === wrong) {
        const mismatched = piece.slice();
        mismatched[3] = (mismatched[3] ?? 0) ^ 1;
        peer.deliver(peer.record(22, mismatched));
      }
      peer.deliver(peer.record(22, piece));
    });
    // What was started over comes again whole, as with any loss.
    peer.deliver(peer.record(22, raw));
  };

  it.each(['first', 'middle', 'last'] as const)('server, mismatch in the %s fragment', (at) => {
    const peer = greeted();
    for (const make of [() => peer.certificate(), () => peer.keyExchange(), () => peer.certificateVerify()]) {
      disagree(peer, make(), at);
    }
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
    expect(peer.side.session).toBeDefined();
  });

  it.each(['first', 'middle', 'last'] as const)('client, mismatch in the %s fragment', (at) => {
    const peer = new BadServer();
    for (const raw of peer.flight()) disagree(peer, raw, at);
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
    expect(peer.side.session).toBeDefined();
  });
});

describe('H03 fragments of one number with different types (CVE-2026-42009)', () => {
  it.each([
    [certificate, client_key_exchange],
    [client_key_exchange, certificate],
  ])('types %i then %i are never mixed, a thousand duplicates change nothing', (first, second) => {
    const peer = greeted();
    peer.deliver(peer.record(22, forged(first, 100, 2, 0, octets(50))));
    peer.deliver(peer.record(22, forged(second, 100, 2, 50, octets(50))));
    for (let i = 0; i < 1000; i++) peer.deliver(peer.record(22, forged(first, 100, 2, 0, octets(10))));
    expect(peer.closed).toBeUndefined();
    expect(peer.side.connection.handshakeState).toBe('expect-certificate');
    expectCompletion(peer);
  });
});

describe('H04 handshake records too short for what they claim (CVE-2026-33845)', () => {
  it('are dropped, and nothing behind a record is read', () => {
    const peer = greeted();
    for (let length = 0; length < 12; length++) peer.deliver(peer.record(22, octets(length)));
    const long = forged(certificate, 100, 2, 0, octets(20));
    long[11] = 21;
    peer.deliver(peer.record(22, long));
    for (let extra = 1; extra < 12; extra++) {
      peer.deliver(peer.record(22, new Uint8Array([...forged(certificate, 0, 9, 0, octets(0)), ...octets(extra)])));
    }
    expect(peer.side.connection.drops.bad_fragment).toBe(12 + 1 + 2 * 11);
    expectCompletion(peer);
  });
});

describe('H05 claimed lengths up to 2^24 − 1 (CVE-2014-3506)', () => {
  it('reserve nothing beyond the stated cap', () => {
    const peer = greeted();
    for (let ahead = 0; ahead < 50; ahead++) {
      peer.deliver(peer.record(22, forged(certificate, 2 ** 24 - 1, 2 + ahead, 0, octets(1))));
      peer.deliver(peer.record(22, forged(certificate, 16_000, 2 + ahead, 0, octets(1))));
    }
    expect(peer.side.connection.reassemblyOctets).toBeLessThanOrEqual(MAX_REASSEMBLY_OCTETS);
    expect(MAX_REASSEMBLY_OCTETS).toBeLessThanOrEqual(64 * 1024);
    expectCompletion(peer);
  });
});

describe('H06 fragments of length zero (CVE-2014-3507, CVE-2022-29190)', () => {
  it('100,000 of them cost nothing, and messages that are empty count', () => {
    const peer = greeted();
    const kinds = [
      forged(certificate, 100, 2, 0, octets(0)),
      forged(certificate, 100, 2, 100, octets(0)),
      forged(certificate, 0, 3, 0, octets(0)),
    ];
    const packed = new Uint8Array(Array.from({ length: 99 }, (_, i) => [...(kinds[i % 3] ?? [])]).flat());
    for (let i = 0; i < 1010; i++) peer.side.connection.receive(peer.record(22, packed), peer.now);
    expect(peer.side.connection.reassemblyOctets).toBe(0);
    expectCompletion(peer);
    const server = new BadServer();
    expectCompletion(server);
  });
});

describe('H07 unlimited future messages (CVE-2022-29189)', () => {
  it('memory stays below its bound, and the honest flight completes', () => {
    const peer = greeted();
    const random = new SeededRandom(3);
    for (let sequence = 3; sequence < 65_536; sequence += 7) {
      const fragment = forged(certificate, 5000, sequence, random.below(4000), octets(100));
      peer.side.connection.receive(peer.record(22, fragment), peer.now);
      expect(peer.side.connection.reassemblyOctets).toBeLessThanOrEqual(MAX_REASSEMBLY_OCTETS);
    }
    expect(peer.side.connection.drops.no_room).toBeGreaterThan(9000);
    expectCompletion(peer);
  });
});

describe('H08 messages queued beyond the end of the handshake (CVE-2016-2179)', () => {
  /** A handshake that leaves messages queued, then completes or is abandoned. */
  function leaveQueued(complete: boolean): void {
    const peer = greeted();
    for (let ahead = 4; ahead < MAX_MESSAGES_AHEAD; ahead++) {
      peer.deliver(peer.record(22, forged(certificate, 3000, 2 + ahead, 0, octets(100))));
    }
    expect(peer.side.connection.reassemblyOctets).toBeGreaterThan(0);
    if (complete) expectCompletion(peer);
    else peer.pass(100_000);
    expect(peer.side.connection.reassemblyOctets).toBe(0);
  }

  it('nothing is held once it has completed or was abandoned: 1,000 of them leave the heap as it was', {
    timeout: 600_000,
  }, () => {
    for (let i = 0; i < 100; i++) leaveQueued(i % 2 === 0);
    const before = heapAfterCollection();
    for (let i = 0; i < 1000; i++) leaveQueued(i % 2 === 0);
    expect(heapAfterCollection() - before).toBeLessThan(4 * 2 ** 20);
  });
});

describe('H09 every datagram of a handshake duplicated, swapped, cut and extended', () => {
  it('never throws, and ends or completes', { timeout: 3_600_000 }, () => {
    const random = new SeededRandom(9);
    const changes: ((datagram: Uint8Array) => Uint8Array[])[] = [
      (datagram) => [datagram, datagram],
      () => [],
      (datagram) => [datagram.slice(0, -1)],
      (datagram) => [new Uint8Array([...datagram, random.below(256)])],
      (datagram) => [datagram.slice(0, random.below(datagram.length + 1))],
      (datagram) => {
        const changed = datagram.slice();
        changed[random.below(changed.length)] = random.below(256);
        return [changed, datagram];
      },
      (datagram) => {
        const changed = datagram.slice();
        for (let i = 0; i < 8; i++) changed[random.below(changed.length)] = random.below(256);
        return [changed];
      },
    ];
    for (let run = 0; run < cases(2000, 100_000); run++) {
      const pair = new Pair({ seed: run, client: { maxDatagram: 500 }, server: { maxDatagram: 500 } });
      for (const way of ['toServer', 'toClient'] as const) {
        const victim = 1 + random.below(8);
        const change = changes[run % changes.length];
        pair.link[way].tamper = (datagram, nth) =>
          nth === victim && change !== undefined ? change(datagram) : [datagram];
      }
      pair.drive(() => pair.established || pair.client.closed !== undefined, 200_000);
      expect(pair.established || pair.client.closed !== undefined).toBe(true);
    }
  });
});

describe('H10 a repeated message is cut differently (RFC 6347 §4.2.3)', () => {
  it.each([
    [256, 512],
    [256, 170],
    [170, 256],
    [100, 99],
    [512, 33],
  ])('pieces of %i with one lost, then pieces of %i', (first, second) => {
    const peer = greeted();
    const raw = peer.certificate();
    const pieces = cutFragments(raw, first);
    pieces.forEach((piece, i) => {
      if (i !== 1) peer.deliver(peer.record(22, piece));
    });
    const state = () => peer.side.connection.handshakeState;
    const covered = new Uint8Array(raw.length - 12).fill(1);
    covered.fill(0, first, 2 * first);
    const again = cutFragments(raw, second);
    for (const [i, piece] of again.entries()) {
      const whole = covered.every((octet) => octet === 1);
      expect(state()).toBe(whole ? 'expect-client-key-exchange' : 'expect-certificate');
      peer.deliver(peer.record(22, piece));
      covered.fill(1, i * second, (i + 1) * second);
    }
    expect(state()).toBe('expect-client-key-exchange');
  });
});

describe('H11 the fragment length is not to be trusted (CVE-2019-14431)', () => {
  it('2^24 − 1 octets in a record of 60 are no fragment', () => {
    const peer = greeted();
    const fragment = forged(certificate, 2 ** 24 - 1, 2, 0, octets(48));
    fragment.fill(0xff, 9, 12);
    peer.deliver(peer.record(22, fragment));
    peer.deliver(peer.record(22, forged(certificate, 100, 2, 0, octets(2))));
    peer.deliver(peer.record(22, forged(certificate, 60_000, 2, 2, octets(48))));
    expect(peer.side.connection.drops).toMatchObject({ bad_fragment: 1, too_large: 1 });
    expectCompletion(peer);
  });
});

describe('H12 only one fragment of one message is lost (any, of any)', () => {
  it('is always recovered by retransmission', () => {
    const options = { client: { maxDatagram: 200 }, server: { maxDatagram: 200 } };
    const plain = new Pair(options).connect();
    for (const way of ['toServer', 'toClient'] as const) {
      for (let nth = 1; nth <= plain.link[way].log.length; nth++) {
        const pair = new Pair(options);
        pair.link[way].drop({ nth });
        pair.connect();
        expect(pair.elapsed).toBeLessThan(2500);
      }
    }
  });
});
