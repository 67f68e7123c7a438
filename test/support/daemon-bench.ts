import { Duplex } from 'node:stream';
import type { Instant } from '../../src/base/brand.ts';
import { err } from '../../src/base/result.ts';
import { loadSettings } from '../../src/config/load.ts';
import { createSelfSigned, readIdentity } from '../../src/crypto/certificate.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import type { Alarm, MakeAlarm } from '../../src/daemon/driver.ts';
import { type Channel, FrameChannel } from '../../src/daemon/upgrade/frame-channel.ts';
import type { DaemonParts } from '../../src/daemon/parts.ts';
import { takeOver } from '../../src/daemon/upgrade/takeover.ts';
import { type Endpoint, endpointKey } from '../../src/net/endpoint.ts';
import type { PlaneOptions } from '../../src/plane/plane.ts';
import { Tunnel } from '../../src/tunnel/tunnel.ts';
import { FakeIp, FakeSysctl } from './fake-ip.ts';
import { MemoryPlane } from './memory-plane.ts';
import { VirtualClock } from './virtual-clock.ts';
import { address } from './world.ts';

/** Wall clock at the bench's first instant, epoch ms. */
const EPOCH = Date.UTC(2026, 10, 22, 20, 0, 0);

/** Delay of the wire between two daemons, ms. */
const WIRE_DELAY = 5;

/** An identity for tests, made once per name; it ends so many days after the bench's first instant. */
export async function testIdentity(name: string, days = 3650): Promise<Identity> {
  const made = await createSelfSigned({ commonName: name, days, keyType: 'p256', now: EPOCH / 1000 });
  const identity = readIdentity(made.certificatePem, made.privateKeyPem);
  if (!identity.ok) throw new Error(identity.error.detail);
  return identity.value;
}

/** Berlin's file: it listens and calls nobody. */
export function berlinFile(paris: Identity): string {
  return `[Interface]
Address = 172.31.0.1/30
ListenPort = 4433
Certificate = b.crt
PrivateKey = b.key
Metrics = off
Forwarding = off
[Peer]
Name = paris
Fingerprint = ${paris.fingerprint}
AllowedIPs = 172.31.0.2/32, 10.2.0.0/16
`;
}

/** Paris' file: it calls Berlin at 192.0.2.1. `more` goes into [Interface], `peer` into [Peer]. */
export function parisFile(berlin: Identity, more = '', peer = ''): string {
  return `[Interface]
Address = 172.31.0.2/30
Certificate = p.crt
PrivateKey = p.key
Metrics = off
Forwarding = off
${more}
[Peer]
Name = berlin
Fingerprint = ${berlin.fingerprint}
Endpoint = 192.0.2.1:4433
AllowedIPs = 172.31.0.1/32, 10.1.0.0/16
${peer}
`;
}

/** A daemon on the bench with everything it touched. */
export interface Bench {
  readonly daemon: Daemon;
  readonly ip: FakeIp;
  readonly sysctl: FakeSysctl;
  /** Log lines as they left. */
  readonly log: string[];
  /** `[+]` and `[-]` lines. */
  readonly changes: string[];
  /** What the service manager was told. */
  readonly notified: string[];
  readonly opened: PlaneOptions[];
  readonly plane: () => MemoryPlane;
  /** The daemon that took over, when one has. */
  readonly heir: () => Daemon | undefined;
  /** Processes that were started afresh. */
  readonly restarts: () => number;
}

/** How a daemon is put on the bench. */
export interface BenchOptions {
  readonly name: string;
  /** Outer address. */
  readonly at: string;
  readonly identity: Identity;
  readonly config: string;
  readonly runtimeDir: string;
  readonly ip?: FakeIp;
  readonly sysctl?: FakeSysctl;
  readonly environment?: Readonly<Record<string, string>>;
  readonly openPlane?: DaemonParts['openPlane'];
  /** Told what its plane was opened with, long before it is started. */
  readonly onOpened?: (plane: PlaneOptions) => void;
  /** Instead of a daemon of this release: what the process that is to take over does with its channel. */
  readonly successor?: (channel: Channel, end: (status: number | undefined) => void) => void;
}

/**
 * Whole daemons on virtual time: real tunnel and engine, data planes in memory joined by a wire, a host that only
 * remembers. Only the control socket and what waits for it are real.
 */
export class DaemonWorld {
  readonly clock = new VirtualClock();
  readonly #alarms = new Set<{ at: Instant | undefined; readonly ring: () => void }>();
  readonly #wire: { readonly at: number; readonly deliver: () => void }[] = [];
  readonly #planes = new Map<string, { readonly local: Endpoint; plane: MemoryPlane | undefined }>();
  /** Texts of configuration files by path; changed between a daemon's start and its reload. */
  readonly files = new Map<string, string>();
  /** While set, datagrams vanish. */
  cut = false;

