/** The keys of one epoch, in the form both record protection and the data plane take. */

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
