import { describe, expect, it } from 'vitest';
import { open, seal } from '../../src/crypto/aead.ts';
import { digest, hmac } from '../../src/crypto/hash.ts';
import { prf } from '../../src/crypto/prf.ts';
import { toHex } from '../../src/wire/bytes.ts';

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
}

const utf8 = (text: string) => new TextEncoder().encode(text);

/** TLS 1.2 PRF vectors as published on the IETF TLS mailing list for RFC 5246 §5 ("Test vectors for TLS 1.2 PRF"). */
const PRF_VECTORS = [
  {
    hash: 'sha256',
    secret: '9bbe436ba940f017b17652849a71db35',
    seed: 'a0ba9f936cda311827a6f796ffd5198c',
    output: `e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa0
      22f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66`,
  },
  {
    hash: 'sha384',
    secret: 'b80b733d6ceefcdc71566ea48e5567df',
    seed: 'cd665cf6a8447dd6ff8b27555edb7465',
    output: `7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e5
      34cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90fa0d
      31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f`,
  },
  {
    hash: 'sha512',
    secret: 'b0323523c1853599584d88568bbb05eb',
    seed: 'd4640e12e4bcdbfb437f03e6ae418ee5',
    output: `1261f588c798c5c201ff036e7a9cb5edcd7fe3f94c669a122a4638d7d508b283042df6789875c7147e906d868bc75c45e20e
      b40c1cf4a1713b27371f68432592f7dc8ea8ef223e12ea8507841311bf68653d0cfc4056d811f025c45ddfa6e6fec702f054b409d6f28dd0a3
      233e498da41a3e75c5630eedbe22fe254e33a1b0e9f6b9826675bec7d01a845658dc9c397545401d40b9f46c7a400ee1b8f81ca0a60d1a397a
      1028bff5d2ef5066126842fb8da4197632bdb54ff6633f86bbc836e640d4d898`,
  },
] as const;

describe('the TLS 1.2 PRF (RFC 5246 §5)', () => {
  it.each(PRF_VECTORS)('matches the published vector with $hash', ({ hash, secret, seed, output }) => {
    const expected = bytes(output);
    expect(toHex(prf(hash, bytes(secret), 'test label', [bytes(seed)], expected.length))).toBe(toHex(expected));
  });

  it('takes seeds in pieces and yields prefixes of itself', () => {
    const whole = prf('sha256', utf8('secret'), 'label', [utf8('seed')], 100);
    const pieces = prf('sha256', utf8('secret'), 'label', [utf8('se'), utf8('ed')], 100);
    expect(pieces).toEqual(whole);
    for (const length of [0, 1, 31, 32, 33, 64, 99]) {
      expect(prf('sha256', utf8('secret'), 'label', [utf8('seed')], length)).toEqual(whole.slice(0, length));
    }
  });
});

describe('hashes', () => {
  it('hashes pieces as one (FIPS 180-4: "abc")', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(toHex(digest('sha256', [utf8('a'), utf8('bc')]))).toBe(expected);
  });

  it('makes the HMAC of RFC 4231 §4.3', () => {
    const expected = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843';
    expect(toHex(hmac('sha256', utf8('Jefe'), [utf8('what do ya want '), utf8('for nothing?')]))).toBe(expected);
  });
});

describe('ChaCha20-Poly1305 (RFC 8439 §2.8.2)', () => {
  const key = bytes('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f');
  const nonce = bytes('070000004041424344454647');
  const aad = bytes('50515253c0c1c2c3c4c5c6c7');
  const plaintext = utf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const sealed =
    bytes(`d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a
    71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586
    cec64b61161ae10b594f09e26a7e902ecbd0600691`);

  it('seals and opens the vector', () => {
    expect(toHex(seal('chacha20-poly1305', key, nonce, aad, plaintext))).toBe(toHex(sealed));
    expect(open('chacha20-poly1305', key, nonce, aad, sealed)).toEqual(plaintext);
  });
});

describe('AES-GCM (McGrew and Viega, test cases 4 and 16)', () => {
  const nonce = bytes('cafebabefacedbaddecaf888');
  const aad = bytes('feedfacedeadbeeffeedfacedeadbeefabaddad2');
  const plaintext =
    bytes(`d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525
    b16aedf5aa0de657ba637b39`);

  it.each([
    {
      aead: 'aes-128-gcm',
      key: 'feffe9928665731c6d6a8f9467308308',
      sealed: `42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b39
        6a0aac973d58e091 5bc94fbc3221a5db94fae95ae7121a47`,
    },
    {
      aead: 'aes-256-gcm',
      key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308',
      sealed: `522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e63
        93ba7a0abcc9f662 76fc6ece0f4e1768cddf8853bb2d551b`,
    },
  ] as const)('seals and opens the vector with $aead', ({ aead, key, sealed }) => {
    expect(toHex(seal(aead, bytes(key), nonce, aad, plaintext))).toBe(toHex(bytes(sealed)));
    expect(open(aead, bytes(key), nonce, aad, bytes(sealed))).toEqual(plaintext);
  });
});

describe('opening', () => {
  it.each(['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'] as const)('refuses any change with %s', (aead) => {
    const key = new Uint8Array(aead === 'aes-128-gcm' ? 16 : 32).fill(7);
    const nonce = new Uint8Array(12).fill(9);
    const aad = utf8('header');
    const sealed = seal(aead, key, nonce, aad, utf8('payload'));
    for (let at = 0; at < sealed.length; at++) {
      const changed = sealed.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(open(aead, key, nonce, aad, changed)).toBeUndefined();
    }
    expect(open(aead, key, nonce, utf8('headeR'), sealed)).toBeUndefined();
    expect(open(aead, key, new Uint8Array(12).fill(8), aad, sealed)).toBeUndefined();
    for (let length = 0; length < sealed.length; length++) {
      expect(open(aead, key, nonce, aad, sealed.slice(0, length))).toBeUndefined();
    }
    expect(open(aead, key, nonce, aad, sealed)).toEqual(utf8('payload'));
  });
});
