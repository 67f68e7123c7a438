import type { Duration, Fingerprint, Instant, SessionSlot } from '../base/brand.ts';
import type { Settings } from '../config/settings.ts';
import type { Identity } from '../crypto/identity.ts';
import type { CryptoSource } from '../dtls/options.ts';
import type { Address } from '../net/address.ts';
import type { Path } from '../net/endpoint.ts';
import type { Engines } from './context.ts';
import type { PeerGlance, PeerSnapshot, TunnelEffect } from './effects.ts';
import type { TunnelExport, TunnelState } from './handover.ts';
import type { Changed } from './rounds.ts';

/** What the tunnel may ask about an installed session; answered by the data plane (`Plane.session`). */
export interface SessionReadings {
  readonly sealedRecords: bigint;
  readonly sealedBytes: bigint;
  /** Inner packets sent in datagrams longer than `PATH_MTU_MIN`, since this process began. */
  readonly sealedLarge: bigint;
  readonly openedRecords: bigint;
  readonly openedBytes: bigint;
  readonly failedOpens: bigint;
  readonly lastReceive: Instant | undefined;
}

/** Everything a tunnel is made from. */
export interface TunnelOptions {
  readonly settings: Settings;
  readonly identity: Identity;
  readonly crypto: CryptoSource;
  /** Reads counters of an installed session; undefined when the slot is not installed. */
  readonly session: (slot: SessionSlot) => SessionReadings | undefined;
  /** Says which installed sessions have sealed or opened records (`Plane.changedSessions`). */
  readonly changed: Changed;
  /** Where peers were last met, by the fingerprint of any certificate of theirs. Default: nothing is known. */
  readonly lastKnown?: ReadonlyMap<Fingerprint, Path>;
  /** Makes DTLS engines. Default: ours. */
  readonly engines?: Engines;
  /** Wall clock in epoch seconds, only to judge certificate dates. */
  readonly wallClock: () => number;
}

/**
 * All peers of one daemon. Sans-IO: give inputs with the time, drain `poll()`, perform the effects in order, sleep until
 * `deadline`. Inputs never throw. Implemented by `tunnel.ts`.
 */
export interface TunnelFace {
  /** Declares peers and routes and starts calling. Once, first. */
  start(now: Instant): void;
  /** Instead of `start`: goes on where another process was, whose settings these are. Throws when it cannot be. */
  continueFrom(state: TunnelState, now: Instant): void;
  /** All that another process needs for that. Changes nothing here. */
  export(now: Instant): TunnelExport;
  /** A datagram that no installed session claimed. Counted, and as if it had been lost, when it comes before `start`. */
  datagram(path: Path, datagram: Uint8Array, now: Instant): void;
  /** An authenticated record of an installed session that is no IP packet. */
  record(slot: SessionSlot, contentType: number, fragment: Uint8Array, path: Path, newest: boolean, now: Instant): void;
  /** The first authenticated record of a session came. */
  confirmed(slot: SessionSlot, now: Instant): void;
  /** An authenticated newest record of a session came along another path. */
  moved(slot: SessionSlot, path: Path, now: Instant): void;
  /** A record with a fragment of this length is larger than the device takes that it was to leave by. */
  refused(slot: SessionSlot, length: number, now: Instant): void;
  /** Answer to `resolve`. */
  resolved(host: string, answer: Resolution, now: Instant): void;
  /** Local addresses (now `ours`) or routes changed (netlink): paths may be gone, better ones may be there. */
  networkChanged(ours: readonly Address[], now: Instant): void;
  /** Applies new settings hitlessly: peers come, go and change; associations that still hold stay. */
  reload(settings: Settings, identity: Identity, now: Instant): void;
  /** Fresh handshake beside the current one: with one peer, or all. False: no such peer. */
  rekey(peer: string | undefined, now: Instant): boolean;
  /** Probes `peer` now instead of when it is due; answered or lost, a `probe` event follows. False: nobody to ask. */
  probe?(peer: string, now: Instant): boolean;
  /**
   * Asks every enabled peer, beside its association, whether it would accept `identity` as ours; yields their names. A
   * `trial` event follows for each, within TRIAL_TIMEOUT.
   */
  trial(identity: Identity, now: Instant): readonly string[];
  /** No new handshakes; tell peers to fail over; `finished` when idle or after `timeout`. */
  drain(timeout: Duration, now: Instant): void;
  /** close_notify to everybody, retire all; then `finished`. */
  close(now: Instant): void;
  tick(now: Instant): void;
  poll(): TunnelEffect | undefined;
  readonly deadline: Instant | undefined;
  readonly draining: boolean;
  /** Handshakes under way. */
  readonly handshakes: number;
  /** In the order of the settings. */
  snapshot(now: Instant): readonly PeerSnapshot[];
  /** The same, at a small part of the cost. */
  glance(): readonly PeerGlance[];
}

/** Outcome of a name look-up. */
export type Resolution =
  | { readonly kind: 'addresses'; readonly addresses: readonly Address[]; readonly ttl: Duration | undefined }
  | { readonly kind: 'failed'; readonly reason: 'nxdomain' | 'timeout' };
