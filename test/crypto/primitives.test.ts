import { describe, expect, it } from 'vitest';
import { open, seal } from '../../src/crypto/aead.ts';
import { digest, hmac } from '../../src/crypto/hash.ts';
import { prf } from '../../src/crypto/prf.ts';
import { toHex } from '../../src/wire/bytes.ts';

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'));
}

const utf8 = (text: string) => new TextEncoder().encode(text);

describe('the TLS 1.2 PRF (RFC 5246 §5)', () => {
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
  it('hashes as FIPS 180-4 says ("abc")', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect(toHex(digest('sha256', utf8('abc')))).toBe(expected);
  });

  it('makes the HMAC of RFC 4231 §4.3', () => {
    const expected = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843';
    expect(toHex(hmac('sha256', utf8('Jefe'), [utf8('what do ya want '), utf8('for nothing?')]))).toBe(expected);
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
