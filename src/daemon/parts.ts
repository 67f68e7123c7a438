import type { Clock } from '../base/clock.ts';
import type { Result } from '../base/result.ts';
import type { Diagnostics } from '../config/diagnostic.ts';
import type { Loaded } from '../config/load.ts';
import type { InterfaceSettings } from '../config/settings.ts';
import type { Identity } from '../crypto/identity.ts';
import type { CryptoSource } from '../dtls/options.ts';
import type { Address } from '../net/address.ts';
import type { Plane, PlaneOptions } from '../plane/plane.ts';
import type { Resolution, TunnelFace, TunnelOptions } from '../tunnel/face.ts';
import type { MakeAlarm } from './driver.ts';
import type { Ip } from './host/ip.ts';
import type { SendNotification } from './notify.ts';
import type { PortHolder } from './port-holder.ts';
import type { Successors } from './upgrade/successor.ts';
import type { Sysctl } from './host/sysctl.ts';

/** The world a daemon lives in: the real one (`system-parts.ts`), or one made by a test. */
export interface DaemonParts {
  /** The settings in a file, or everything that is wrong with them. */
  readonly load: (path: string) => Result<Loaded, Diagnostics>;
  /** The identity that settings name; throws DtunnelError K…. */
  readonly readIdentity: (settings: InterfaceSettings) => Identity;
  /** The metrics token itself, when the setting only names where it is; throws DtunnelError K…. */
  readonly readToken: (token: string) => string;
  readonly openPlane: (options: PlaneOptions) => Plane;
  /** Loads what `openPlane` needs, so that it does not take long; throws DtunnelError. */
  readonly preload: () => void;
  readonly makeTunnel: (options: TunnelOptions) => TunnelFace;
  readonly crypto: CryptoSource;
  readonly ip: Ip;
  readonly sysctl: Sysctl;
  readonly resolve: (host: string) => Promise<Resolution>;
  readonly makeAlarm: MakeAlarm;
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly wallClock: () => number;
  readonly notify: SendNotification;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Tells of changes of the host's network; yields the end of watching. */
  readonly watchNetwork: (device: string, onChange: () => void) => () => void;
  /** Packets the kernel could not queue on a device; undefined when it does not say. */
  readonly tunOverflows: (device: string) => number | undefined;
  /** The addresses of this host now, of all interfaces that are up. */
  readonly localAddresses: () => readonly Address[];
  /** Who holds a UDP port, if that can be seen. */
  readonly portHolder: (port: number) => PortHolder | undefined;
  /** Lanes for `Lanes = auto`. */
  readonly lanes: number;
  /** Group that may use the control socket; undefined: only the process's own. */
  readonly controlGid: number | undefined;
  readonly runtimeDir: string;
  /** Closes an inherited descriptor that nothing uses. */
  readonly closeDescriptor: (descriptor: number) => void;
  /** Processes that take over from this one. */
  readonly successors: Successors;
}

/** What is running: shown by status, metrics and `dtunnel version`. */
export interface BuildInfo {
  readonly version: string;
  readonly commit: string;
}
