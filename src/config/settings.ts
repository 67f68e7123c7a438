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
  /** Tunnel name: file base name unless set. The device is `dt-NAME` cut to 15 characters, unless `Device`-like. */
  readonly name: string;
  readonly addresses: readonly InterfaceAddress[];
  /** PEM path, or `credential:NAME` (systemd credentials), already resolved to a path by the loader when read. */
  readonly certificate: string;
  readonly privateKey: string;
  /** 0: the kernel chooses (every peer has an Endpoint). */
  readonly listenPort: number;
  readonly listenAddresses: readonly Address[];
  /** `auto`, or a ceiling. */
  readonly mtu: 'auto' | TunMtu;
  /** `auto`: the main table; `off`: no routes; a number: that table. */
  readonly table: 'auto' | 'off' | number;
  readonly routeMetric: number | undefined;
  readonly forwarding: 'check' | 'set' | 'off';
  readonly failClosed: boolean;
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
  readonly metricsToken: string | undefined;
  readonly metricsDetail: 'full' | 'summary';
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly logFormat: 'auto' | 'pretty' | 'json';
  readonly lanes: number | 'auto';
  /** Offloads switched off by hand: names of `Offload` in plane/plane.ts. */
  readonly disableOffloads: readonly string[];
  readonly realtime: boolean;
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
  readonly deadAfter: Duration;
  readonly mtu: 'auto' | TunMtu;
  readonly dscp: 'copy' | 'clear' | number;
  readonly rekeyAfter: Duration | 'off';
  readonly expirePolicy: 'warn' | 'enforce';
  /** Bits per second. */
  readonly rateLimit: number | undefined;
  /** Accept a peer without extended_master_secret (RFC 7627). */
  readonly allowLegacyPeer: boolean;
  readonly enabled: boolean;
}
