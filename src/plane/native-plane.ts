import type { Duration, PathMtu, PeerId, SessionSlot } from '../base/brand.ts';
import { DtunnelError, type ErrorCode } from '../base/errors.ts';
import type { AeadName, RecordKeys } from '../crypto/aead.ts';
import { type Address, addressBytes } from '../net/address.ts';
import { type Endpoint, endpointKey, type Path } from '../net/endpoint.ts';
import {
  type AddonKeys,
  type AddonListen,
  type AddonPlane,
  isSystemError,
  loadAddon,
  type SystemError,
} from './binding.ts';
import { eachEvent, toAddress } from './events.ts';
import type {
  ListenSpec,
  PeerOptions,
  Plane,
  PlaneEvent,
  PlaneFeatures,
  PlaneOptions,
  PlaneStats,
  Route,
  SessionKeys,
  SessionStats,
} from './plane.ts';
import { decodeSession, decodeStats, OFFLOADS, SESSION_WORDS } from './stats.ts';

/** AEADs in the addon's order (`AeadAlgorithm` in native/crypto/aead.h). */
const AEADS = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'] as const satisfies readonly AeadName[];

/** Events handed over in one turn of the event loop, so that a flood does not starve timers and sockets. */
const EVENTS_PER_TURN = 512;

/**
 * How long old sockets of a rebind are read after a handover, or after one that did not happen: the overlap begins anew,
 * since it may be longer than asked but not shorter.
 */
const ADOPTED_OVERLAP = 30_000 as Duration;
/** How soon old sockets that held something are looked at again: the data threads read a full one within this. */
const DRAIN_INTERVAL = 10 as Duration;

/** Opens the native data plane: device, sockets, threads. Throws DtunnelError and then leaves nothing behind. */
export function openNativePlane(options: PlaneOptions): Plane {
  return new NativePlane(options);
}

class NativePlane implements Plane {
  readonly deviceName: string;
  readonly features: PlaneFeatures;
  readonly #addon: AddonPlane;
  readonly #onEvent: (event: PlaneEvent) => void;
  #listening: readonly Endpoint[];
  #closed = false;
  #overlap: NodeJS.Timeout | undefined;
  /** Where the addon writes what it is asked of a session. */
  readonly #words = new BigUint64Array(SESSION_WORDS);

