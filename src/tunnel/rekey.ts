import { type Duration, type Instant, later, ms } from '../base/brand.ts';
import type { AeadName } from '../crypto/aead.ts';
import type { Role } from '../dtls/effects.ts';
import type { SessionReadings } from './face.ts';
import {
  CHACHA_BLOCKS,
  GCM_BLOCKS,
  MAX_FAILED_OPENS,
  MAX_RECORDS,
  REKEY_CLIENT,
  REKEY_SERVER,
  REKEY_SHARE,
  STOP_SHARE,
} from './limits.ts';

/** What is known of a key's use. */
export interface RekeyInput {
  readonly now: Instant;
  readonly role: Role;
  readonly aead: AeadName;
  readonly readings: SessionReadings;
  /** From `rekeyAt`; undefined: time alone never asks for a rekey. */
  readonly scheduledAt: Instant | undefined;
  /** Octets of plaintext in either direction; auto: from the limits of the AEAD alone. */
  readonly afterBytes: number | 'auto';
}

/** Fresh keys are wanted because of `trigger`; the association must end; or nothing. */
export type RekeyDecision =
  | { readonly kind: 'keep' }
  | { readonly kind: 'rekey'; readonly trigger: 'time' | 'data' }
  | { readonly kind: 'stop' };

/** Whether a session's keys are to be replaced now, by age, by volume, or by what the AEAD allows (RFC 9147 §4.5.3). */
export function decideRekey(input: RekeyInput): RekeyDecision {
  const usage = keyUsage(input.readings, input.aead);
  const busiest = Math.max(usage.transmit, usage.receive);
  if (busiest >= STOP_SHARE) return { kind: 'stop' };
  // The server leaves the client a tenth more, so that both do not start at once.
  const patience = input.role === 'client' ? 1 : 1.1;
  const bytes = Math.max(Number(input.readings.sealedBytes), Number(input.readings.openedBytes));
  const byVolume = input.afterBytes !== 'auto' && bytes >= input.afterBytes * patience;
  if (byVolume || busiest >= REKEY_SHARE * patience) return { kind: 'rekey', trigger: 'data' };
  if (input.scheduledAt !== undefined && input.now >= input.scheduledAt) return { kind: 'rekey', trigger: 'time' };
  return { kind: 'keep' };
}

/** When `role` acts on a session established at `at`: spread at random (`uniform` in 0 … 1) over its own window. */
export function rekeyAt(at: Instant, after: Duration | 'off', role: Role, uniform: number): Instant | undefined {
  if (after === 'off') return undefined;
  const window = role === 'client' ? REKEY_CLIENT : REKEY_SERVER;
  return later(at, ms(after * (window.from + (window.to - window.from) * uniform)));
}

/** Share of what the AEAD allows that each direction has used, 0 … 1. */
export function keyUsage(
  readings: SessionReadings,
  aead: AeadName,
): { readonly transmit: number; readonly receive: number } {
  const limit = aead === 'chacha20-poly1305' ? CHACHA_BLOCKS : GCM_BLOCKS;
  const share = (records: bigint, bytes: bigint): number =>
    Math.max(blocks(Number(records), Number(bytes)) / limit, Number(records) / MAX_RECORDS);
  return {
    transmit: share(readings.sealedRecords, readings.sealedBytes),
    receive: Math.max(
      share(readings.openedRecords, readings.openedBytes),
      Number(readings.failedOpens) / MAX_FAILED_OPENS,
    ),
  };
}

/** Octets after which a rekey starts: the configured number, or what the AEAD's limit makes of large records. */
export function rekeyAfterBytes(afterBytes: number | 'auto', aead: AeadName): number {
  const limit = aead === 'chacha20-poly1305' ? MAX_RECORDS * 2 ** 10 : GCM_BLOCKS * 16;
  return afterBytes === 'auto' ? Math.floor(limit * REKEY_SHARE) : afterBytes;
}

/** Cipher blocks used: the plaintext, half a block of rounding and one for the tag on average per record. */
function blocks(records: number, bytes: number): number {
  return bytes / 16 + 1.5 * records;
}
