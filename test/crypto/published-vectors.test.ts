import { describe, expect, it } from 'vitest';
import { open, seal } from '../../src/crypto/aead.ts';
import type { HashName } from '../../src/crypto/hash.ts';
import { createKeyShare } from '../../src/crypto/key-share.ts';
import { prf } from '../../src/crypto/prf.ts';

describe('ChaCha20-Poly1305 (RFC 8439 §2.8.2)', () => {
  const key = octets('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f');
  const nonce = octets('070000004041424344454647');
  const aad = octets('50515253c0c1c2c3c4c5c6c7');
  const plaintext = Buffer.from(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    'latin1',
  );
  const sealed =
    'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b' +
    '1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc' +
    '3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691';

  it('seals to the published ciphertext and tag, and opens them', () => {
    expect(hex(seal('chacha20-poly1305', key, nonce, aad, plaintext))).toBe(sealed);
    expect(hex(open('chacha20-poly1305', key, nonce, aad, octets(sealed)))).toBe(hex(plaintext));
  });
});

describe('X25519 (RFC 7748)', () => {
  it.each([
    [
      'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
      'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
      'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
    ],
    [
      '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
      'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
      '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
    ],
  ])('multiplies as §5.2 says', (scalar, point, product) => {
    expect(hex(createKeyShare('x25519', () => octets(scalar)).derive(octets(point)))).toBe(product);
  });

  it('reaches the values of §5.2 after one and after a thousand rounds', () => {
    let k = octets(`09${'00'.repeat(31)}`);
    let u = k;
    for (let round = 1; round <= 1000; round++) {
      const scalar = k;
      const next = createKeyShare('x25519', () => scalar.slice()).derive(u);
      if (next === undefined) throw new Error(`round ${round} has no result`);
      u = k;
      k = next;
      if (round === 1) expect(hex(k)).toBe('422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079');
    }
    expect(hex(k)).toBe('684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51');
  });

  it('computes the public keys and the secret of §6.1', () => {
    const alice = share(ALICE);
    const bob = share(BOB);
    expect(hex(alice.publicKey)).toBe('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
    expect(hex(bob.publicKey)).toBe('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
    const secret = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742';
    expect([hex(alice.derive(bob.publicKey)), hex(bob.derive(alice.publicKey))]).toEqual([secret, secret]);
  });
});

// Published on the TLS working group's list when SHA-2 PRFs were specified ("TLS 1.2 PRF test vectors", 2009).
describe('TLS 1.2 PRF (RFC 5246 §5)', () => {
  it.each<[HashName, string, string, string]>([
    [
      'sha256',
      '9bbe436ba940f017b17652849a71db35',
      'a0ba9f936cda311827a6f796ffd5198c',
      'e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af' +
        '0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701' +
        '87347b66',
    ],
    [
      'sha384',
      'b80b733d6ceefcdc71566ea48e5567df',
      'cd665cf6a8447dd6ff8b27555edb7465',
      '7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0' +
        'e534cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425' +
        '9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e099070' +
        '3d73e56f',
    ],
  ])('expands with %s as published', (hash, secret, seed, output) => {
    expect(hex(prf(hash, octets(secret), 'test label', [octets(seed)], output.length / 2))).toBe(output);
  });

  it('yields a prefix for a shorter length', () => {
    const whole = prf('sha256', octets('0102'), 'label', [octets('03')], 100);
    for (const length of [1, 31, 32, 33, 64, 99]) {
      expect(hex(prf('sha256', octets('0102'), 'label', [octets('03')], length))).toBe(hex(whole.subarray(0, length)));
    }
  });
});

const ALICE = '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a';
const BOB = '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb';

function share(secret: string): ReturnType<typeof createKeyShare> {
  return createKeyShare('x25519', () => octets(secret));
}

function octets(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('hex');
}
