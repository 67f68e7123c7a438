import { describe, expect, it } from 'vitest';
import { MAX_SEQUENCE, type SequenceNumber } from '../../../src/base/brand.ts';
import { RecordKeys } from '../../../src/crypto/aead.ts';
import { Epochs } from '../../../src/dtls/epochs.ts';
import { KEY_LIMITS, MAX_EARLY_RECORDS } from '../../../src/dtls/limits.ts';
import { HANDSHAKE_CODES } from '../../../src/dtls/messages/types.ts';
import { recordsIn } from '../../../src/dtls/record.ts';
import { BadClient, BadServer } from '../../support/bad-peer.ts';
import { cases } from '../../support/counts.ts';
import { Pair } from '../../support/pair.ts';

/** Hazards of section B: epochs, replay, sequence numbers. */

type Peer = BadClient | BadServer;

const ROLES = [
  ['server', () => established(new BadClient())],
  ['client', () => established(new BadServer())],
] as const;

function established<P extends Peer>(peer: P): P {
  if (peer instanceof BadClient) peer.greet();
  peer.completeProperly();
  if (peer.side.session === undefined) throw new Error('not established');
  return peer;
}

/** A record of the given header with these octets, sealed by nobody. */
function bare(type: number, epoch: number, sequence: number, body: Uint8Array): Uint8Array {
  const b = new Uint8Array(13 + body.length);
  const view = new DataView(b.buffer);
  view.setUint8(0, type);
  view.setUint16(1, 0xfefd);
  view.setUint16(3, epoch);
  view.setUint16(5, Math.floor(sequence / 2 ** 32));
  view.setUint32(7, sequence % 2 ** 32);
  view.setUint16(11, body.length);
  b.set(body, 13);
  return b;
}

function expectAlive(peer: Peer, what = 'alive'): void {
  peer.say(what);
  expect(peer.side.texts).toContain(what);
  expect(peer.closed).toBeUndefined();
}

const junk = (length: number) => new Uint8Array(length).fill(0x5a);

