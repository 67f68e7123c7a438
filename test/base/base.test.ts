import { describe, expect, it } from 'vitest';
import {
  between,
  earliest,
  type Instant,
  later,
  MAX_SEQUENCE,
  ms,
  nextSequence,
  type SequenceNumber,
  seconds,
} from '../../src/base/brand.ts';
import { monotonicClock } from '../../src/base/clock.ts';
import { DtunnelError, ERRORS, EXIT } from '../../src/base/errors.ts';
import { assertNever, invariant } from '../../src/base/invariant.ts';

describe('sequence numbers (RFC 6347 §4.1)', () => {
  it('follow each other and never wrap', () => {
    expect(nextSequence(0 as SequenceNumber)).toBe(1);
    expect(nextSequence((MAX_SEQUENCE - 1) as SequenceNumber)).toBe(MAX_SEQUENCE);
    expect(nextSequence(MAX_SEQUENCE)).toBeUndefined();
  });
});

describe('time', () => {
  it('adds up', () => {
    const start = 1000 as Instant;
    expect(later(start, seconds(1.5))).toBe(2500);
    expect(between(start, later(start, ms(7)))).toBe(7);
    expect(between(later(start, ms(7)), start)).toBe(-7);
  });

  it('takes the earlier of two deadlines, undefined being never', () => {
    const a = 1 as Instant;
    const b = 2 as Instant;
    expect(earliest(a, b)).toBe(a);
    expect(earliest(b, a)).toBe(a);
    expect(earliest(undefined, b)).toBe(b);
    expect(earliest(a, undefined)).toBe(a);
    expect(earliest(undefined, undefined)).toBeUndefined();
  });

  it('does not go backwards', () => {
    let last = monotonicClock();
    for (let i = 0; i < 1000; i++) {
      const now = monotonicClock();
      expect(now).toBeGreaterThanOrEqual(last);
      last = now;
    }
  });
});

describe('errors', () => {
  it('carry the exit status and the hint of their code', () => {
    const error = new DtunnelError('K002', 'the private key /k has mode 0644');
    expect(error.exitCode).toBe(EXIT.config);
    expect(error.hint).toBe(ERRORS.K002.hint);
    expect(new DtunnelError('K002', 'x', { hint: 'chmod 600 /k' }).hint).toBe('chmod 600 /k');
    expect(new DtunnelError('S001', 'x', { cause: error }).cause).toBe(error);
  });

  it('have codes of a known class and names of their own', () => {
    const ids = Object.values(ERRORS).map((entry) => entry.id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [code, entry] of Object.entries(ERRORS)) {
      expect(code).toMatch(/^[CKNHS]\d{3}$/);
      expect(entry.id).toMatch(/^DT_[A-Z0-9_]+$/);
      expect(Object.values(EXIT)).toContain(entry.exit);
      expect(entry.hint).toMatch(/^\S.*[^.\s]$/);
    }
  });
});

describe('assertions', () => {
  it('throw on what cannot be, and on nothing else', () => {
    expect(() => invariant(true, 'x')).not.toThrow();
    expect(() => invariant(false, 'the sky is up')).toThrow('invariant violated: the sky is up');
    const wavelength = (colour: 'red'): number => (colour === 'red' ? 700 : assertNever(colour, 'colour'));
    expect(wavelength('red')).toBe(700);
    expect(() => wavelength(JSON.parse('"blue"'))).toThrow('unexpected colour: "blue"');
  });
});
