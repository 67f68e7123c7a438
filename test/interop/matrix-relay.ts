import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** How bad the path is: chances per datagram. */
export interface Impairment {
  readonly loss: number;
  readonly duplicate: number;
  /** Chance of being held back so that later datagrams overtake it. */
  readonly reorder: number;
}

/** The lossy path of the matrix: a fifth of all datagrams do not arrive once and in order. */
export const LOSSY: Impairment = { loss: 0.1, duplicate: 0.05, reorder: 0.1 };

/**
 * A UDP path on the loopback between one client and one server that loses, repeats and reorders. The fate of the nth
 * datagram of a direction depends on the seed alone, so that a failing case fails again.
 */
export class Relay {
  readonly #front: Socket;
  readonly #back: Socket;
  readonly #impairment: Impairment;
  readonly #random: Readonly<Record<'toServer' | 'toClient', () => number>>;
  readonly #timers = new Set<NodeJS.Timeout>();
  #client: RemoteInfo | undefined;
  #largest = { toServer: 0, toClient: 0 };

  private constructor(impairment: Impairment, seed: number) {
    this.#front = createSocket('udp4');
    this.#back = createSocket('udp4');
    this.#impairment = impairment;
    this.#random = { toServer: seededRandom(seed), toClient: seededRandom(seed ^ 0x5bd1e995) };
  }

  /** A relay in front of the server at this port of 127.0.0.1. */
  static async open(serverPort: number, impairment: Impairment, seed: number): Promise<Relay> {
    const relay = new Relay(impairment, seed);
    relay.#front.on('message', (datagram, from) => {
      relay.#client = from;
      relay.#pass('toServer', datagram, (copy) => relay.#back.send(copy, serverPort, '127.0.0.1', ignore));
    });
    relay.#back.on('message', (datagram) => {
      relay.#pass('toClient', datagram, (copy) => {
        if (relay.#client !== undefined) relay.#front.send(copy, relay.#client.port, relay.#client.address, ignore);
      });
    });
    // A port that is not open yet or no longer: lost, as on any path.
    relay.#front.on('error', ignore);
    relay.#back.on('error', ignore);
    relay.#front.bind(0, '127.0.0.1');
    relay.#back.bind(0, '127.0.0.1');
    await Promise.all([once(relay.#front, 'listening'), once(relay.#back, 'listening')]);
    return relay;
  }

  /** Where the client calls. */
  get port(): number {
    return this.#front.address().port;
  }

  /** Octets of the largest datagram seen in each direction: nobody may exceed the limit it was given. */
  get largest(): Readonly<Record<'toServer' | 'toClient', number>> {
    return this.#largest;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#front.close();
    this.#back.close();
  }

  #pass(direction: 'toServer' | 'toClient', datagram: Buffer, send: (copy: Buffer) => void): void {
    this.#largest[direction] = Math.max(this.#largest[direction], datagram.length);
    const random = this.#random[direction];
    // Three draws each time, so that the fate of the next datagram does not hang on this one's.
    const [lost, again, late] = [random(), random(), random()];
    if (lost < this.#impairment.loss) return;
    if (again < this.#impairment.duplicate) send(datagram);
    if (late >= this.#impairment.reorder) {
      send(datagram);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      send(datagram);
    }, HELD_BACK_MS);
    this.#timers.add(timer);
  }
}

/** Long enough for the rest of a flight to overtake, shorter than any retransmission timer. */
const HELD_BACK_MS = 15;

function ignore(): void {}

/** mulberry32: numbers in [0, 1) that depend on the seed alone. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