describe.each(ROLES)('%s engine', (role, make) => {
  it('H13 records that do not authenticate move no window (CVE-2016-2181)', () => {
    const peer = make();
    for (let n = 10; n < 20; n++) if (n !== 15) peer.say(`${n}`, { sequence: n });
    for (const epoch of [1, 2, 3, 65_535]) peer.deliver(bare(23, epoch, 2 ** 47, junk(100)));
    peer.say('15', { sequence: 15 });
    peer.say('20', { sequence: 20 });
    expect(peer.side.texts.slice(-2)).toEqual(['15', '20']);
  });

  it('H14 nothing in clear counts once the keys exist (CVE-2019-20786)', () => {
    const peer = make();
    const sent = peer.received.length;
    peer.deliver(bare(23, 0, 50, new TextEncoder().encode('clear')));
    peer.deliver(bare(21, 0, 51, new Uint8Array([2, 40])));
    peer.deliver(bare(21, 0, 52, new Uint8Array([1, 0])));
    for (const type of [1, 0, 20])
      peer.deliver(bare(22, 0, 53, new Uint8Array([type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])));
    expect(peer.side.received).toEqual([]);
    expect(peer.received.length).toBe(sent);
    expect(peer.side.connection.drops).toMatchObject({ plaintext_data: 1, plaintext_alert: 2, epoch: 3 });
    expectAlive(peer);
  });

  it('H15 handshake messages in clear after the handshake change nothing, whatever their type and number', () => {
    const peer = make();
    for (const type of Object.values(HANDSHAKE_CODES)) {
      for (let sequence = 0; sequence < 10; sequence++) {
        for (const body of [0, 12, 40]) {
          const header = [type, 0, 0, body, 0, sequence, 0, 0, 0, 0, 0, body];
          peer.deliver(bare(22, 0, 100, new Uint8Array([...header, ...junk(body)])));
        }
      }
    }
    expectAlive(peer);
  });

  it('H16 protected records shorter than nonce and tag are dropped in silence (CVE-2026-75806)', () => {
    const peer = make();
    const sent = peer.received.length;
    for (let type = 20; type <= 25; type++) {
      for (let length = 0; length <= 24; length++) peer.deliver(bare(type, 1, 1000 + length, junk(length)));
    }
    expect(peer.received.length).toBe(sent);
    expectAlive(peer);
  });

  it('H21 forged ChangeCipherSpec, a thousand times, changes no epoch', () => {
    const peer = make();
    for (let i = 0; i < 1000; i++) {
      peer.deliver(bare(20, 0, 60 + i, new Uint8Array([1])));
      peer.deliver(bare(20, 1, 5000 + i, junk(40)));
      peer.deliver(peer.record(20, new Uint8Array([1]), { epoch: 1 }));
    }
    expectAlive(peer);
  });

  it('H26 delivers what is inside the window exactly once, far beyond 32 bits', () => {
    const peer = make();
    const base = 2 ** 40 + 5;
    const around = [0, -63, -64, -65, 1].map((by) => base + by);
    const far = [base + 2 ** 31, base + 2 ** 32, 2 ** 47];
    let newest = -1;
    for (const sequence of [...around, ...far, ...around, ...far]) {
      const fresh = !peer.side.texts.includes(`${sequence}`) && sequence > newest - 64;
      const before = peer.side.texts.length;
      peer.say(`${sequence}`, { sequence });
      expect(peer.side.texts.length - before, `${sequence}`).toBe(fresh ? 1 : 0);
      newest = Math.max(newest, sequence);
    }
  });

  it('H27 a captured record replayed a hundred times is delivered once; no datagram throws', () => {
    const peer = make();
    const captured = peer.record(23, new TextEncoder().encode('once'), { epoch: 1 });
    for (let i = 0; i < 100; i++) peer.deliver(captured);
    expect(peer.side.texts).toEqual(['once']);
    for (let length = 0; length <= captured.length; length++) {
      peer.deliver(captured.slice(0, length));
      peer.deliver(junk(length));
      peer.deliver(new Uint8Array(length));
    }
    expectAlive(peer);
  });

  it('H19 ChangeCipherSpec at every point gives nobody keys (CVE-2014-0224)', () => {
    const empty = new Uint8Array(48);
    if (role === 'server') {
      for (let stage = 0; stage < 4; stage++) {
        const peer = new BadClient();
        peer.greet();
        const sends = [
          () => peer.send(peer.certificate()),
          () => peer.send(peer.keyExchange()),
          () => peer.send(peer.certificateVerify()),
        ];
        for (const step of sends.slice(0, stage)) step();
        for (let i = 0; i < 3; i++) peer.changeCipherSpec();
        const zero = new RecordKeys('aes-128-gcm', new Uint8Array(16), new Uint8Array(4));
        const honest = peer.keys;
        peer.keys = { read: zero, write: zero };
        const before = peer.transcript;
        peer.deliver(peer.record(22, peer.finished(peer.verifyData('client', empty)), { epoch: 1 }));
        expect(peer.side.session).toBeUndefined();
        peer.transcript = before;
        peer.nextMessage--;
        peer.keys = honest;
        for (const step of sends.slice(stage)) step();
        peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
        expect(peer.side.session, `stage ${stage}`).toBeDefined();
      }
    } else {
      const flight = 5;
      for (let stage = 0; stage <= flight; stage++) {
        const peer = new BadServer();
        const raws = peer.flight();
        for (const raw of raws.slice(0, stage)) peer.send(raw);
        for (let i = 0; i < 3; i++) peer.changeCipherSpec();
        for (const raw of raws.slice(stage)) peer.send(raw);
        expect(peer.side.session).toBeUndefined();
        peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
        expect(peer.side.session).toBeDefined();
      }
    }
  });

  it('H22 messages under a wrong epoch are dropped, the same under the right one work', () => {
    const wrong = (peer: Peer, raw: Uint8Array) => {
      for (const epoch of [1, 2, 9]) peer.deliver(bare(22, epoch, 7, raw));
    };
    if (role === 'server') {
      const peer = new BadClient();
      peer.greet();
      for (const step of [() => peer.certificate(), () => peer.keyExchange(), () => peer.certificateVerify()]) {
        const raw = step();
        wrong(peer, raw);
        peer.send(raw);
      }
      peer.changeCipherSpec();
      peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
      expect(peer.side.session).toBeDefined();
    } else {
      const peer = new BadServer();
      for (const raw of peer.flight()) {
        wrong(peer, raw);
        peer.send(raw);
      }
      peer.changeCipherSpec();
      peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
      expect(peer.side.session).toBeDefined();
    }
  });

  it('H23 a correct Finished in clear is refused (CVE-2023-6937)', () => {
    if (role === 'server') {
      const peer = new BadClient();
      peer.greet();
      peer.send(peer.certificate(), peer.keyExchange());
      const verify = peer.certificateVerify();
      const finished = peer.finished();
      peer.changeCipherSpec();
      peer.deliver(peer.record(22, new Uint8Array([...verify, ...finished])));
      expect(peer.side.session).toBeUndefined();
      peer.deliver(peer.record(22, finished, { epoch: 1 }));
      expect(peer.side.session).toBeDefined();
    } else {
      const peer = new BadServer();
      peer.send(...peer.flight());
      const finished = peer.finished();
      peer.changeCipherSpec();
      peer.deliver(peer.record(22, finished));
      expect(peer.side.session).toBeUndefined();
    }
  });

  it('H18 data between ChangeCipherSpec and Finished is delivered after Finished, once (CVE-2014-8176)', () => {
    if (role === 'server') {
      const peer = new BadClient();
      peer.greet();
      peer.send(peer.certificate(), peer.keyExchange(), peer.certificateVerify());
      peer.changeCipherSpec();
      const early = peer.record(23, new TextEncoder().encode('early'), { epoch: 1, sequence: 1 });
      peer.deliver(early);
      peer.deliver(early);
      expect(peer.side.received).toEqual([]);
      peer.deliver(peer.record(22, peer.finished(), { epoch: 1, sequence: 0 }));
      peer.deliver(early);
      expect(peer.side.texts).toEqual(['early']);
      expect(peer.side.effects.indexOf('established')).toBeLessThan(peer.side.effects.indexOf('data'));
    } else {
      const peer = new BadServer();
      peer.send(...peer.flight());
      peer.changeCipherSpec();
      for (let n = 1; n <= 20; n++) peer.say(`${n}`, { sequence: n });
      expect(peer.side.received).toEqual([]);
      peer.deliver(peer.record(22, peer.finished(), { epoch: 1, sequence: 0 }));
      expect(peer.side.texts).toEqual(['1', '2', '3', '4', '5', '6', '7', '8']);
      expect(peer.side.connection.drops.data_early).toBe(12);
    }
  });
});

