import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INTERFACE } from '../../src/config/interface-keys.ts';
import { editDistance, nearest } from '../../src/config/suggest.ts';
import { duration, durationText, parseRate, rateText, size, sizeText } from '../../src/config/units.ts';
import { parseFingerprintValue } from '../../src/config/fingerprint-value.ts';
import { parseFingerprint } from '../../src/crypto/fingerprint.ts';
import type { Offload } from '../../src/plane/plane.ts';

describe('units', () => {
  it('read back as they are written', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 31 }), (value) => {
        expect(duration(0, 2 ** 31)(durationText(value))).toEqual({ ok: true, value });
        expect(size(0, 'auto')(sizeText(value * 1024))).toEqual({ ok: true, value: value * 1024 });
        expect(parseRate(rateText(value + 16_000))).toEqual({ ok: true, value: value + 16_000 });
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  it.each([
    [90_000, '90s'],
    [60_000, '1m'],
    [1500, '1500ms'],
    [86_400_000, '1d'],
    [0, '0s'],
  ])('%i ms are %s', (value, text) => {
    expect(durationText(value)).toBe(text);
  });

  it.each(['', '-1', '1.5s', '1 s s', '1w', 's', '1e3', '0x10', '99999999999999999', '١s'])(
    '%j is no duration',
    (text) => {
      expect(duration(0, 2 ** 52)(text).ok).toBe(false);
    },
  );

  it.each(['', '1', '10Mbps', '1e9kbit', '-1mbit', '1.mbit', '.5gbit', '15kbit', '1001gbit'])(
    '%j is no rate',
    (text) => {
      expect(parseRate(text).ok).toBe(false);
    },
  );
});

describe('fingerprints', () => {
  it('are accepted exactly where the parser of certificates accepts them', () => {
    const text = fc.oneof(
      fc.stringMatching(/^[0-9a-fA-F:]{0,100}$/),
      fc
        .uint8Array({ minLength: 30, maxLength: 34 })
        .map((octets) => `SHA256:${Buffer.from(octets).toString('base64')}`),
      fc.uint8Array({ minLength: 31, maxLength: 33 }).map((octets) => Buffer.from(octets).toString('hex')),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (written) => {
        const parsed = parseFingerprintValue(written);
        expect(parsed.ok ? parsed.value : undefined).toBe(parseFingerprint(written));
        if (!parsed.ok) expect(parsed.error.at ?? 0).toBeLessThanOrEqual(written.length);
      }),
      { seed: 2, numRuns: 1000 },
    );
  });
});

describe('offload names', () => {
  it('are those of the data plane', () => {
    const names: Readonly<Record<Offload, true>> = {
      'tun-tso': true,
      'tun-uso': true,
      'tun-coalesce-tcp': true,
      'tun-coalesce-udp': true,
      'udp-segment': true,
      'udp-gro': true,
    };
    for (const name of Object.keys(names))
      expect(INTERFACE.disableOffloads.parse(name)).toEqual({ ok: true, value: name });
    expect(INTERFACE.disableOffloads.parse('checksum').ok).toBe(false);
  });
});

describe('edit distance', () => {
  it.each([
    ['', '', 0],
    ['a', '', 1],
    ['endpiont', 'endpoint', 1],
    ['kitten', 'sitting', 3],
    ['abc', 'cab', 2],
  ])('from %j to %j is %i', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });

  it('obeys the bounds of any distance', () => {
    const word = fc.stringMatching(/^[abc]{0,8}$/);
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b);
        expect(distance === 0).toBe(a === b);
        expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
      { seed: 3 },
    );
  });

  it('finds nothing where nothing was kept', () => {
    expect(nearest('xy', ['MTU', 'DSCP'])).toBeUndefined();
    expect(nearest('', ['MTU'])).toBeUndefined();
    expect(nearest('mtuu', ['MTU'])).toBe('MTU');
  });
});
