import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { monotonicClock } from '../../src/base/clock.ts';
import { Connection } from '../../src/dtls/connection.ts';
import type { CloseReason, Established } from '../../src/dtls/effects.ts';
import { Listener } from '../../src/dtls/listener.ts';
import type { ConnectionOptions } from '../../src/dtls/options.ts';

/** Our engine on a real loopback socket, to talk to other implementations. */
export class UdpEngine {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #listener = new Listener();
  #connection: Connection | undefined;
  #peer: RemoteInfo | { readonly address: string; readonly port: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];
  session: Established | undefined;
  closed: CloseReason | undefined;
  /** Everything received, as text. */
  text = '';
  /** Sizes of the datagrams sent and received. */
  readonly sentSizes: number[] = [];
  readonly receivedSizes: number[] = [];

  private constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  /** A client that calls 127.0.0.1:`port`. */
  static async connect(port: number, options: Omit<ConnectionOptions, 'role'>): Promise<UdpEngine> {
    const engine = await UdpEngine.#open({ ...options, role: 'client' });
    engine.#peer = { address: '127.0.0.1', port };
    engine.#connection = new Connection({ ...options, role: 'client' });
    engine.#connection.start(monotonicClock());
    engine.#drain();
    return engine;
  }

  /** A server that takes one client. */
  static listen(options: Omit<ConnectionOptions, 'role'>): Promise<UdpEngine> {
    return UdpEngine.#open({ ...options, role: 'server' });
  }

  static async #open(options: ConnectionOptions): Promise<UdpEngine> {
    const socket = createSocket('udp4');
    const engine = new UdpEngine(socket, options);
    socket.on('message', (datagram, from) => engine.#receive(datagram, from));
    // A peer that is gone answers with ICMP: to be tried again, like every loss.
    socket.on('error', () => {});
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return engine;
  }

  get port(): number {
    return this.#socket.address().port;
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  send(text: string): void {
    if (this.#connection?.send(new TextEncoder().encode(text)) !== true) throw new Error('not sent');
    this.#drain();
  }

  /** Resolves when `done`; rejects with what is known after `ms`. */
  async until(what: string, done: () => boolean, ms = 4000): Promise<void> {
    const end = Date.now() + ms;
    while (!done()) {
      const left = end - Date.now();
      if (left <= 0) {
        const state = { closed: this.closed, session: this.session !== undefined, text: this.text };
        throw new Error(`waited in vain for: ${what} ${JSON.stringify(state)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 100));
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Ends the association and gives the socket back. */
  async stop(): Promise<void> {
    this.#connection?.close('closed', monotonicClock());
    this.#drain();
    clearTimeout(this.#timer);
    // The alert is handed to the kernel on the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }

  #receive(datagram: Uint8Array, from: RemoteInfo): void {
    this.receivedSizes.push(datagram.length);
    const now = monotonicClock();
    if (this.#connection === undefined) {
      const source = new TextEncoder().encode(`${from.address}:${from.port}`);
      const verdict = this.#listener.receive(source, datagram, now);
      if (verdict.kind === 'challenge') this.#socket.send(verdict.reply, from.port, from.address);
      if (verdict.kind !== 'accept') return;
      this.#peer = from;
      this.#connection = new Connection(this.#options, verdict.hello);
      this.#connection.start(now);
    } else {
      this.#connection.receive(datagram, now);
    }
    this.#drain();
  }

  #drain(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    for (let effect = connection.poll(); effect !== undefined; effect = connection.poll()) {
      if (effect.kind === 'transmit') this.#transmit(effect.datagram);
      else if (effect.kind === 'established') this.session = effect.session;
      else if (effect.kind === 'data') this.text += new TextDecoder().decode(effect.payload);
      else if (effect.kind === 'closed') this.closed = effect.reason;
    }
    clearTimeout(this.#timer);
    if (connection.deadline !== undefined) {
      this.#timer = setTimeout(
        () => {
          connection.tick(monotonicClock());
          this.#drain();
        },
        Math.max(0, connection.deadline - monotonicClock()) + 1,
      );
    }
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #transmit(datagram: Uint8Array): void {
    if (this.#peer === undefined) return;
    this.sentSizes.push(datagram.length);
    this.#socket.send(datagram, this.#peer.port, this.#peer.address);
  }
}

/** A UDP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}
