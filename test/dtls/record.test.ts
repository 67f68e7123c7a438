import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Epoch, SequenceNumber } from '../../src/base/brand.ts';
import { MAX_SEQUENCE } from '../../src/base/brand.ts';
import { AEAD_SIZES, RecordKeys } from '../../src/crypto/aead.ts';
import { Epochs } from '../../src/dtls/epochs.ts';
import { openRecord, sealedOverhead, sealRecord } from '../../src/dtls/protection.ts';
import { recordsIn, writeRecord } from '../../src/dtls/record.ts';

const AEADS = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'] as const;
const NO_ID = new Uint8Array(0);

function keysOf(aead: (typeof AEADS)[number], salt = 0): RecordKeys {
  const { key, iv } = AEAD_SIZES[aead];
  return new RecordKeys(aead, new Uint8Array(key).fill(1 + salt), new Uint8Array(iv).fill(2 + salt));
}

function only(datagram: Uint8Array, idLength = 0) {
  const [record, ...more] = recordsIn(datagram, idLength);
  if (record === undefined || more.length > 0) throw new Error('one record was expected');
  return record;
}

describe('records (RFC 6347 §4.1)', () => {
  const header = fc.record({
    type: fc.constantFrom(20, 21, 22, 23),
    version: fc.nat(0xffff),
    epoch: fc.nat(0xffff).map((e) => e as Epoch),
    sequence: fc.maxSafeNat().map((s) => (s % (MAX_SEQUENCE + 1)) as SequenceNumber),
    connectionId: fc.constant(NO_ID),
    fragment: fc.uint8Array({ maxLength: 60 }),
  });

  it('are read one after the other as they were written', () => {
    fc.assert(
      fc.property(fc.array(header, { maxLength: 5 }), (records) => {
        const datagram = new Uint8Array(records.flatMap((record) => [...writeRecord(record)]));
        expect([...recordsIn(datagram, 0)]).toEqual(records);
      }),
      { seed: 8 },
    );
  });

  it('end at the first that does not fit, for any octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(20), (datagram, idLength) => {
        let read = 0;
        for (const record of recordsIn(datagram, idLength)) {
          if (record === undefined) return;
          read += 13 + record.connectionId.length + record.fragment.length;
        }
        expect(read).toBe(datagram.length);
      }),
      { seed: 9, numRuns: 2000 },
    );
  });
});

describe.each(AEADS)('protection with %s', (aead) => {
  const keys = keysOf(aead);
  const payload = new TextEncoder().encode('payload');

  it.each([0, 1, 8, 32, 255])('opens what it sealed, with an id of %i octets', (idLength) => {
    const id = new Uint8Array(idLength).fill(5);
    for (const contentType of [21, 22, 23]) {
      const sealed = sealRecord(keys, 1 as Epoch, 77 as SequenceNumber, id, contentType, payload);
      expect(sealed.length).toBe(payload.length + sealedOverhead(keys, id));
      const record = only(sealed, idLength);
      expect(record.type).toBe(idLength > 0 ? 25 : contentType);
      expect(openRecord(keys, record)).toEqual({ contentType, fragment: payload });
    }
  });

  it('carries epoch and number as explicit nonce, where there is one (RFC 5288 §3)', () => {
    const record = only(sealRecord(keys, 1 as Epoch, 0x0203040506 as SequenceNumber, NO_ID, 23, payload));
    const explicit = aead === 'chacha20-poly1305' ? 0 : 8;
    expect(record.fragment.length).toBe(explicit + payload.length + 16);
    if (explicit > 0) expect(record.fragment.slice(0, 8)).toEqual(new Uint8Array([0, 1, 0, 2, 3, 4, 5, 6]));
  });

  it('refuses a record whose header, id, body or key was changed', () => {
    const id = new Uint8Array(4).fill(5);
    for (const [used, length] of [
      [NO_ID, 0],
      [id, 4],
    ] as const) {
      const sealed = sealRecord(keys, 1 as Epoch, 5 as SequenceNumber, used, 23, payload);
      for (let at = 0; at < sealed.length; at++) {
        const changed = sealed.slice();
        changed[at] = (changed[at] ?? 0) ^ 0x04;
        for (const record of recordsIn(changed, length)) {
          if (record !== undefined) expect(openRecord(keys, record), `octet ${at}`).toBeUndefined();
        }
      }
      expect(openRecord(keysOf(aead, 1), only(sealed, length))).toBeUndefined();
    }
  });

  it('opens nothing that is shorter than nonce and tag', () => {
    for (let length = 0; length < 24; length++) {
      const fragment = new Uint8Array(length);
      const record = { type: 23, version: 0xfefd, epoch: 1 as Epoch, sequence: 1 as SequenceNumber };
      expect(openRecord(keys, { ...record, connectionId: NO_ID, fragment })).toBeUndefined();
    }
  });

  it('finds the content type behind any padding, and none in zeros alone (RFC 9146 §4)', () => {
    const id = new Uint8Array([9]);
    // An inner plaintext is content, type, zeros: content "x\x17" with type 0 is "x" of type 23 with one octet of padding.
    for (let padding = 0; padding < 40; padding++) {
      const inner = new Uint8Array([0x78, 23, ...new Uint8Array(padding)]);
      const sealed = sealRecord(keys, 1 as Epoch, 1 as SequenceNumber, id, 0, inner);
      expect(openRecord(keys, only(sealed, 1))).toEqual({ contentType: 23, fragment: new Uint8Array([0x78]) });
    }
    const zeros = sealRecord(keys, 1 as Epoch, 1 as SequenceNumber, id, 0, new Uint8Array(10));
    expect(openRecord(keys, only(zeros, 1))).toBeUndefined();
  });
});

describe('Epochs', () => {
  const secrets = () => ({ read: keysOf('aes-128-gcm', 1), write: keysOf('aes-128-gcm', 2), ids: undefined });

  it('never wraps a record number (RFC 6347 §4.1)', () => {
    const epochs = new Epochs(MAX_SEQUENCE);
    expect(epochs.write(0, 22, NO_ID).ok).toBe(true);
    expect(epochs.write(0, 22, NO_ID)).toEqual({ ok: false, error: 'sequence_exhausted' });
    epochs.install(secrets(), (MAX_SEQUENCE - 1) as SequenceNumber);
    expect(epochs.write(1, 23, NO_ID).ok).toBe(true);
    expect(epochs.write(1, 23, NO_ID).ok).toBe(true);
    expect(epochs.write(1, 23, NO_ID)).toEqual({ ok: false, error: 'sequence_exhausted' });
  });

  it('overwrites its keys', () => {
    const epochs = new Epochs(0 as SequenceNumber);
    const { read, write } = secrets();
    epochs.install({ read, write, ids: undefined });
    epochs.wipe();
    expect([...read.key, ...write.key, ...read.iv, ...write.iv].every((octet) => octet === 0)).toBe(true);
    expect(JSON.stringify({ read })).toBe('{"read":"[secret]"}');
  });

  it('hands over its counter and what it accepted, and then owns nothing', () => {
    const ours = new Epochs(0 as SequenceNumber);
    ours.install(secrets());
    ours.write(1, 22, NO_ID);
    ours.write(1, 22, NO_ID);
    ours.commit(0 as SequenceNumber);
    ours.commit(4 as SequenceNumber);
    expect(ours.handOver()).toMatchObject({ epoch: 1, nextWrite: 2, accepted: [4, 0], connectionIdsAgreed: false });
    expect(ours.ready).toBe(false);
    expect(() => ours.write(1, 23, NO_ID)).toThrow('invariant');
  });
});
