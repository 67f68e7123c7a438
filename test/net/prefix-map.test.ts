import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressBytes, addressFromBytes, family, parseAddress } from '../../src/net/address.ts';
import { contains, type Prefix, prefixText, samePrefix } from '../../src/net/prefix.ts';
import { PrefixMap } from '../../src/net/prefix-map.ts';
import { PREFIX, prefix } from '../support/arbitrary-prefix.ts';

/** Slow and obviously right. */
class Naive {
  readonly entries = new Map<string, { readonly prefix: Prefix; readonly value: number }>();

  covering(block: Prefix): readonly number[] {
    return [...this.entries.values()]
      .filter((entry) => entry.prefix.length <= block.length && contains(entry.prefix, block.address))
      .toSorted((a, b) => a.prefix.length - b.prefix.length)
      .map((entry) => entry.value);
  }
}

const STEPS = fc.array(fc.record({ block: PREFIX, remove: fc.boolean(), value: fc.nat() }), { maxLength: 60 });

describe('a prefix map', () => {
  it('agrees with a list under insertion, replacement and removal', () => {
    fc.assert(
      fc.property(STEPS, PREFIX, (steps, probe) => {
        const map = new PrefixMap<number>();
        const naive = new Naive();
        for (const { block, remove, value } of steps) {
          const text = prefixText(block);
          if (remove) expect(map.delete(block)).toBe(naive.entries.delete(text));
          else {
            map.set(block, value);
            naive.entries.set(text, { prefix: block, value });
          }
        }
        expect(map.size).toBe(naive.entries.size);
        for (const block of [probe, ...steps.map((step) => step.block)]) {
          expect(map.covering(block).map((entry) => entry.value)).toEqual(naive.covering(block));
          expect(map.get(block)?.value).toBe(naive.entries.get(prefixText(block))?.value);
          const host = { address: block.address, length: family(block.address) === 4 ? 32 : 128 };
          expect(map.lookup(block.address)?.value).toBe(naive.covering(host).at(-1));
        }
        const listed = [...map.entries()];
        expect(new Set(listed.map((entry) => prefixText(entry.prefix)))).toEqual(new Set(naive.entries.keys()));
        expect(listed.length).toBe(map.size);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  it('lists IPv4 before IPv6, by address, shorter blocks before longer ones', () => {
    const map = new PrefixMap<string>();
    const order = [
      '0.0.0.0/0',
      '10.0.0.0/8',
      '10.0.0.0/16',
      '10.1.0.0/16',
      '192.0.2.0/24',
      '::/0',
      'fd00::/8',
      'fd00::1/128',
    ];
    for (const text of order.toReversed()) map.set(prefix(text), text);
    expect([...map.entries()].map((entry) => entry.value)).toEqual(order);
  });

  it('gives the longest match', () => {
    const map = new PrefixMap<string>();
    for (const text of ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.3/32']) map.set(prefix(text), text);
    const at = (text: string): string | undefined => {
      const address = parseAddress(text);
      return address && map.lookup(address)?.value;
    };
    expect(at('10.1.2.3')).toBe('10.1.2.3/32');
    expect(at('10.1.2.4')).toBe('10.1.0.0/16');
    expect(at('10.2.0.0')).toBe('10.0.0.0/8');
    expect(at('192.0.2.1')).toBe('0.0.0.0/0');
    expect(at('fd00::1')).toBeUndefined();
  });

  it('keeps its own copy of nothing: entries are the values that were given', () => {
    const map = new PrefixMap<object>();
    const value = {};
    map.set(prefix('10.0.0.0/8'), value);
    expect(map.get(prefix('10.0.0.0/8'))?.value).toBe(value);
    expect(samePrefix(map.covering(prefix('10.0.0.0/8'))[0]?.prefix ?? prefix('::/0'), prefix('10.0.0.0/8'))).toBe(
      true,
    );
    expect(addressFromBytes(addressBytes(prefix('10.0.0.0/8').address))).toBe('10.0.0.0');
  });
});
