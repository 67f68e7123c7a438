import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, equalBytes, toHex } from '../../src/wire/bytes.ts';
import { Reader } from '../../src/wire/reader.ts';
import { Writer } from '../../src/wire/writer.ts';

const widths = fc.constantFrom(1 as const, 2 as const, 3 as const, 4 as const, 5 as const, 6 as const);

/** One thing that can be written and read back. */
const field = fc.oneof(
  widths.chain((width) =>
    fc.record({
      kind: fc.constant('uint' as const),
      width: fc.constant(width),
      value: fc.maxSafeNat().map((n) => n % 256 ** width),
    }),
  ),
  fc.record({ kind: fc.constant('bytes' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({
    kind: fc.constant('vector' as const),
    width: fc.constantFrom(1 as const, 2 as const, 3 as const),
    bytes: fc.uint8Array({ maxLength: 200 }),
  }),
);

describe('Reader and Writer', () => {
  it('read back what was written, front to back', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 20 }), fc.nat(16), (fields, capacity) => {
        const w = new Writer(capacity);
        for (const f of fields) {
          if (f.kind === 'uint') w.uint(f.value, f.width);
          else if (f.kind === 'bytes') w.bytes(f.bytes);
          else w.vector(f.width, f.bytes);
        }
        const { length } = w;
        const written = w.take();
        expect(written).toHaveLength(length);
        const r = new Reader(written);
        for (const f of fields) {
          if (f.kind === 'uint') expect(r.uint(f.width)).toBe(f.value);
          else if (f.kind === 'bytes') expect(r.view(f.bytes.length)).toEqual(f.bytes);
          else expect(r.vector(f.width)).toEqual(f.bytes);
        }
        expect(r.done).toBe(true);
      }),
      { seed: 21, numRuns: 500 },
    );
  });

  it('any read past the end yields zeros and poisons for good', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.integer({ min: 1, max: 6 }), (bytes, extra) => {
        const r = new Reader(bytes);
        r.view(bytes.length);
        expect(r.done).toBe(true);
        expect(r.view(extra)).toHaveLength(0);
        expect([r.ok, r.done, r.empty, r.remaining]).toEqual([false, false, true, 0]);
        expect([r.uint(1), r.rest().length, r.vector(1).length]).toEqual([0, 0, 0]);
        expect(r.ok).toBe(false);
      }),
      { seed: 22 },
    );
  });

  it('an integer that is cut off yields zero, not what is there', () => {
    const r = new Reader(new Uint8Array([0xff, 0xff]));
    expect(r.uint(3)).toBe(0);
    expect(r.ok).toBe(false);
  });

  it('six octets are read exactly', () => {
    for (const value of [2 ** 48 - 1, 2 ** 32, 2 ** 31, 2 ** 47]) {
      expect(new Reader(new Writer().uint(value, 6).take()).uint(6)).toBe(value);
    }
  });

  it('views share memory; what is taken from a writer does not', () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const view = new Reader(bytes).view(2);
    bytes[0] = 9;
    expect(view[0]).toBe(9);
    const w = new Writer().bytes(bytes);
    const taken = w.take();
    w.uint(7, 1);
    expect(taken).toEqual(bytes);
  });

  it('a poisoned reader stays poisoned', () => {
    const r = new Reader(new Uint8Array(10));
    r.poison();
    expect([r.ok, r.uint(2), r.remaining]).toEqual([false, 0, 0]);
  });

  it('what does not fit its field is a bug of the caller', () => {
    expect(() => new Writer().uint(256, 1)).toThrow('invariant');
    expect(() => new Writer().uint(-1, 1)).toThrow('invariant');
    expect(() => new Writer().uint(0.5, 2)).toThrow('invariant');
    expect(() => new Writer().vector(1, new Uint8Array(256))).toThrow('invariant');
  });

  it('vectors nest, each with its own length', () => {
    const written = new Writer(1)
      .vector(2, (w) => w.vector(1, new Uint8Array([5])).vector(1, new Uint8Array(0)))
      .take();
    expect(toHex(written)).toBe('0003010500');
  });
});

describe('bytes', () => {
  it('are joined in order and compared by value', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 10 })), (parts) => {
        const whole = concat(parts);
        expect([...whole]).toEqual(parts.flatMap((part) => [...part]));
        expect(equalBytes(whole, whole.slice())).toBe(true);
        expect(equalBytes(whole, new Uint8Array([...whole, 0]))).toBe(false);
        if (whole.length > 0) {
          const other = whole.slice();
          other[0] = (other[0] ?? 0) ^ 1;
          expect(equalBytes(whole, other)).toBe(false);
        }
        expect(toHex(whole)).toBe(Buffer.from(whole).toString('hex'));
      }),
      { seed: 23 },
    );
  });
});