describe('H17 records for keys that are not there yet (CVE-2026-54874, CVE-2015-0206)', () => {
  it('are kept in small number, and the true ones are used', () => {
    const peer = new BadClient();
    peer.greet();
    for (let i = 0; i < 100_000; i++) peer.side.connection.receive(bare(22, 1, i % 3, junk(1 + (i % 1400))), peer.now);
    expect(peer.side.connection.drops.early).toBeGreaterThanOrEqual(100_000 - MAX_EARLY_RECORDS);
    const certificate = peer.certificate();
    const keyExchange = peer.keyExchange();
    const verify = peer.certificateVerify();
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
    peer.send(certificate, keyExchange, verify);
    expect(peer.side.session).toBeDefined();
  });
});

describe('H20 a first datagram that is no hello (CVE-2009-1386)', () => {
  it.each([20, 21, 22, 23, 25, 0, 255])('content type %i: no state, no reply', (type) => {
    const peer = new BadClient();
    for (const body of [new Uint8Array([1]), new Uint8Array([2, 40]), junk(60), junk(0)]) {
      for (const epoch of [0, 1]) {
        expect(peer.knockWith(bare(type, epoch, 0, body)).kind, `${type} ${epoch}`).toBe('drop');
      }
    }
    expect(peer.accepted).toBe(false);
  });
});

