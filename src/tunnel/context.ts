import type { Fingerprint, Instant, PeerId, SessionSlot } from '../base/brand.ts';
import type { Settings } from '../config/settings.ts';
import type { Identity } from '../crypto/identity.ts';
import type { Continuation } from '../dtls/continuation.ts';
import type { ConnectionOptions, CryptoSource } from '../dtls/options.ts';
import type { FrontDoorVerdict, SansIo } from '../dtls/sans-io.ts';
import type { Path } from '../net/endpoint.ts';
import type { TunnelEffect, TunnelEvent } from './effects.ts';
import type { SessionReadings } from './face.ts';
import type { Peer } from './peer.ts';
import type { Registry } from './registry.ts';
import type { SlotTable } from './slots.ts';

/** Makes DTLS engines; tests put their own in. */
export interface Engines {
  /** An association that calls. */
  client(options: ConnectionOptions): SansIo;
  /** An association that continues from the hello a listener accepted. */
  server(options: ConnectionOptions, hello: Uint8Array): SansIo;
  /** An association that another process established. */
  continued(continuation: Continuation): SansIo;
  /** The stateless front door. */
  listener(crypto: CryptoSource): Doorkeeper;
}

/** Answers first datagrams without remembering anything (RFC 6347 §4.2.1). */
export interface Doorkeeper {
  receive(datagram: Uint8Array, path: Path, now: Instant): FrontDoorVerdict;
}

/** What every part of the tunnel shares: settings, identity, sources, and the queue of effects. */
export interface Context {
  readonly settings: Settings;
  readonly identity: Identity;
  readonly crypto: CryptoSource;
  readonly engines: Engines;
  readonly slots: SlotTable;
  /** Stopping: nothing new is begun. */
  readonly draining: boolean;
  /** How many peers are configured, for rates that are shared between them. */
  readonly peerCount: number;
  emit(effect: TunnelEffect): void;
  event(event: TunnelEvent): void;
  /** When it was last looked whether the counters of `slot` had moved; one at rest whose had is checked. */
  lookedAt(slot: SessionSlot): Instant;
  /** Counters of an installed session. */
  readings(slot: SessionSlot): SessionReadings | undefined;
  /** Epoch seconds, to judge certificates only. */
  wallClock(): number;
  /** The enabled peer that a certificate belongs to. */
  identify(fingerprint: Fingerprint): { readonly id: PeerId; readonly allowLegacyPeer: boolean } | undefined;
  /** A number in 0 … 1, evenly spread, for jitter. */
  uniform(): number;
  /** Has `host` looked up unless that is under way; the answer goes to every peer that uses it. */
  resolve(host: string): void;
  /** Whether a handshake may be begun along `path` now. */
  admitsCall(path: Path, now: Instant): boolean;
  /** Enters an association into the indexes, moves it in them, takes it out. */
  readonly registry: Registry;
  /** `peer` needs to settle once the input at hand is dealt with. */
  touch(peer: Peer): void;
  /** A peer came up or went down: who gets which prefix may change. */
  routesChanged(now: Instant): void;
}
