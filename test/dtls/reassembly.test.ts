import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Fragment, fragmentsIn, Reassembly } from '../../src/dtls/handshake/reassembly.ts';
import { MAX_MESSAGE, MAX_MESSAGES_AHEAD, MAX_PIECES, MAX_REASSEMBLY_OCTETS } from '../../src/dtls/limits.ts';
import { HANDSHAKE_CODES } from '../../src/dtls/messages/types.ts';

const CERTIFICATE = HANDSHAKE_CODES.certificate;

function piece(body: Uint8Array, offset: number, size: number, sequence = 0, code: number = CERTIFICATE): Fragment {
  return { code, length: body.length, sequence, offset, data: body.subarray(offset, offset + size) };
}

function pattern(length: number, salt = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + salt) & 0xff);
}

describe('Reassembly (RFC 6347 §4.2.3)', () => {
  it('is complete at the first moment every octet is there, however it was cut', () => {
    const cuts = fc
      .integer({ min: 1, max: 80 })
      .chain((length) =>
        fc.tuple(
          fc.constant(length),
          fc.array(fc.tuple(fc.nat(length - 1), fc.integer({ min: 1, max: length })), { maxLength: 60 }),
        ),
      );
    fc.assert(
      fc.property(cuts, ([length, pieces]) => {
        const body = pattern(length);
        const map = new Uint8Array(length);
        const reassembly = new Reassembly(0);
        for (const [offset, size] of pieces) {
          reassembly.add(piece(body, offset, Math.min(size, length - offset)));
          map.fill(1, offset, Math.min(length, offset + size));
          const whole = reassembly.ready !== undefined;
          expect(whole).toBe(map.every((there) => there === 1));
          if (whole) {
            expect(reassembly.take()?.body).toEqual(body);
            return;
          }
        }
      }),
      { numRuns: 2000, seed: 2 },
    );
  });

  it('puts a message together from single octets in any order within its pieces', () => {
    const body = pattern(MAX_PIECES);
    const reassembly = new Reassembly(0);
    for (let at = body.length - 2; at >= 0; at -= 2) expect(reassembly.add(piece(body, at, 1))).toBeUndefined();
    for (let at = body.length - 1; at >= 0; at -= 2) expect(reassembly.add(piece(body, at, 1))).toBeUndefined();
    expect(reassembly.take()?.body).toEqual(body);
  });

  it('bounds the pieces, and still completes when the flight is repeated in order', () => {
    const body = pattern(2000);
    const reassembly = new Reassembly(0);
    const dropped: unknown[] = [];
    for (let at = 0; at < body.length; at += 2) dropped.push(reassembly.add(piece(body, at, 1)));
    expect(dropped.filter((reason) => reason === 'no_room').length).toBe(1000 - MAX_PIECES);
    for (let at = 0; at < body.length; at++) reassembly.add(piece(body, at, 1));
    expect(reassembly.take()?.body).toEqual(body);
  });

  it('yields messages in the order of their numbers with a header as if whole', () => {
    const reassembly = new Reassembly(3);
    const [a, b] = [pattern(40, 1), pattern(30, 2)];
    reassembly.add(piece(b, 0, 30, 4));
    expect(reassembly.take()).toBeUndefined();
    reassembly.add(piece(a, 20, 20, 3));
    reassembly.add(piece(a, 0, 20, 3));
    const first = reassembly.take();
    expect(first?.body).toEqual(a);
    expect([...(first?.raw.slice(0, 12) ?? [])]).toEqual([CERTIFICATE, 0, 0, 40, 0, 3, 0, 0, 0, 0, 0, 40]);
    expect(reassembly.take()?.body).toEqual(b);
    expect(reassembly.add(piece(a, 0, 40, 3))).toBe('repeated');
    expect(reassembly.octets).toBe(0);
  });

  it('counts an empty message as whole, and ignores empty pieces of others', () => {
    const reassembly = new Reassembly(0);
    const empty = new Uint8Array(0);
    expect(reassembly.add(piece(pattern(5), 5, 0))).toBe('empty_fragment');
    expect(reassembly.octets).toBe(0);
    expect(reassembly.add(piece(empty, 0, 0, 0, HANDSHAKE_CODES.server_hello_done))).toBeUndefined();
    expect(reassembly.take()?.type).toBe('server_hello_done');
  });

  it.each([
    ['octets behind the end', { offset: 90, data: pattern(11), length: 100 }, 'bad_fragment'],
    ['an offset far away', { offset: 2 ** 24 - 1, data: pattern(2), length: 100 }, 'bad_fragment'],
    ['an unknown type', { code: 99 }, 'bad_fragment'],
    ['more than its kind may have', { length: MAX_MESSAGE.certificate + 1 }, 'too_large'],
    ['a claim of 16 MiB', { length: 2 ** 24 - 1 }, 'too_large'],
    ['a number far ahead', { sequence: MAX_MESSAGES_AHEAD }, 'no_room'],
  ] as const)('ignores %s and holds nothing for it', (_what, change, reason) => {
    const reassembly = new Reassembly(0);
    const fragment = { code: CERTIFICATE, length: 100, sequence: 0, offset: 0, data: pattern(10), ...change };
    expect(reassembly.add(fragment)).toBe(reason);
    expect(reassembly.octets).toBe(0);
  });

  it('lets the later word count when two disagree about a message', () => {
    const honest = pattern(60);
    const reassembly = new Reassembly(0);
    reassembly.add({ ...piece(honest, 0, 10), length: 100 });
    reassembly.add(piece(honest, 0, 60, 0, HANDSHAKE_CODES.client_key_exchange));
    reassembly.add(piece(honest, 0, 30));
    expect(reassembly.take()).toBeUndefined();
    reassembly.add(piece(honest, 30, 30));
    expect(reassembly.take()).toMatchObject({ type: 'certificate', body: honest });
    expect(reassembly.octets).toBe(0);
  });

  it('stays within its octets and prefers the message that is next', () => {
    const reassembly = new Reassembly(0);
    const big = pattern(16_000);
    for (let sequence = 7; sequence >= 0; sequence--) {
      reassembly.add(piece(big, 0, 100, sequence));
      expect(reassembly.octets).toBeLessThanOrEqual(MAX_REASSEMBLY_OCTETS);
    }
    reassembly.add(piece(big, 0, 16_000, 0));
    expect(reassembly.take()?.body).toEqual(big);
  });
});

describe('fragmentsIn', () => {
  it('never reads past the record, whatever its octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (record) => {
        let read = 0;
        for (const fragment of fragmentsIn(record)) {
          if (fragment === undefined) return;
          read += 12 + fragment.data.length;
          expect(read).toBeLessThanOrEqual(record.length);
        }
        expect(read).toBe(record.length);
      }),
      { seed: 3 },
    );
  });
});
