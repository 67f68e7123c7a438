import type { Instant } from '../base/brand.ts';
import type { Continuation } from './continuation.ts';
import type { CloseCode, Effect } from './effects.ts';

/**
 * One association, driven from outside: after any input drain `poll()` until undefined, perform the effects in order,
 * then sleep until `deadline` and call `tick`. Inputs never throw, whatever the octets; damaged or hostile datagrams are
 * dropped and counted. Implemented by `connection.ts`.
 */
export interface SansIo {
  /** Starts the handshake (client), or continues it from the hello the listener accepted (server). Call once, first. */
  start(now: Instant): void;
  /** A datagram from the peer. */
  receive(datagram: Uint8Array, now: Instant): void;
  /** Offload only: a record that the data plane opened under the installed keys (content types 20 … 22). */
  receiveOpened(contentType: number, fragment: Uint8Array, now: Instant): void;
  /** Protects and sends application data; only when established and not offloaded. False: refused (too large, not open). */
  send(payload: Uint8Array): boolean;
  /** Ends the association: close_notify, or a fatal alert fitting `code`; then `closed`. Harmless when closed. */
  close(code: CloseCode, now: Instant): void;
  /** Lowers or raises the datagram size for what is sent from now on (flights are fragmented afresh). */
  setMaxDatagram(octets: number): void;
  /** Time has come to `deadline` or later. */
  tick(now: Instant): void;
  poll(): Effect | undefined;
  /** What another process needs to go on with it; undefined unless it is established and its keys are offloaded. */
  continuation(): Continuation | undefined;
  /** When `tick` is due; undefined while nothing is armed. */
  readonly deadline: Instant | undefined;
  readonly state: 'idle' | 'handshaking' | 'established' | 'closed';
}

/** What a listener says to a datagram that belongs to no association (RFC 6347 §4.2.1). */
export type FrontDoorVerdict =
  /**
   * Send this HelloVerifyRequest; nothing was remembered. `cookie` says what the hello brought: none, one whose secret is
   * gone, or a wrong one. All three are asked again (RFC 6347 §4.2.1).
   */
  | { readonly kind: 'challenge'; readonly reply: Uint8Array; readonly cookie: 'absent' | 'stale' | 'invalid' }
  /** The cookie proves the address: make a server connection from `hello` (the datagram, copied). */
  | { readonly kind: 'accept'; readonly hello: Uint8Array }
  /** Ignore it. */
  | { readonly kind: 'drop'; readonly reason: FrontDoorDrop };

/** Why a first datagram was ignored. */
export type FrontDoorDrop = 'not_client_hello' | 'malformed' | 'fragmented' | 'version';
