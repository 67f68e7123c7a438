import type { Duration, Fingerprint, TunMtu } from '../base/brand.ts';
import type { AeadName } from '../crypto/aead.ts';
import type { Address } from '../net/address.ts';
import type { HostPort } from '../net/endpoint.ts';
import type { InterfaceAddress, Prefix } from '../net/prefix.ts';

/** A configuration file as a typed value that cannot be wrong: made by `schema.ts`, never changed afterwards. */
export interface Settings {
  readonly interface: InterfaceSettings;
  /** In the order of the file; names and fingerprints are unique. */
  readonly peers: readonly PeerSettings[];
}

/** The [Interface] section. */
export interface InterfaceSettings {
  /** Tunnel name, 1 to 15 characters: the file's base name unless set. */
  readonly name: string;
  readonly addresses: readonly InterfaceAddress[];
  /**
   * Path of a PEM file (a relative one is joined to the directory of the configuration file), or `credential:NAME`
   * (systemd credentials). Nothing was read yet: `daemon/identity-files.ts` does.
   */
  readonly certificate: string;
  /** Like `certificate`; may be the same file. */
  readonly privateKey: string;
  /** 0: the kernel chooses (every peer has an Endpoint). */
  readonly listenPort: number;
  /** Empty: every address of both families. */
  readonly listenAddresses: readonly Address[];
  /** `auto`, or a ceiling. */
  readonly mtu: 'auto' | TunMtu;
  /** `auto`: the main table; `off`: no routes; a number: that table. */
  readonly table: 'auto' | 'off' | number;
  /** Undefined: the kernel's default. */
  readonly routeMetric: number | undefined;
  readonly forwarding: 'check' | 'set' | 'off';
  readonly failClosed: boolean;
  /** 1 … 2^32 − 1; undefined: packets are not marked. */
  readonly fwMark: number | undefined;
  readonly dscp: 'copy' | 'clear' | number;
  readonly ecn: boolean;
  /** Offered in this order; `auto` follows the CPU. */
  readonly ciphers: 'auto' | readonly AeadName[];
  readonly crypto: 'auto' | 'openssl';
  readonly rekeyAfter: Duration | 'off';
  /** Plaintext octets per session; `auto` derives it from the AEAD's limits. */
  readonly rekeyAfterData: number | 'auto';
  readonly unknown: 'challenge' | 'drop';
  readonly maxHandshakes: number | 'auto';
  readonly metrics: MetricsListener;
  /** The token itself, or `credential:NAME`. A secret: never log it. */
  readonly metricsToken: string | undefined;
  readonly metricsDetail: 'full' | 'summary';
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly logFormat: 'auto' | 'pretty' | 'json';
  readonly lanes: number | 'auto';
  /** Offloads switched off by hand: names of `Offload` in plane/plane.ts. */
  readonly disableOffloads: readonly string[];
  readonly realtime: boolean;
  /** Program (absolute path) and arguments; no shell. */
  readonly onUp: readonly string[] | undefined;
  readonly onDown: readonly string[] | undefined;
  readonly onPeerState: readonly string[] | undefined;
}

/** Where `/metrics`, `/livez` and `/readyz` are served. */
export type MetricsListener =
  | { readonly kind: 'off' }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** A [Peer] section. */
export interface PeerSettings {
  /** Unless set: the first 8 hex digits of the first fingerprint. */
  readonly name: string;
  /** One, or two during a rotation. */
  readonly fingerprints: readonly Fingerprint[];
  /** In order of preference; empty: this side only listens. */
  readonly endpoints: readonly HostPort[];
  readonly allowedIps: readonly Prefix[];
  /** Lower wins for the same prefix. */
  readonly priority: number;
  readonly failback: Duration;
  readonly persistentKeepalive: Duration | 'off' | 'auto';
  /** Unless set: 1.5 s with a standby (second endpoint, or a peer of other priority), else 10 s. */
  readonly deadAfter: Duration;
  /** This and the next two are those of [Interface] unless the peer has its own. */
  readonly mtu: 'auto' | TunMtu;
  readonly dscp: 'copy' | 'clear' | number;
  readonly rekeyAfter: Duration | 'off';
  readonly expirePolicy: 'warn' | 'enforce';
  /** Bits per second in each direction; undefined: no limit. */
  readonly rateLimit: number | undefined;
  /** Accept a peer without extended_master_secret (RFC 7627). */
  readonly allowLegacyPeer: boolean;
  /** False: keep no session, claim no prefix. */
  readonly enabled: boolean;
}
