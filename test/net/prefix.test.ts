import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes, parseAddress } from '../../src/net/address.ts';
import {
  contains,
  networkOf,
  parseInterfaceAddress,
  parsePrefix,
  prefixText,
  samePrefix,
} from '../../src/net/prefix.ts';
import { PREFIX, prefix } from '../support/arbitrary-prefix.ts';

describe('prefixes', () => {
  it.each([
    ['10.1.2.3/16', '10.1.0.0/16'],
    ['10.1.2.3', '10.1.2.3/32'],
    ['10.1.2.3/0', '0.0.0.0/0'],
    ['10.1.2.3/31', '10.1.2.2/31'],
    ['2001:db8:ffff::1/33', '2001:db8:8000::/33'],
    ['fd00::1', 'fd00::1/128'],
    ['::/0', '::/0'],
    ['::ffff:10.0.0.1', '10.0.0.1/32'],
  ])('%s is the block %s', (text, block) => {
    expect(prefixText(prefix(text))).toBe(block);
  });

  it.each([
    '10.1.0.0/33',
    '10.1.0.0/',
    '10.1.0.0/-1',
    '10.1.0.0/1e1',
    '10.1.0.0/16/16',
    '/16',
    'fd00::/129',
    '10.1.0.0 /16',
    '10.1.0.0/0016',
    // 96 of these 120 bits only say that it is IPv4: the 24 that are left must not be read as 120, nor 120 as 24.
    '::ffff:10.0.0.0/120',
    '::ffff:10.0.0.0/24',
  ])('%j is none', (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });

  it('keep the host bits of an interface address', () => {
    const address = parseInterfaceAddress('172.31.0.2/30');
    expect(address && prefixText(address)).toBe('172.31.0.2/30');
  });

  it('read back as they are written', () => {
    fc.assert(
      fc.property(PREFIX, (block) => {
        expect(parsePrefix(prefixText(block))).toEqual(block);
        expect(samePrefix(networkOf(block), block)).toBe(true);
      }),
      { seed: 1 },
    );
  });

  it('hold exactly the addresses that share their leading bits', () => {
    fc.assert(
      fc.property(PREFIX, fc.nat({ max: 127 }), (block, flip) => {
        const bytes = addressBytes(block.address);
        const bit = flip % (bytes.length * 8);
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
        const other = addressFromBytes(bytes);
        fc.pre(other !== undefined && other.includes(':') === block.address.includes(':'));
        expect(contains(block, block.address)).toBe(true);
        expect(other !== undefined && contains(block, other)).toBe(bit >= block.length);
      }),
      { seed: 2, numRuns: 500 },
    );
  });

  it('hold nothing of the other family', () => {
    const v6 = parseAddress('::1');
    const v4 = parseAddress('0.0.0.1');
    expect(v6 && contains(prefix('0.0.0.0/0'), v6)).toBe(false);
    expect(v4 && contains(prefix('::/0'), v4)).toBe(false);
  });
});
