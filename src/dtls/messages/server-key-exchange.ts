import { concat } from '../../wire/bytes.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/**
 * The server's ephemeral key with its signature (RFC 8422 §5.4). Byte arrays are copies.
 *
 * | octets | field |
 * | --- | --- |
 * | 1 | curve type, 3: a named curve |
 * | 2 | group |
 * | 1 + n | public key |
 * | 2 | signature scheme |
 * | 2 + n | signature |
 */
export interface ServerKeyExchange {
  readonly type: 'server_key_exchange';
  readonly group: number;
  readonly publicKey: Uint8Array;
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/** The message in `body`; undefined when it does not parse or its curve is spelled out (RFC 8422 §5.4). */
export function parseServerKeyExchange(body: Uint8Array): ServerKeyExchange | undefined {
  const r = new Reader(body);
  const curveType = r.uint(1);
  const group = r.uint(2);
  const publicKey = r.vector(1).slice();
  const scheme = r.uint(2);
  const signature = r.vector(2).slice();
  if (!r.done || curveType !== NAMED_CURVE) return undefined;
  return { type: 'server_key_exchange', group, publicKey, scheme, signature };
}

/** The message's body. */
export function writeServerKeyExchange(message: ServerKeyExchange): Uint8Array {
  return new Writer(256).bytes(keyParameters(message)).uint(message.scheme, 2).vector(2, message.signature).take();
}

/** What the signature covers: both randoms and the parameters (RFC 8422 §5.4). */
export function signedParameters(
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
  key: Pick<ServerKeyExchange, 'group' | 'publicKey'>,
): Uint8Array {
  return concat([clientRandom, serverRandom, keyParameters(key)]);
}

const NAMED_CURVE = 3;

function keyParameters(key: Pick<ServerKeyExchange, 'group' | 'publicKey'>): Uint8Array {
  return new Writer(128).uint(NAMED_CURVE, 1).uint(key.group, 2).vector(1, key.publicKey).take();
}