  constructor(options: PlaneOptions) {
    const { Plane: AddonPlaneClass } = loadAddon();
    this.#onEvent = options.onEvent;
    try {
      this.#addon = new AddonPlaneClass(
        {
          name: options.device.name,
          mtu: options.device.mtu,
          listen: options.listen.map(toAddonListen),
          lanes: options.lanes,
          openssl: options.crypto === 'openssl',
          mark: options.fwMark,
          disabled: options.disable.reduce((set, offload) => set | (1 << OFFLOADS.indexOf(offload)), 0),
          realtime: options.realtime,
        },
        () => this.#wake(),
        options.adopt?.descriptors,
        options.adopt?.state,
      );
    } catch (error) {
      if (!isSystemError(error)) throw error;
      throw options.adopt === undefined ? openError(error, options) : adoptError(error, options);
    }
    this.deviceName = this.#addon.deviceName();
    this.#listening = this.#readListening();
    const features = this.#addon.features();
    this.features = { ...features, offloads: OFFLOADS.filter((_, i) => (features.offloads & (1 << i)) !== 0) };
  }

  get listening(): readonly Endpoint[] {
    return this.#listening;
  }

  install(session: SessionKeys): void {
    this.#addon.install({
      slot: session.slot,
      peer: session.peer,
      epoch: session.epoch,
      read: toAddonKeys(session.read),
      write: toAddonKeys(session.write),
      nextWrite: session.nextWrite,
      accepted: session.accepted,
      ourConnectionId: session.ourConnectionId,
      peerConnectionId: session.peerConnectionId,
      remoteAddress: addressBytes(session.path.remote.address),
      remotePort: session.path.remote.port,
      localAddress: toOctets(session.path.local),
      pathMtu: session.pathMtu,
      packs: session.packs,
    });
  }

  activate(peer: PeerId, slot: SessionSlot | undefined): void {
    this.#addon.activate(peer, slot);
  }

  move(slot: SessionSlot, path: Path): void {
    this.#addon.move(slot, addressBytes(path.remote.address), path.remote.port, toOctets(path.local));
  }

  setPathMtu(slot: SessionSlot, mtu: PathMtu): void {
    this.#addon.setPathMtu(slot, mtu);
  }

  retire(slot: SessionSlot): void {
    this.#addon.retire(slot);
  }

  setRoutes(routes: readonly Route[]): void {
    this.#addon.setRoutes(
      routes.map((route) => ({
        address: addressBytes(route.prefix.address),
        length: route.prefix.length,
        outbound: route.outbound,
        inbound: route.inbound,
      })),
    );
  }

  setPeer(peer: PeerId, options: PeerOptions): void {
    this.#addon.setPeer(peer, {
      dscp: options.dscp === 'copy' ? undefined : options.dscp === 'clear' ? 0 : options.dscp,
      ecn: options.ecn,
      rateLimit: options.rateLimit,
      clampMss: options.clampMss,
    });
  }

  removePeer(peer: PeerId): void {
    this.#addon.removePeer(peer);
  }

  sendDatagram(path: Path, datagram: Uint8Array): void {
    this.#addon.sendDatagram(addressBytes(path.remote.address), path.remote.port, toOctets(path.local), datagram);
  }

  sealAndSend(slot: SessionSlot, contentType: number, fragment: Uint8Array, path?: Path): boolean {
    if (path === undefined) return this.#addon.sealAndSend(slot, contentType, fragment);
    const { remote, local } = path;
    const address = addressBytes(remote.address);
    return this.#addon.sealAndSend(slot, contentType, fragment, address, remote.port, toOctets(local));
  }

  inject(peer: PeerId, packet: Uint8Array): void {
    this.#addon.inject(peer, packet);
  }

  rebind(listen: readonly ListenSpec[], overlap: Duration): void {
    try {
      this.#addon.rebind(listen.map(toAddonListen));
    } catch (error) {
      throw isSystemError(error) ? bindError(error, listen) : error;
    }
    this.#listening = this.#readListening();
    this.#dropOldIn(overlap);
  }

  descriptors(): readonly number[] {
    return this.#addon.descriptors();
  }

  freeze(): Uint8Array {
    this.#pause();
    try {
      while (this.#deliver() > 0);
      clearTimeout(this.#overlap);
      return this.#addon.freeze();
    } catch (error) {
      this.thaw();
      throw error;
    }
  }

  thaw(): void {
    if (this.#closed) return;
    this.#addon.thaw();
    if (this.#addon.overlapping()) this.#dropOldIn(ADOPTED_OVERLAP);
  }

  setMark(mark: number | undefined): void {
    try {
      this.#addon.setMark(mark);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      const what = mark === undefined ? 'unmark' : `mark with 0x${mark.toString(16)}`;
      throw new DtunnelError('N006', `cannot ${what} our datagrams: ${error.syscall} failed (${error.code})`, {
        cause: error,
      });
    }
  }

  session(slot: SessionSlot): SessionStats | undefined {
    return this.#addon.session(slot, this.#words) ? decodeSession(this.#words) : undefined;
  }

  changedSessions(part: number, parts: number): Iterable<SessionSlot> {
    return this.#addon.changedSessions(part, parts) as Iterable<number> as Iterable<SessionSlot>;
  }

  stats(): PlaneStats {
    return decodeStats(this.#addon.stats());
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#overlap);
    this.#addon.close();
  }

  #readListening(): readonly Endpoint[] {
    return this.#addon.listening().map(({ address, port }) => ({ address: toAddress(address), port }));
  }

  #wake(): void {
    this.#deliver();
  }

  /** How many events there were. */
  #deliver(): number {
    const given = eachEvent(this.#addon.takeEvents(EVENTS_PER_TURN), (event) => {
      if (!this.#closed) this.#onEvent(event);
      return !this.#closed;
    });
    return this.#closed ? 0 : given;
  }

  /** Apart from what `freeze` undoes: a plane that is frozen already must stay so. */
  #pause(): void {
    try {
      this.#addon.pause();
    } catch (error) {
      throw isSystemError(error) ? freezeError(error) : error;
    }
  }

  #dropOldIn(overlap: Duration): void {
    clearTimeout(this.#overlap);
    this.#overlap = setTimeout(() => {
      if (!this.#addon.dropOldSockets()) this.#dropOldIn(DRAIN_INTERVAL);
    }, overlap);
    this.#overlap.unref();
  }
}

