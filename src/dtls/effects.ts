import type { Epoch, Fingerprint, SequenceNumber } from '../base/brand.ts';
import type { RecordKeys } from '../crypto/aead.ts';
import type { CloseCode } from './close-codes.ts';

export type { CloseCode } from './close-codes.ts';

/** What an association asks its driver to do. Drain `poll()` after every input and perform the effects in order. */
export type Effect =
  /** Send this datagram to the peer. Owned by the receiver: the engine keeps no reference. */
  | { readonly kind: 'transmit'; readonly datagram: Uint8Array }
  /**
   * Offload only: the keys of the established epoch. Comes before the flight that completes the peer's handshake is
   * transmitted, so that the peer's first data record finds the keys in place. The engine seals nothing afterwards.
   */
  | { readonly kind: 'install'; readonly keys: EpochKeys; readonly protocol: string | undefined }
  /** Offload only: seal this fragment under the installed keys and send it. */
  | { readonly kind: 'seal'; readonly contentType: ContentType; readonly fragment: Uint8Array }
  /** The handshake is complete and the peer's certificate matched. Comes once. */
  | { readonly kind: 'established'; readonly session: Established }
  /** Application data, in order of arrival, each once. Offload: only records that came before the keys were installed. */
  | { readonly kind: 'data'; readonly payload: Uint8Array }
  /** The association is over. The last effect ever. */
  | { readonly kind: 'closed'; readonly reason: CloseReason };

/** Record content types (RFC 5246 §6.2.1, RFC 9146 §4 for 25, which never reaches a driver). */
export type ContentType = 20 | 21 | 22 | 23;

/** Everything needed to protect and open records of one epoch from now on. */
export interface EpochKeys {
  readonly epoch: Epoch;
  readonly read: RecordKeys;
  readonly write: RecordKeys;
  /** The number of the next record to seal. */
  readonly nextWrite: SequenceNumber;
  /** Numbers of this epoch that were accepted already: replays of them must be refused. Few (the peer's Finished). */
  readonly accepted: readonly SequenceNumber[];
  /** The id that records to us carry (RFC 9146); empty when not agreed. */
  readonly ourConnectionId: Uint8Array;
  /** The id that our records carry; empty when the peer wants none, though ids were agreed or not. */
  readonly peerConnectionId: Uint8Array;
  /** Whether the extension was agreed: then all our protected records that carry a non-empty id are of type 25. */
  readonly connectionIdsAgreed: boolean;
}

/** What is known once the handshake has completed. */
export interface Established {
  readonly role: Role;
  readonly peer: Fingerprint;
  /** IANA name, e.g. TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256. */
  readonly suite: string;
  readonly group: 'x25519' | 'secp256r1' | 'secp384r1';
  /** The agreed application protocol (RFC 7301), or undefined. */
  readonly protocol: string | undefined;
  readonly extendedMasterSecret: boolean;
  readonly connectionIds: boolean;
  /** Flights this side sent again because of its timer. */
  readonly retransmissions: number;
  /** DER of the peer's leaf certificate (a copy). */
  readonly peerCertificate: Uint8Array;
}

/** Who sent the ClientHello. */
export type Role = 'client' | 'server';

/**
 * Why an association ended: one of CLOSE_CODES, the alert if one was sent or received, and what was seen
 * against what was expected as paste-able text where both are known (fingerprints, suites, versions).
 */
export interface CloseReason {
  readonly code: CloseCode;
  /** `local`: we ended it; `peer`: the peer did; */
  readonly by: 'local' | 'peer';
  readonly alert: number | undefined;
  readonly seen: string | undefined;
  readonly expected: string | undefined;
}
