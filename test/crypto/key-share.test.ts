import { describe, expect, it } from 'vitest';
import { createKeyShare } from '../../src/crypto/key-share.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { toHex } from '../../src/wire/bytes.ts';

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const fixed = (hex: string) => () => bytes(hex);
const random = (length: number) => systemRandom.random(length);

describe('key shares', () => {
  it.each(['x25519', 'secp256r1', 'secp384r1'] as const)('agree over %s', (group) => {
    const [a, b] = [createKeyShare(group, random), createKeyShare(group, random)];
    const secret = a.derive(b.publicKey);
    expect(secret).toEqual(b.derive(a.publicKey));
    expect(secret?.some((octet) => octet !== 0)).toBe(true);
    expect(a.publicKey).not.toEqual(b.publicKey);
  });

  it('computes X25519 (RFC 7748 §6.1)', () => {
    const alice = createKeyShare('x25519', fixed(RFC7748.alicePrivate));
    const bob = createKeyShare('x25519', fixed(RFC7748.bobPrivate));
    expect(toHex(alice.publicKey)).toBe(RFC7748.alicePublic);
    expect(toHex(bob.publicKey)).toBe(RFC7748.bobPublic);
    expect(toHex(alice.derive(bob.publicKey) ?? new Uint8Array(0))).toBe(RFC7748.shared);
  });

  // The points of order 1, 2, 4 and 8 and their encodings at or above the prime (RFC 7748 §6.1 and §7).
  it.each([
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ])('refuses the X25519 key of small order %s', (hex) => {
    expect(createKeyShare('x25519', random).derive(bytes(hex))).toBeUndefined();
  });

  it.each(['x25519', 'secp256r1', 'secp384r1'] as const)('refuses keys of another form over %s', (group) => {
    const share = createKeyShare(group, random);
    const valid = createKeyShare(group, random).publicKey;
    expect(share.derive(valid)).toBeDefined();
    expect(share.derive(valid.slice(1))).toBeUndefined();
    expect(share.derive(valid.slice(0, -1))).toBeUndefined();
    expect(share.derive(new Uint8Array([...valid, 0]))).toBeUndefined();
    expect(share.derive(new Uint8Array(0))).toBeUndefined();
    expect(share.derive(new Uint8Array([0]))).toBeUndefined();
  });

  it.each([
    ['secp256r1', 32],
    ['secp384r1', 48],
  ] as const)('refuses what is no uncompressed point of %s', (group, coordinate) => {
    const share = createKeyShare(group, random);
    const { publicKey } = createKeyShare(group, random);
    const x = publicKey.slice(1, 1 + coordinate);
    const offCurve = publicKey.slice();
    offCurve[2 * coordinate] = (offCurve[2 * coordinate] ?? 0) ^ 1;
    expect(share.derive(offCurve)).toBeUndefined();
    for (const format of [0, 1, 2, 3, 5, 6, 7]) {
      expect(share.derive(new Uint8Array([format, ...x]))).toBeUndefined();
      expect(share.derive(new Uint8Array([format, ...publicKey.slice(1)]))).toBeUndefined();
    }
    expect(share.derive(new Uint8Array([4, ...new Uint8Array(2 * coordinate)]))).toBeUndefined();
    expect(share.derive(new Uint8Array([4, ...new Uint8Array(2 * coordinate).fill(0xff)]))).toBeUndefined();
  });

  it('draws again when the number is no private key', () => {
    const draws = ['00'.repeat(32), 'ff'.repeat(32), '01'.padStart(64, '0')];
    const share = createKeyShare('secp256r1', () => bytes(draws.shift() ?? ''));
    // The base point itself.
    expect(toHex(share.publicKey).slice(2, 18)).toBe('6b17d1f2e12c4247');
  });
});

/** RFC 7748 §6.1. */
const RFC7748 = {
  alicePrivate: '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a',
  alicePublic: '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
  bobPrivate: '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb',
  bobPublic: 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
  shared: '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
};
