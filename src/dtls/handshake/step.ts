import type { Fingerprint } from '../../base/brand.ts';
import type { RecordKeys } from '../../crypto/aead.ts';
import type { AlertName } from '../alert.ts';
import type { CloseCode, Established } from '../effects.ts';
import type { GroupName } from '../options.ts';
import type { Suite } from '../suites.ts';

/** What a state makes of a message: the next state and what is to be done, or the end. Nothing is done by the states. */
export type Step<State> = Advance<State> | Retreat<State> | Abort;

/** The handshake goes on. */
export interface Advance<State> {
  readonly kind: 'advance';
  readonly next: State;
  /** A flight to send; the one before it is answered by it and needs no further retransmission. */
  readonly flight?: readonly FlightItem[];
  /** Keys of epoch 1, usable from now on. They come with or before the flight that needs them. */
  readonly keys?: EpochSecrets;
  /** Set when the handshake is complete: the peer's Finished has been verified. */
  readonly complete?: Completion;
}

/** What came of this flight counts for nothing: the handshake waits for another one in its place. */
export interface Retreat<State> {
  readonly kind: 'retreat';
  readonly next: State;
  /** What is to be said if no other comes. */
  readonly suspicion?: Abort;
}

/** The handshake has failed. */
export interface Abort {
  readonly kind: 'abort';
  readonly code: CloseCode;
  /** When another alert fits better than the code's usual one. */
  readonly alert?: AlertName;
  readonly seen?: string;
  readonly expected?: string;
}

/** One element of a flight, in order. Messages are whole, with their header. */
export type FlightItem =
  | { readonly kind: 'message'; readonly epoch: 0 | 1; readonly raw: Uint8Array }
  | { readonly kind: 'change-cipher-spec' };

/** Keys of both directions, and what records carry. */
export interface EpochSecrets {
  readonly read: RecordKeys;
  readonly write: RecordKeys;
  readonly ids: ConnectionIds | undefined;
}

/** Agreed connection ids (RFC 9146 §3). */
export interface ConnectionIds {
  /** Carried by records to us; may be empty. */
  readonly ours: Uint8Array;
  /** Carried by our records; may be empty. */
  readonly peers: Uint8Array;
}

/** What both hellos settled. */
export interface Negotiated {
  readonly suite: Suite;
  readonly clientRandom: Uint8Array;
  readonly serverRandom: Uint8Array;
  readonly extendedMasterSecret: boolean;
  readonly protocol: string | undefined;
  readonly ids: ConnectionIds | undefined;
}

/** What the driver is told at the end, less what only the connection knows. */
export type Completion = Omit<Established, 'role' | 'retransmissions'>;

/** The peer's leaf certificate, judged and accepted. */
export interface AcceptedPeer {
  readonly fingerprint: Fingerprint;
  readonly certificate: Uint8Array;
}

/** The summary of a complete handshake. */
export function completion(negotiated: Negotiated, group: GroupName, peer: AcceptedPeer): Completion {
  return {
    peer: peer.fingerprint,
    suite: negotiated.suite.name,
    group,
    protocol: negotiated.protocol,
    extendedMasterSecret: negotiated.extendedMasterSecret,
    connectionIds: negotiated.ids !== undefined,
    peerCertificate: peer.certificate,
  };
}

/** A failure of this kind. */
export function abort(code: CloseCode, details: Omit<Abort, 'kind' | 'code'> = {}): Abort {
  return { kind: 'abort', code, ...details };
}

/** A message element of a flight. */
export function item(raw: Uint8Array, epoch: 0 | 1 = 0): FlightItem {
  return { kind: 'message', epoch, raw };
}
