import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { monotonicClock } from '../base/clock.ts';
import { ImpairedPath, type Impairment, type ImpairmentCounts } from './impairment.ts';

/** Where a relay stands and what it does. */
export interface RelayOptions {
  readonly listen: { readonly address: string; readonly port: number };
  readonly target: { readonly address: string; readonly port: number };
  readonly seed: number;
  readonly toTarget: Impairment;
  readonly toClient: Impairment;
}

/** What a relay did so far. */
export interface RelayCounts {
  readonly toTarget: ImpairmentCounts;
  readonly toClient: ImpairmentCounts;
  readonly clients: number;
}

/**
 * A bad internet for real sockets: passes datagrams between its clients and one target, each client through a socket of
 * its own as a NAT would, and treats each direction as its impairment says. It needs no kernel feature (netem is not in
 * every kernel) and follows a seed.
 */
export class Relay {
  readonly #options: RelayOptions;
  readonly #front: Socket;
  readonly #toTarget: ImpairedPath;
  readonly #toClient: ImpairedPath;
  /** Clients by their address and port; bounded, the oldest goes. */
  readonly #clients = new Map<string, { readonly remote: RemoteInfo; upstream: Socket }>();
  /** Address to send to the target from; undefined: the kernel's choice. */
  #source: string | undefined;

  private constructor(options: RelayOptions, front: Socket) {
    this.#options = options;
    this.#front = front;
    this.#toTarget = new ImpairedPath(options.toTarget, options.seed);
    this.#toClient = new ImpairedPath(options.toClient, options.seed + 1);
    front.on('message', (datagram, remote) => this.#fromClient(datagram, remote));
    front.on('error', () => undefined); // ICMP errors of a client that is gone: a path says nothing.
  }

  /** Binds the front socket. */
  static async open(options: RelayOptions): Promise<Relay> {
    const front = createSocket(socketType(options.listen.address));
    await new Promise<void>((resolve, reject) => {
      front.once('error', reject);
      front.bind(options.listen.port, options.listen.address, resolve);
    });
    front.removeAllListeners('error');
    return new Relay(options, front);
  }

  /** Changes the path's behaviour. */
  impair(toTarget: Impairment, toClient: Impairment): void {
    this.#toTarget.become(toTarget);
    this.#toClient.become(toClient);
  }

  /** Every client appears at the target from a new port, and from `address` if given (NAT rebinding, new uplink). */
  rebind(address?: string): void {
    this.#source = address;
    for (const [key, client] of this.#clients) {
      client.upstream.close();
      client.upstream = this.#upstream(key);
    }
  }

  /** What it did so far. */
  counts(): RelayCounts {
    return { toTarget: this.#toTarget.counts, toClient: this.#toClient.counts, clients: this.#clients.size };
  }

  #fromClient(datagram: Buffer, remote: RemoteInfo): void {
    const key = `${remote.address} ${remote.port}`;
    let client = this.#clients.get(key);
    if (client === undefined) {
      this.#evict();
      client = { remote, upstream: this.#upstream(key) };
      this.#clients.set(key, client);
    }
    const { upstream } = client;
    const { target } = this.#options;
    this.#pass(this.#toTarget, datagram, (bytes) => upstream.send(bytes, target.port, target.address, ignore));
  }

  #upstream(key: string): Socket {
    const socket = createSocket(socketType(this.#options.target.address));
    socket.on('error', () => undefined);
    socket.on('message', (datagram) => {
      const remote = this.#clients.get(key)?.remote;
      if (remote === undefined) return;
      this.#pass(this.#toClient, datagram, (bytes) => this.#front.send(bytes, remote.port, remote.address, ignore));
    });
    if (this.#source !== undefined) socket.bind(0, this.#source);
    return socket;
  }

  #pass(path: ImpairedPath, datagram: Buffer, send: (bytes: Buffer) => void): void {
    for (const { inMs, flipBit } of path.send(datagram.length, monotonicClock())) {
      const bytes = flipBit === undefined ? datagram : flipped(datagram, flipBit);
      if (inMs < 0.5) sendSafely(send, bytes);
      else setTimeout(() => sendSafely(send, bytes), inMs);
    }
  }

  #evict(): void {
    if (this.#clients.size < MAX_CLIENTS) return;
    for (const [key, client] of this.#clients) {
      client.upstream.close();
      this.#clients.delete(key);
      return;
    }
  }
}

function socketType(address: string): 'udp4' | 'udp6' {
  return address.includes(':') ? 'udp6' : 'udp4';
}

function flipped(datagram: Buffer, bit: number): Buffer {
  const copy = Buffer.from(datagram);
  const index = bit >> 3;
  copy[index] = (copy[index] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

/** A socket replaced by a rebinding is closed while datagrams for it are still under way: they are lost. */
function sendSafely(send: (bytes: Buffer) => void, bytes: Buffer): void {
  try {
    send(bytes);
  } catch {
    // ERR_SOCKET_DGRAM_NOT_RUNNING.
  }
}

function ignore(): void {}

const MAX_CLIENTS = 256;
