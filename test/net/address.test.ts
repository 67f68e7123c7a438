import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes, family, parseAddress } from '../../src/net/address.ts';

describe('addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::', '::'],
    ['fe80:0:0:1::', 'fe80:0:0:1::'],
    // RFC 5952 §4.2.3: the longest run of zeros, the first of equals.
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
  ])('%s is written %s', (text, canonical) => {
    expect(parseAddress(text)).toBe(canonical);
  });

  it.each([
    '',
    ' ',
    '10.0.0',
    '10.1',
    '10.0.0.256',
    '010.0.0.1',
    '0x0a.0.0.1',
    '10.0.0.1.',
    '10.0.0.1/8',
    '2001:db8::1::2',
    ':',
    ':::',
    'fe80::1%eth0',
    '12345::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '[::1]',
    'localhost',
    '١٠.0.0.1',
    '10.0.0.1\n',
    '::1 ',
  ])('%j is none', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it('come back from their octets', () => {
    const octets = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(
      fc.property(octets, (bytes) => {
        const address = addressFromBytes(bytes);
        if (address === undefined) throw new Error('4 or 16 octets are an address');
        expect(parseAddress(address)).toBe(address);
        expect(addressFromBytes(addressBytes(address))).toBe(address);
        if (bytes.length === 4) expect(family(address)).toBe(4);
        else if (family(address) === 6) expect([...addressBytes(address)]).toEqual([...bytes]);
      }),
      { seed: 1 },
    );
  });

  it('are what a second implementation reads and writes', () => {
    const group = fc.constantFrom('0', '0000', '1', 'ffff', 'A', '0db8', '', '10.0.0.1');
    const text = fc.oneof(
      fc.array(group, { minLength: 1, maxLength: 9 }).map((groups) => groups.join(':')),
      fc.ipV6(),
      fc.ipV4(),
      fc.array(fc.constantFrom('0', '1', '01', '255', '256', ''), { maxLength: 5 }).map((octets) => octets.join('.')),
    );
    fc.assert(
      fc.property(text, (written) => {
        const v4 = ipaddr.IPv4.isValidFourPartDecimal(written);
        const v6 = !v4 && ipaddr.IPv6.isValid(written) ? ipaddr.IPv6.parse(written) : undefined;
        const mapped = v6?.isIPv4MappedAddress() === true ? v6.toIPv4Address().toString() : undefined;
        expect(parseAddress(written)).toBe(v4 ? written : (mapped ?? v6?.toRFC5952String()));
      }),
      { seed: 9, numRuns: 3000 },
    );
  });

  it('do not come from any other number of octets', () => {
    for (const length of [0, 3, 5, 15, 17]) expect(addressFromBytes(new Uint8Array(length))).toBeUndefined();
  });
});
