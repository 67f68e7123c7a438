import { AEAD_SIZES, RecordKeys } from '../../crypto/aead.ts';
import { prf } from '../../crypto/prf.ts';
import type { Role } from '../effects.ts';
import { VERIFY_DATA_LENGTH } from '../messages/finished.ts';
import type { Suite } from '../suites.ts';
import type { Transcript } from './transcript.ts';

/** Both sides' random values. */
export interface Randoms {
  readonly client: Uint8Array;
  readonly server: Uint8Array;
}

/**
 * The master secret. With extended_master_secret it covers the transcript up to and including ClientKeyExchange
 * (RFC 7627 §4), without it the randoms only (RFC 5246 §8.1). Overwrites `premaster`.
 */
export function masterSecret(
  suite: Suite,
  premaster: Uint8Array,
  extended: boolean,
  transcript: Transcript,
  randoms: Randoms,
): Uint8Array {
  const master = extended
    ? prf(suite.hash, premaster, 'extended master secret', [transcript.hash(suite.hash)], MASTER_LENGTH)
    : prf(suite.hash, premaster, 'master secret', [randoms.client, randoms.server], MASTER_LENGTH);
  premaster.fill(0);
  return master;
}

/** Both directions' record keys (RFC 5246 §6.3). */
export function recordKeys(
  suite: Suite,
  master: Uint8Array,
  randoms: Randoms,
): { readonly client: RecordKeys; readonly server: RecordKeys } {
  const { key, iv } = AEAD_SIZES[suite.aead];
  const block = prf(suite.hash, master, 'key expansion', [randoms.server, randoms.client], 2 * key + 2 * iv);
  const cut = (from: number, length: number) => block.slice(from, from + length);
  const client = new RecordKeys(suite.aead, cut(0, key), cut(2 * key, iv));
  const server = new RecordKeys(suite.aead, cut(key, key), cut(2 * key + iv, iv));
  block.fill(0);
  return { client, server };
}

/** What `sender`'s Finished holds (RFC 5246 §7.4.9). */
export function verifyData(suite: Suite, master: Uint8Array, sender: Role, transcript: Transcript): Uint8Array {
  return prf(suite.hash, master, `${sender} finished`, [transcript.hash(suite.hash)], VERIFY_DATA_LENGTH);
}

const MASTER_LENGTH = 48;