  /** Starts a daemon; throws what it throws. */
  async start(options: BenchOptions): Promise<Bench> {
    const file = `/etc/dtunnel/${options.name}.conf`;
    this.files.set(file, options.config);
    const ip = options.ip ?? new FakeIp();
    const sysctl = options.sysctl ?? new FakeSysctl();
    const log: string[] = [];
    const changes: string[] = [];
    const notified: string[] = [];
    const opened: PlaneOptions[] = [];
    const place = { local: { address: address(options.at), port: 4433 }, plane: undefined as MemoryPlane | undefined };
    const openPlane = (planeOptions: PlaneOptions): MemoryPlane => {
      opened.push(planeOptions);
      options.onOpened?.(planeOptions);
      const plane = new MemoryPlane({
        clock: () => this.clock.now,
        local: place.local,
        transmit: (path, datagram) => this.#transmit(place.local, path.remote, datagram),
        deliver: () => undefined,
        onEvent: planeOptions.onEvent,
        // In a real process they have other numbers, but are the same.
        ...(planeOptions.adopt === undefined || place.plane === undefined
          ? {}
          : { adopt: { ...planeOptions.adopt, descriptors: place.plane.descriptors() } }),
      });
      place.plane = plane;
      return plane;
    };
    this.#planes.set(endpointKey(place.local), place);
    const parts: DaemonParts = {
      load: (path) =>
        loadSettings(
          path,
          {
            read: (name) => {
              const text = this.files.get(name);
              return text === undefined ? err('no such file') : { ok: true, value: new TextEncoder().encode(text) };
            },
            list: () => err('nothing is included here'),
          },
          () => undefined,
        ),
      readIdentity: () => options.identity,
      readToken: (token) => token,
      openPlane: options.openPlane ?? openPlane,
      makeTunnel: (tunnelOptions) => new Tunnel(tunnelOptions),
      crypto: systemRandom,
      ip,
      sysctl,
      resolve: async () => ({ kind: 'failed', reason: 'nxdomain' }),
      makeAlarm: this.#makeAlarm,
      clock: () => this.clock.now,
      wallClock: () => EPOCH + this.clock.now,
      notify: (_socket, state) => notified.push(state),
      environment: options.environment ?? {},
      watchNetwork: () => () => undefined,
      tunOverflows: () => 0,
      localAddresses: () => [address(options.at)],
      portHolder: () => ({ pid: 733, name: 'openvpn' }),
      lanes: 1,
      controlGid: undefined,
      runtimeDir: options.runtimeDir,
      preload: () => undefined,
      closeDescriptor: () => undefined,
      successors: {
        spawn: () => {
          const [ours, theirs] = socketPair();
          let end: (status: number | undefined) => void = () => undefined;
          const ended = new Promise<number | undefined>((resolve) => {
            end = (status) => {
              theirs.destroy();
              resolve(status);
            };
          });
          const channel = new FrameChannel(theirs);
          if (options.successor !== undefined) options.successor(channel, end);
          else {
            void takeOver(channel, file, '0.1.1', parts)
              .then((takeover) => Daemon.start({ ...common, pid: 43, takeover }))
              .then((daemon) => (heir = daemon))
              .catch(() => end(78));
          }
          return {
            pid: 43,
            channel: new FrameChannel(ours),
            ended,
            kill: () => end(undefined),
            release: () => undefined,
          };
        },
        restart: () => {
          restarts += 1;
          return 44;
        },
        terminate: () => void heir?.stop(),
      },
    };
    let heir: Daemon | undefined;
    let restarts = 0;
    const common = {
      configFile: file,
      parts,
      build: { version: '0.1.0', commit: 'test' },
      log: { write: (line: string) => void log.push(line), format: () => 'json' as const, colour: false },
      onChange: (text: string, done: 'made' | 'undone') =>
        void changes.push(`[${done === 'made' ? '+' : '-'}] ${text}`),
    };
    const daemon = await Daemon.start({ ...common, pid: 42 });
    const plane = (): MemoryPlane => {
      if (place.plane === undefined) throw new Error('no plane was opened');
      return place.plane;
    };
    return { daemon, ip, sysctl, log, changes, notified, opened, plane, heir: () => heir, restarts: () => restarts };
  }

  /** Lets `milliseconds` pass: datagrams arrive and alarms ring in order. */
  run(milliseconds: number): void {
    const end = this.clock.now + milliseconds;
    for (;;) {
      const alarms = [...this.#alarms].flatMap((alarm) => (alarm.at === undefined ? [] : [alarm.at]));
      const next = Math.min(end, ...alarms, ...this.#wire.map(({ at }) => at));
      this.clock.advanceTo(next as Instant);
      const arrived = this.#wire.filter(({ at }) => at <= next);
      if (arrived.length === 0 && !alarms.some((at) => at <= next)) return;
      for (const datagram of arrived) {
        this.#wire.splice(this.#wire.indexOf(datagram), 1);
        datagram.deliver();
      }
      for (const alarm of [...this.#alarms]) {
        if (alarm.at === undefined || alarm.at > next) continue;
        alarm.at = undefined;
        alarm.ring();
      }
    }
  }

  readonly #makeAlarm: MakeAlarm = (ring): Alarm => {
    const alarm: { at: Instant | undefined; readonly ring: () => void } = { at: undefined, ring };
    this.#alarms.add(alarm);
    return {
      set: (at) => {
        alarm.at = at;
      },
    };
  };

  #transmit(from: Endpoint, to: Endpoint, datagram: Uint8Array): void {
    if (this.cut) return;
    const copy = datagram.slice();
    const deliver = (): void => {
      this.#planes.get(endpointKey(to))?.plane?.receive({ remote: from, local: to.address }, copy);
    };
    this.#wire.push({ at: this.clock.now + WIRE_DELAY, deliver });
  }
}

/** Two ends of one stream. As in a kernel, what was written may be overwritten at once. */
function socketPair(): readonly [Duplex, Duplex] {
  const end = (other: () => Duplex): Duplex =>
    new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        other().push(Buffer.from(chunk));
        done();
      },
      destroy: (error, done) => {
        if (!other().destroyed) other().push(null);
        done(error);
      },
    });
  const one: Duplex = end(() => two);
  const two: Duplex = end(() => one);
  return [one, two];
}

/** Lets promises and setImmediate callbacks that are due run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