function toOctets(address: Address | undefined): Uint8Array | undefined {
  return address === undefined ? undefined : addressBytes(address);
}

function toAddonListen(spec: ListenSpec): AddonListen {
  return { address: toOctets(spec.address), port: spec.port };
}

function toAddonKeys(keys: RecordKeys): AddonKeys {
  return { aead: AEADS.indexOf(keys.aead), key: keys.key, iv: keys.iv };
}

/** The operator's view of a failed start. The failed call tells device from socket. */
function openError(error: SystemError, options: PlaneOptions): DtunnelError {
  const device = `TUN device ${options.device.name}`;
  const fail = (code: ErrorCode, message: string): DtunnelError => new DtunnelError(code, message, { cause: error });
  switch (error.syscall) {
    case 'open':
      return DENIED.has(error.code)
        ? fail('S010', `no permission to create ${device} (${error.code} on /dev/net/tun)`)
        : fail('S011', `cannot create ${device}: /dev/net/tun is not there (${error.code})`);
    case 'TUNSETIFF':
      if (DENIED.has(error.code)) return fail('S010', `no permission to create ${device} (${error.code})`);
      return error.code === 'EBUSY' || error.code === 'EINVAL'
        ? fail('S012', `${device} is in use by another process, or a device of another kind has its name`)
        : fail('S011', `cannot create ${device} (${error.code})`);
    case 'TUNSETVNETHDRSZ':
    case 'TUNSETOFFLOAD':
      return fail('S011', `this kernel's TUN driver lacks ${error.syscall} (${error.code})`);
    case 'SIOCSIFMTU':
    case 'SIOCSIFTXQLEN':
      return fail('S010', `cannot set up ${device}: ${error.syscall} was refused (${error.code})`);
    case 'pthread_create':
    case 'eventfd':
    case 'AEAD self-test':
      return fail('S001', `cannot start the data plane: ${error.syscall} failed (${error.code})`);
    default:
      return bindError(error, options.listen);
  }
}

/** The plane goes on. */
function freezeError(error: SystemError): DtunnelError {
  return new DtunnelError('S040', `the data plane could not be stopped (${error.syscall}: ${error.code})`, {
    cause: error,
  });
}

/** The operator's view of a handover that failed before anything was taken over. */
function adoptError(error: SystemError, options: PlaneOptions): DtunnelError {
  switch (error.syscall) {
    case 'handover state':
      return new DtunnelError(
        'S040',
        error.code === 'EPROTONOSUPPORT'
          ? 'the running data plane is of a version whose state this one cannot read'
          : 'the state of the running data plane is damaged',
        { cause: error },
      );
    case 'pthread_create':
    case 'eventfd':
    case 'AEAD self-test':
      return openError(error, options);
    default:
      return new DtunnelError(
        'S040',
        `an inherited descriptor is not what the running data plane said (${error.syscall}: ${error.code})`,
        { cause: error },
      );
  }
}

function bindError(error: SystemError, listen: readonly ListenSpec[]): DtunnelError {
  const where = listen.map(listenText).join(', ');
  if (error.code === 'EADDRINUSE') {
    return new DtunnelError('N001', `another program listens on UDP ${where}`, { cause: error });
  }
  return new DtunnelError('N002', `cannot listen on UDP ${where}: ${error.syscall} failed (${error.code})`, {
    cause: error,
  });
}

function listenText(spec: ListenSpec): string {
  return spec.address === undefined ? `port ${spec.port}` : endpointKey({ address: spec.address, port: spec.port });
}

const DENIED: ReadonlySet<string> = new Set(['EPERM', 'EACCES']);
