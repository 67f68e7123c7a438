import { concat } from '../wire/bytes.ts';
import { HASH_LENGTH, type HashName, hmac } from './hash.ts';

/** `length` octets of the TLS 1.2 pseudorandom function (RFC 5246 §5): P_hash over the label and the seeds. */
export function prf(
  hash: HashName,
  secret: Uint8Array,
  label: string,
  seeds: readonly Uint8Array[],
  length: number,
): Uint8Array {
  const seed = concat([Buffer.from(label, 'latin1'), ...seeds]);
  const output = new Uint8Array(length);
  let a = hmac(hash, secret, [seed]);
  for (let at = 0; at < length; at += HASH_LENGTH[hash]) {
    const block = hmac(hash, secret, [a, seed]);
    output.set(block.subarray(0, Math.min(block.length, length - at)), at);
    block.fill(0);
    if (at + HASH_LENGTH[hash] < length) a = hmac(hash, secret, [a]);
  }
  return output;
}
