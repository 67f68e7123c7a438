import { createRequire } from 'node:module';
import { DtunnelError } from '../base/errors.ts';

/**
 * The native addon's surface, exactly as C++ exports it: positional arguments, addresses as 4 or 16 octets. Only the
 * files of this folder use it. Misuse throws TypeError; the kernel's refusals throw a `SystemError`.
 */
export interface Addon {
  readonly notify: (socket: string, state: string) => void;
  readonly forbidDumps: () => void;
  readonly runProgram: (
    file: string,
    args: readonly string[],
    environment: readonly string[],
    input: string,
    timeoutMs: number,
  ) => Promise<{
    readonly status: number;
    readonly late: boolean;
    readonly stdout: string;
    readonly stderr: string;
  }>;
  readonly icmpEcho: (
    address: Uint8Array,
    count: number,
    intervalMs: number,
    timeoutMs: number,
    payloadBytes: number,
    dontFragment: boolean,
  ) => Promise<{ readonly sent: number; readonly rttMs: readonly number[]; readonly errno: number }>;
  /** Opens everything or throws; `onWake` is called on the event loop when `takeEvents` has something. */
  readonly Plane: new (
    options: AddonPlaneOptions,
    onWake: () => void,
    descriptors?: readonly number[],
    state?: Uint8Array,
  ) => AddonPlane;
}

/** One data plane. Methods throw once it is closed, but for `takeEvents`, `dropOldSockets` and `close`. */
export interface AddonPlane {
  deviceName(): string;
  listening(): { readonly address: Uint8Array; readonly port: number }[];
  features(): { readonly offloads: number; readonly aead: string; readonly realtime: boolean };
  install(session: AddonSession): void;
  activate(peer: number, slot: number | undefined): void;
  move(slot: number, remoteAddress: Uint8Array, remotePort: number, localAddress: Uint8Array | undefined): void;
  setPathMtu(slot: number, octets: number): void;
  retire(slot: number): void;
  setRoutes(routes: readonly AddonRoute[]): void;
  setPeer(peer: number, options: AddonPeerOptions): void;
  removePeer(peer: number): void;
  sendDatagram(
    remoteAddress: Uint8Array,
    remotePort: number,
    localAddress: Uint8Array | undefined,
    datagram: Uint8Array,
  ): void;
  sealAndSend(
    slot: number,
    contentType: number,
    fragment: Uint8Array,
    remoteAddress?: Uint8Array,
    remotePort?: number,
    localAddress?: Uint8Array,
  ): boolean;
  inject(peer: number, packet: Uint8Array): void;
  rebind(listen: readonly AddonListen[]): void;
  /** False: one of them holds datagrams yet, and it is to be called again when they have been read. */
  dropOldSockets(): boolean;
  /** Whether there are sockets for `dropOldSockets` to drop. */
  overlapping(): boolean;
  descriptors(): number[];
  /** The data threads stop between two batches; `takeEvents` until none are left delivers what they had read. */
  pause(): void;
  /** The state of a paused plane, which from then on only tells and thaws. */
  freeze(): Uint8Array;
  thaw(): void;
  setMark(mark: number | undefined): void;
  takeEvents(limit: number): AddonEvents;
  /** Writes the words of a session; false: there is none. */
  session(slot: number, words: BigUint64Array): boolean;
  /** Slots of the sessions whose numbers of records have changed since they were asked for last. */
  changedSessions(part: number, parts: number): Uint32Array;
  stats(): AddonStats;
  close(): void;
}

/** Address of 4 or 16 octets; none: the wildcards of both families. */
export interface AddonListen {
  readonly address: Uint8Array | undefined;
  readonly port: number;
}

/** `disabled` is a set of bits in the order of `OFFLOADS` in stats.ts. */
export interface AddonPlaneOptions {
  readonly name: string;
  readonly mtu: number;
  readonly listen: readonly AddonListen[];
  readonly lanes: number;
  readonly openssl: boolean;
  readonly mark: number | undefined;
  readonly disabled: number;
  readonly realtime: boolean;
}

/** `aead` is an index into `AEADS` in native-plane.ts. */
export interface AddonKeys {
  readonly aead: number;
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** Keys and path of a session. */
export interface AddonSession {
  readonly slot: number;
  readonly peer: number;
  readonly epoch: number;
  readonly read: AddonKeys;
  readonly write: AddonKeys;
  readonly nextWrite: number;
  readonly accepted: readonly number[];
  readonly ourConnectionId: Uint8Array;
  readonly peerConnectionId: Uint8Array;
  readonly remoteAddress: Uint8Array;
  readonly remotePort: number;
  readonly localAddress: Uint8Array | undefined;
  readonly pathMtu: number;
  readonly packs: boolean;
}

/** One prefix. */
export interface AddonRoute {
  readonly address: Uint8Array;
  readonly length: number;
  readonly outbound: number | undefined;
  readonly inbound: readonly number[];
}

/** `dscp` undefined: a copy of the inner one. */
export interface AddonPeerOptions {
  readonly dscp: number | undefined;
  readonly ecn: boolean;
  readonly rateLimit: number | undefined;
  readonly clampMss: boolean;
}

/** Events as flat rows, since thousands a second come: `events.ts` knows the order. `octets`: those of one after the other. */
export interface AddonEvents {
  readonly numbers: Float64Array;
  readonly octets: Uint8Array;
}

/** Counters as flat rows of words; stats.ts knows their order. */
export interface AddonStats {
  readonly at: number;
  readonly global: BigUint64Array;
  readonly peerIds: Uint32Array;
  readonly peers: BigUint64Array;
  readonly sessionSlots: Uint32Array;
  readonly sessions: BigUint64Array;
  readonly threads: { readonly name: string; readonly userSeconds: number; readonly systemSeconds: number }[];
  readonly sessionOctets: number;
  readonly bufferOctets: number;
}

/** An Error from a system call: `code` is errno's name, `syscall` the call or socket option. */
export interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
}

/** Whether `thrown` came from a system call. */
export function isSystemError(thrown: unknown): thrown is SystemError {
  return (
    thrown instanceof Error &&
    'code' in thrown &&
    typeof thrown.code === 'string' &&
    'syscall' in thrown &&
    typeof thrown.syscall === 'string'
  );
}

let loaded: Addon | undefined;

/** The addon, loaded on first use; throws DT_NATIVE_MISSING naming every place that was tried. */
export function loadAddon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const place of PLACES) {
    try {
      return require(place) as Addon;
    } catch (error) {
      failures.push(`${place}: ${error instanceof Error ? error.message.split('\n', 1)[0] : String(error)}`);
    }
  }
  throw new DtunnelError('S020', `cannot load the native addon (${failures.join('; ')})`);
}

/** Relative to this file, which lies equally deep in src and in dist: built here, or come with a release. */
const PLACES = [
  '../../native/build/Release/dtunnel.node',
  '../../native/build/Debug/dtunnel.node',
  `../../native/prebuilt/linux-${process.arch}/dtunnel.node`,
];
