import type { KeyObject } from 'node:crypto';
import type { Fingerprint } from '../base/brand.ts';

/** A certificate with its private key. */
export interface Identity {
  /** DER, leaf first. Chains are sent but carry no authority. */
  readonly certificates: readonly Uint8Array[];
  readonly privateKey: KeyObject;
  readonly fingerprint: Fingerprint;
}
