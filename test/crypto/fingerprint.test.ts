import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprintBase64, fingerprintOf, formatFingerprint, parseFingerprint } from '../../src/crypto/fingerprint.ts';

const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('fingerprint', () => {
  it('is the SHA-256 of the octets in lower-case hex (FIPS 180-4: the empty message)', () => {
    expect(fingerprintOf(new Uint8Array(0))).toBe(EMPTY);
  });

  it('reads back what each form writes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (octets) => {
        const fingerprint = fingerprintOf(octets);
        expect(parseFingerprint(fingerprint)).toBe(fingerprint);
        expect(parseFingerprint(formatFingerprint(fingerprint))).toBe(fingerprint);
        expect(parseFingerprint(fingerprintBase64(fingerprint))).toBe(fingerprint);
        expect(parseFingerprint(`SHA256:${createHash('sha256').update(octets).digest('base64')}`)).toBe(fingerprint);
      }),
    );
  });

  it('reads upper case, mixed case and surrounding blanks', () => {
    const colons = formatFingerprint(fingerprintOf(new Uint8Array(0)));
    expect(parseFingerprint(` ${colons.toUpperCase()}\n`)).toBe(EMPTY);
    expect(parseFingerprint(EMPTY.toUpperCase())).toBe(EMPTY);
  });

  it.each([
    ['nothing', ''],
    ['31 octets', EMPTY.slice(2)],
    ['33 octets', `${EMPTY}00`],
    ['a digit that is none', `g${EMPTY.slice(1)}`],
    ['a colon in the wrong place', `${EMPTY.slice(0, 3)}:${EMPTY.slice(3)}`],
    ['colons here and there', `e3:${EMPTY.slice(2)}`],
    ['base64 that is too short', `SHA256:${'A'.repeat(42)}`],
    ['base64 with bits left over', `SHA256:${'A'.repeat(42)}B`],
    ['another hash', `SHA1:${'A'.repeat(43)}`],
  ])('refuses %s', (_what, text) => {
    expect(parseFingerprint(text)).toBeUndefined();
  });
});
