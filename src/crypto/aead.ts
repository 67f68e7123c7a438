import {
  type CipherChaCha20Poly1305,
  type CipherGCM,
  createCipheriv,
  createDecipheriv,
  type DecipherChaCha20Poly1305,
  type DecipherGCM,
} from 'node:crypto';

/** The keys of one epoch, in the form both record protection and the data plane take; and sealing with them. */

/** AEAD algorithms a record can be protected with. */
export type AeadName = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';

/**
 * One direction of one epoch. Secrets: overwrite `key` and `iv` with zeros when replaced; never log.
 *
 * `iv` is the implicit part of the nonce: 4 octets for AES-GCM (RFC 5288 §3: then 8 explicit octets per record),
 * 12 octets for ChaCha20-Poly1305 (RFC 7905 §2: XOR with the record number, nothing explicit).
 */
export class RecordKeys {
  readonly aead: AeadName;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;

  constructor(aead: AeadName, key: Uint8Array, iv: Uint8Array) {
    this.aead = aead;
    this.key = key;
    this.iv = iv;
  }

  /** Overwrites the secrets; the object is useless afterwards. */
  wipe(): void {
    this.key.fill(0);
    this.iv.fill(0);
  }

  /** Keeps secrets out of every log and JSON document. */
  toJSON(): string {
    return '[secret]';
  }
}

/** Octets of the authentication tag, the same for all three algorithms (RFC 5116 §5.1, RFC 8439 §2.8). */
export const TAG_LENGTH = 16;

/** Octets of key and of implicit nonce that each algorithm takes from the key block. */
export const AEAD_SIZES: Readonly<Record<AeadName, { readonly key: number; readonly iv: number }>> = {
  'aes-128-gcm': { key: 16, iv: 4 },
  'aes-256-gcm': { key: 32, iv: 4 },
  'chacha20-poly1305': { key: 32, iv: 12 },
};

/** The ciphertext of `plaintext` followed by its tag. `nonce` is the whole nonce, 12 octets, never used before. */
export function seal(
  aead: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const cipher = createCipher(aead, key, nonce);
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  const body = cipher.update(plaintext);
  cipher.final();
  const sealed = new Uint8Array(body.length + TAG_LENGTH);
  sealed.set(body);
  sealed.set(cipher.getAuthTag(), body.length);
  return sealed;
}

/** The plaintext of `sealed` (ciphertext, then tag); undefined when the tag does not fit or there is no room for one. */
export function open(
  aead: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | undefined {
  const length = sealed.length - TAG_LENGTH;
  if (length < 0) return undefined;
  const decipher = createDecipher(aead, key, nonce);
  decipher.setAAD(aad, { plaintextLength: length });
  decipher.setAuthTag(sealed.subarray(length));
  const plaintext = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch {
    // node:crypto's only way to say that the tag is wrong.
    plaintext.fill(0);
    return undefined;
  }
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
}

// node:crypto types each algorithm by its own overload, hence the branches.

function createCipher(aead: AeadName, key: Uint8Array, nonce: Uint8Array): CipherGCM | CipherChaCha20Poly1305 {
  return aead === 'chacha20-poly1305'
    ? createCipheriv(aead, key, nonce, { authTagLength: TAG_LENGTH })
    : createCipheriv(aead, key, nonce, { authTagLength: TAG_LENGTH });
}

function createDecipher(aead: AeadName, key: Uint8Array, nonce: Uint8Array): DecipherGCM | DecipherChaCha20Poly1305 {
  return aead === 'chacha20-poly1305'
    ? createDecipheriv(aead, key, nonce, { authTagLength: TAG_LENGTH })
    : createDecipheriv(aead, key, nonce, { authTagLength: TAG_LENGTH });
}
