import type { Duration, Fingerprint, Instant, PathMtu, PeerId, SessionSlot } from '../base/brand.ts';
import type { CloseReason, EpochKeys, Role } from '../dtls/effects.ts';
import type { FrontDoorDrop } from '../dtls/sans-io.ts';
import type { Address } from '../net/address.ts';
import type { Path } from '../net/endpoint.ts';
import type { Prefix } from '../net/prefix.ts';
import type { TrialResult } from './trials.ts';

/** What the tunnel asks its driver to do, to be performed in order. All but the last three map one to one onto Plane calls. */
export type TunnelEffect =
  | { readonly kind: 'send'; readonly path: Path; readonly datagram: Uint8Array }
  | {
      readonly kind: 'install';
      readonly slot: SessionSlot;
      readonly peer: PeerId;
      readonly keys: EpochKeys;
      readonly path: Path;
      readonly pathMtu: PathMtu;
      readonly packs: boolean;
    }
  | { readonly kind: 'activate'; readonly peer: PeerId; readonly slot: SessionSlot | undefined }
  | { readonly kind: 'move'; readonly slot: SessionSlot; readonly path: Path }
  | { readonly kind: 'path-mtu'; readonly slot: SessionSlot; readonly mtu: PathMtu }
  | { readonly kind: 'retire'; readonly slot: SessionSlot }
  | {
      readonly kind: 'seal';
      readonly slot: SessionSlot;
      readonly contentType: number;
      readonly fragment: Uint8Array;
      readonly path: Path | undefined;
    }
  | { readonly kind: 'inject'; readonly peer: PeerId; readonly packet: Uint8Array }
  | { readonly kind: 'routes'; readonly routes: readonly TunnelRoute[] }
  | { readonly kind: 'peer'; readonly peer: PeerId; readonly options: TunnelPeerOptions }
  | { readonly kind: 'remove-peer'; readonly peer: PeerId }
  /** Look `host` up and answer with `tunnel.resolved`. */
  | { readonly kind: 'resolve'; readonly host: string }
  /** Something worth a log line, a counter, a hook. */
  | { readonly kind: 'event'; readonly event: TunnelEvent }
  /** Drain or close is complete: the daemon may stop. */
  | { readonly kind: 'finished'; readonly sessionsLeft: number };

/** As `Route` in plane/plane.ts. */
export interface TunnelRoute {
  readonly prefix: Prefix;
  readonly outbound: PeerId | undefined;
  readonly inbound: readonly PeerId[];
}

/** As `PeerOptions` in plane/plane.ts. */
export interface TunnelPeerOptions {
  readonly dscp: 'copy' | 'clear' | number;
  readonly ecn: boolean;
  readonly rateLimit: number | undefined;
  readonly clampMss: boolean;
}

/** Why a handshake was started. */
export type HandshakeTrigger = 'start' | 'time' | 'data' | 'manual' | 'retry' | 'peer' | 'unknown-session' | 'failover';

/** Peer states (UX.md §8 stateset). */
export type PeerState = 'disabled' | 'resolving' | 'connecting' | 'up' | 'degraded' | 'down';

/** Why a datagram that may have begun a handshake was ignored. */
export type IgnoreReason =
  | FrontDoorDrop
  /** It came before the tunnel was started. */
  | 'starting'
  /** The tunnel is stopping, or has stopped. */
  | 'draining'
  /** A copy of a hello whose handshake is over. */
  | 'late'
  /** From an address at which no peer is configured, with `Unknown = drop`. */
  | 'unknown'
  /** As many handshakes are half open as may be. */
  | 'full'
  /** Too many handshakes from there, or from strangers. */
  | 'rate'
  /** Both ends call each other, and our call goes first. */
  | 'simultaneous';

