import fc from 'fast-check';
import { addressFromBytes } from '../../src/net/address.ts';
import { networkOf, type Prefix, parsePrefix } from '../../src/net/prefix.ts';

/** `text` as a prefix; throws when it is none. */
export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`${text} is no prefix`);
  return parsed;
}

/** Prefixes of both families, crowded into few leading bits so that many of them nest and collide. */
export const PREFIX: fc.Arbitrary<Prefix> = fc
  .tuple(
    fc.boolean(),
    fc.array(fc.constantFrom(0, 1, 0x80, 0xfe, 0xff), { minLength: 16, maxLength: 16 }),
    fc.nat({ max: 128 }),
  )
  .map(([v6, octets, length]) => {
    const bytes = Uint8Array.from(v6 ? [0xfd, ...octets.slice(1)] : octets.slice(0, 4));
    const address = addressFromBytes(bytes);
    if (address === undefined) throw new Error('4 or 16 octets are an address');
    return networkOf({ address, length: v6 ? length : length % 33 });
  });
