import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { monotonicClock } from '../../src/base/clock.ts';
import { type Fingerprint, ms } from '../../src/base/brand.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { Connection } from '../../src/dtls/connection.ts';
import type { CloseReason, Effect, Established } from '../../src/dtls/effects.ts';
import { Listener } from '../../src/dtls/listener.ts';
import type { ConnectionOptions, GroupName, SuiteName } from '../../src/dtls/options.ts';

/** What the engine is told to do, in the words of the foreign peers' command line. */
export interface EngineTask {
  readonly identity: Identity;
  /** The one certificate that the far end must present. */
  readonly pin: Fingerprint;
  readonly suite: SuiteName;
  /** In order of preference. */
  readonly groups: readonly GroupName[];
  readonly mtu: number;
  /** The id that records to us shall carry; undefined: the extension is not offered. */
  readonly cid?: Uint8Array | undefined;
  readonly protocol?: string;
  readonly allowLegacyPeer?: boolean;
  readonly timerMs: number;
  readonly timeoutMs: number;
}

/** What became of one association. */
export interface EngineReport {
  /** Undefined when the handshake did not complete. */
  readonly session: Established | undefined;
  readonly closed: CloseReason | undefined;
  /** Messages that came back to a client, or that a server sent back. */
  readonly echoed: number;
  /** Content types of the protected records that came, in order of first appearance. */
  readonly received: readonly number[];
}

/** The engine as a server on the loopback: one association, echoing whatever comes, until `stop` or the far end's close. */
export interface EngineServer {
  readonly port: number;
  readonly report: Promise<EngineReport>;
  stop(): void;
}

/** Listens on a port of the kernel's choice and echoes. */
export async function serve(task: EngineTask): Promise<EngineServer> {
  const socket = await Port.open();
  const listener = new Listener();
  let driver: Driver | undefined;
  let stopServer: () => void = ignore;
  const report = new Promise<EngineReport>((resolve) => {
    const timer = setTimeout(() => stop(), task.timeoutMs);
    const stop = (): void => {
      if (stopServer === ignore) return;
      stopServer = ignore;
      clearTimeout(timer);
      driver?.close();
      socket.close();
      resolve(driver?.report ?? { session: undefined, closed: undefined, echoed: 0, received: [] });
    };
    stopServer = stop;
    socket.onDatagram((datagram, from) => {
      const name = Buffer.from(`${from.address}:${from.port}`);
      const verdict = driver === undefined ? listener.receive(name, datagram, monotonicClock()) : undefined;
      if (verdict?.kind === 'challenge') socket.send(verdict.reply, from.port);
      if (verdict?.kind === 'accept') {
        const connection = new Connection({ ...optionsOf(task), role: 'server' }, verdict.hello);
        driver = new Driver(connection, (bytes) => socket.send(bytes, from.port));
        driver.onData = (payload) => {
          if (connection.send(payload)) driver?.countEcho();
        };
        driver.onClosed = stop;
        driver.start();
      } else if (verdict === undefined) driver?.receive(datagram);
    });
  });
  return { port: socket.number, report, stop: () => stopServer() };
}

/** Calls 127.0.0.1 and sends messages of these sizes, each again until its echo came; then says goodbye. */
export async function call(port: number, task: EngineTask, sizes: readonly number[]): Promise<EngineReport> {
  const socket = await Port.open();
  const connection = new Connection({ ...optionsOf(task), role: 'client' });
  const driver = new Driver(connection, (bytes) => socket.send(bytes, port));
  return await new Promise((resolve) => {
    let number = 0;
    let resend: NodeJS.Timeout | undefined;
    const limit = setTimeout(() => driver.close('timeout'), task.timeoutMs);
    driver.onClosed = () => {
      clearTimeout(limit);
      clearTimeout(resend);
      socket.close();
      resolve(driver.report);
    };
    const sendNext = (): void => {
      clearTimeout(resend);
      const size = sizes[number];
      if (size === undefined) {
        driver.close();
        return;
      }
      connection.send(message(number, size));
      driver.drain();
      resend = setTimeout(sendNext, task.timerMs);
    };
    driver.onEstablished = sendNext;
    driver.onData = (payload) => {
      if (!message(number, sizes[number] ?? 0).equals(payload)) return; // The echo of an earlier copy.
      driver.countEcho();
      number++;
      sendNext();
    };
    socket.onDatagram((datagram) => driver.receive(datagram));
    driver.start();
  });
}