/** Events; ids in logs are the `kind` with dots (see daemon/log.ts). `peer` is the configured name. */
export type TunnelEvent =
  | {
      readonly kind: 'peer-state';
      readonly peer: string;
      readonly from: PeerState;
      readonly to: PeerState;
      readonly reason: string;
    }
  | {
      readonly kind: 'handshake-started';
      readonly peer: string | undefined;
      readonly role: Role;
      readonly path: Path;
      readonly trigger: HandshakeTrigger;
    }
  | {
      readonly kind: 'handshake-completed';
      readonly peer: string;
      readonly role: Role;
      readonly path: Path;
      readonly duration: Duration;
      readonly suite: string;
      readonly retransmissions: number;
      readonly trigger: HandshakeTrigger;
      readonly isRekey: boolean;
    }
  | {
      readonly kind: 'handshake-failed';
      readonly peer: string | undefined;
      readonly role: Role;
      readonly path: Path;
      readonly reason: CloseReason;
      readonly trigger: HandshakeTrigger;
      readonly isRekey: boolean;
      /** When the next attempt is due; undefined: none (the peer calls us). */
      readonly retryIn: Duration | undefined;
    }
  | { readonly kind: 'handshake-ignored'; readonly path: Path; readonly reason: IgnoreReason }
  | { readonly kind: 'cookie'; readonly result: 'challenged' | 'valid' | 'invalid' | 'stale' }
  | { readonly kind: 'peer-closed'; readonly peer: string; readonly reason: CloseReason }
  | {
      readonly kind: 'probe';
      readonly peer: string;
      readonly result: 'answered' | 'lost';
      readonly rtt: Duration | undefined;
    }
  | {
      readonly kind: 'endpoint-changed';
      readonly peer: string;
      readonly path: Path;
      readonly reason: 'roam' | 'dns' | 'failover' | 'failback';
      /** How long nothing authenticated had come by the old path; undefined when the same association moved. */
      readonly silence: Duration | undefined;
    }
  | { readonly kind: 'path-mtu'; readonly peer: string; readonly mtu: PathMtu; readonly direction: 'up' | 'down' }
  | { readonly kind: 'dns'; readonly host: string; readonly result: 'ok' | 'nxdomain' | 'timeout' | 'unchanged' }
  /** What a peer makes of a certificate of ours that is not in force: the answer to `tunnel.trial`. */
  | { readonly kind: 'trial'; readonly peer: string; readonly fingerprint: Fingerprint; readonly result: TrialResult }
  | { readonly kind: 'unattributed'; readonly reason: 'unknown_session' | 'flood' };

/** What the tunnel knows of a peer at an instant: the source of status and metrics. */
export interface PeerSnapshot {
  readonly id: PeerId;
  readonly name: string;
  readonly state: PeerState;
  /** Since when it is in this state. */
  readonly since: Instant;
  /** An authenticated record came within DeadAfter. */
  readonly up: boolean;
  readonly fingerprint: Fingerprint;
  /** Of the current association; undefined while there is none. */
  readonly association: AssociationSnapshot | undefined;
  /** Other associations that are still readable or warming up. */
  readonly others: readonly AssociationSnapshot[];
  /** Configured endpoints with what they resolved to, in order of preference. */
  readonly endpoints: readonly {
    readonly host: string;
    readonly port: number;
    readonly addresses: readonly Address[];
  }[];
  readonly lastReceive: Instant | undefined;
  readonly rtt: { readonly smoothed: Duration; readonly variation: Duration } | undefined;
  /** Share of the last probes that went unanswered, 0 … 1. */
  readonly loss: number;
  /** The latest failed attempt since the last success, for status and doctor. */
  readonly lastFailure: { readonly at: Instant; readonly reason: CloseReason } | undefined;
  readonly nextAttempt: Instant | undefined;
  /** The path it was last met on: worth remembering for the next start. */
  readonly lastKnown: Path | undefined;
}

/** What is known of a peer without asking the data plane: for those who look at all peers whenever one has changed. */
export type PeerGlance = Pick<PeerSnapshot, 'name' | 'state' | 'up' | 'fingerprint' | 'lastKnown'> & {
  readonly association: Pick<AssociationSnapshot, 'innerMtu' | 'peerCertificateNotAfter'> | undefined;
};

/** One association of a peer. */
export interface AssociationSnapshot {
  readonly slot: SessionSlot;
  readonly role: Role;
  readonly path: Path;
  /** Index into the peer's endpoints; undefined when the peer called us. */
  readonly endpointIndex: number | undefined;
  readonly suite: string;
  readonly group: string;
  readonly protocol: string | undefined;
  readonly connectionIds: boolean;
  readonly establishedAt: Instant;
  readonly handshakeDuration: Duration;
  readonly rekeyAt: Instant | undefined;
  readonly rekeyAfterBytes: number;
  /** Share of the AEAD limit used by the busier direction, 0 … 1. */
  readonly keyUsage: { readonly transmit: number; readonly receive: number };
  readonly pathMtu: PathMtu;
  readonly innerMtu: number;
  /** notAfter of the peer's certificate, epoch seconds. */
  readonly peerCertificateNotAfter: number;
}