describe('H24 record numbers and keys wear out', () => {
  const secrets = () => ({
    read: new RecordKeys('aes-128-gcm', new Uint8Array(16).fill(1), new Uint8Array(4)),
    write: new RecordKeys('aes-128-gcm', new Uint8Array(16).fill(2), new Uint8Array(4)),
    ids: undefined,
  });

  it('refuses the number after 2^48 − 1', () => {
    const epochs = new Epochs(0 as SequenceNumber);
    epochs.install(secrets(), (MAX_SEQUENCE - 1) as SequenceNumber);
    const tries = [1, 2, 3].map(() => epochs.write(1, 23, junk(1)));
    expect(tries.map((one) => (one.ok ? 'sealed' : one.error))).toEqual(['sealed', 'sealed', 'sequence_exhausted']);
  });

  it('closes an association whose numbers are used up', () => {
    const peer = new BadClient();
    // A server's numbers go on from the hello's (RFC 6347 §4.2.1): this one leaves two for five messages.
    peer.greet({}, { sequence: MAX_SEQUENCE - 1 });
    expect(peer.closed).toMatchObject({ code: 'sequence_exhausted', by: 'local' });
    expect(peer.side.connection.deadline).toBeUndefined();
  });

  it('refuses to seal more under one key than it may bear, and says when too many openings failed', () => {
    const limits = { ...KEY_LIMITS, sealed: { ...KEY_LIMITS.sealed, 'aes-128-gcm': 3 }, failedOpens: 3 };
    const epochs = new Epochs(0 as SequenceNumber, limits);
    epochs.install(secrets());
    const tries = [1, 2, 3, 4].map(() => epochs.write(1, 23, junk(1)));
    expect(tries.map((one) => (one.ok ? 'sealed' : one.error))).toEqual(['sealed', 'sealed', 'sealed', 'aead_limit']);
    for (let failed = 1; failed <= 3; failed++) {
      expect(epochs.forgedTooOften).toBe(false);
      for (const record of recordsIn(bare(23, 1, failed, junk(60)), 0)) {
        if (record !== undefined) expect(epochs.open(record)).toBe('bad_mac');
      }
    }
    expect(epochs.forgedTooOften).toBe(true);
    // RFC 9147 §4.5.3.
    expect(KEY_LIMITS).toMatchObject({ sealed: { 'aes-128-gcm': 23_726_566 }, failedOpens: 68_719_476_736 });
  });
});

describe('H25 explicit nonces never repeat (GHSA-9f3f-wv7r-qc8r)', () => {
  it('over data, repeated Finished and both directions they strictly increase', { timeout: 600_000 }, () => {
    const pair = new Pair();
    // Our client's Finished goes out several times: the server's answer is lost.
    pair.link.toClient.drop((datagram, nth) => nth > 2 && nth < 5 && datagram[0] === 20);
    pair.connect();
    const count = cases(5000, 100_000);
    for (let i = 0; i < count; i++) {
      pair.say('client', `${i}`);
      pair.say('server', `${i}`);
    }
    for (const way of ['toServer', 'toClient'] as const) {
      let last = -1;
      let seen = 0;
      for (const datagram of pair.link[way].log) {
        for (const record of recordsIn(datagram, 0)) {
          if (record === undefined || record.epoch === 0) continue;
          const view = new DataView(record.fragment.buffer, record.fragment.byteOffset);
          const nonce = view.getUint16(2) * 2 ** 32 + view.getUint32(4);
          expect(view.getUint16(0)).toBe(1);
          expect(nonce).toBe(record.sequence);
          expect(nonce).toBeGreaterThan(last);
          last = nonce;
          seen++;
        }
      }
      expect(seen).toBeGreaterThan(count);
    }
    expect(pair.client.connection.retransmissions).toBeGreaterThan(0);
  });
});