/** Octets that all depend on number and place, so that a mixed-up echo is seen. */
function message(number: number, size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, at) => (number * 31 + at * 7) & 255));
}

function optionsOf(task: EngineTask): Omit<ConnectionOptions, 'role'> {
  return {
    identity: task.identity,
    authorize: (peer) => (peer === task.pin ? { allowLegacyPeer: task.allowLegacyPeer ?? false } : undefined),
    expected: task.pin,
    maxDatagram: task.mtu,
    suites: [task.suite],
    groups: task.groups,
    protocols: task.protocol === undefined ? [] : [task.protocol],
    ...(task.cid === undefined ? {} : { connectionId: task.cid }),
    initialTimeout: ms(task.timerMs),
    maxTimeout: ms(4000),
    handshakeTimeout: ms(task.timeoutMs),
  };
}

/** Performs the effects of one connection and keeps its deadline. */
class Driver {
  onEstablished: () => void = ignore;
  onData: (payload: Uint8Array) => void = ignore;
  onClosed: () => void = ignore;
  readonly #connection: Connection;
  readonly #send: (datagram: Uint8Array) => void;
  readonly #received = new Set<number>();
  #session: Established | undefined;
  #closed: CloseReason | undefined;
  #echoed = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(connection: Connection, send: (datagram: Uint8Array) => void) {
    this.#connection = connection;
    this.#send = send;
  }

  get report(): EngineReport {
    return {
      session: this.#session,
      closed: this.#closed,
      echoed: this.#echoed,
      received: [...this.#received],
    };
  }

  start(): void {
    this.#connection.start(monotonicClock());
    this.drain();
  }

  receive(datagram: Uint8Array): void {
    if (this.#session !== undefined && datagram[0] !== undefined) this.#received.add(datagram[0]);
    this.#connection.receive(datagram, monotonicClock());
    this.drain();
  }

  countEcho(): void {
    this.#echoed++;
  }

  close(code: 'closed' | 'timeout' = 'closed'): void {
    this.#connection.close(code, monotonicClock());
    this.drain();
  }

  drain(): void {
    for (let effect = this.#connection.poll(); effect !== undefined; effect = this.#connection.poll()) {
      this.#perform(effect);
    }
    clearTimeout(this.#timer);
    const { deadline } = this.#connection;
    if (deadline === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#connection.tick(monotonicClock());
        this.drain();
      },
      Math.max(0, Math.ceil(deadline - monotonicClock())),
    );
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'transmit':
        this.#send(effect.datagram);
        return;
      case 'established':
        this.#session = effect.session;
        this.onEstablished();
        return;
      case 'data':
        this.onData(effect.payload);
        return;
      case 'closed':
        this.#closed = effect.reason;
        this.onClosed();
        return;
      default:
        throw new Error(`a connection that is not offloaded does not ask to ${effect.kind}`);
    }
  }
}

/** A UDP socket on the loopback that sends everything it was given before it closes. */
class Port {
  readonly #socket: Socket = createSocket('udp4');
  #underway = 0;
  #closing = false;

  static async open(): Promise<Port> {
    const port = new Port();
    // A port that is not open yet or no longer: lost, as on any path.
    port.#socket.on('error', ignore);
    port.#socket.bind(0, '127.0.0.1');
    await once(port.#socket, 'listening');
    return port;
  }

  get number(): number {
    return this.#socket.address().port;
  }

  onDatagram(take: (datagram: Uint8Array, from: RemoteInfo) => void): void {
    this.#socket.on('message', (datagram, from) => {
      if (!this.#closing) take(datagram, from);
    });
  }

  send(datagram: Uint8Array, port: number): void {
    if (this.#closing) return;
    this.#underway++;
    this.#socket.send(datagram, port, '127.0.0.1', () => {
      this.#underway--;
      if (this.#closing && this.#underway === 0) this.#socket.close();
    });
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (this.#underway === 0) this.#socket.close();
  }
}

function ignore(): void {}
