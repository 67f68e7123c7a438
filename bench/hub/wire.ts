import { readSync, writeSync } from 'node:fs';

/** A UDP datagram came from the hub for the spoke at `address`. */
export type OnDatagram = (address: number, datagram: Uint8Array) => void;

/** Where a wire leads, IPv4 addresses as numbers. */
export interface WireOptions {
  /** A TUN device whose reads and writes do not block. */
  readonly descriptor: number;
  readonly hub: { readonly address: number; readonly port: number };
  readonly spokePort: number;
  readonly onDatagram: OnDatagram;
}

/**
 * The network of all spokes: one device that carries their IP packets in order, at less cost than a socket for each.
 */
export class Wire {
  readonly #options: WireOptions;
  readonly #in = new Uint8Array(MAX_PACKET);
  readonly #out = new Uint8Array(MAX_PACKET);
  readonly #header: DataView;

  constructor(options: WireOptions) {
    this.#options = options;
    this.#header = new DataView(this.#out.buffer);
    const { hub, spokePort } = options;
    this.#out.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP]);
    this.#header.setUint32(16, hub.address);
    this.#header.setUint16(20, spokePort);
    this.#header.setUint16(22, hub.port);
    this.#read();
  }

  /** Sends from the spoke at `address`. What Ethernet cannot carry is not sent: the product forbids fragments. */
  send(address: number, datagram: Uint8Array): void {
    const length = HEADERS + datagram.length;
    if (length > MAX_PACKET) return;
    const header = this.#header;
    header.setUint16(2, length);
    header.setUint16(10, 0);
    header.setUint32(12, address);
    header.setUint16(10, checksum(header));
    header.setUint16(24, 8 + datagram.length);
    // The checksum of UDP over IPv4 may be left out (RFC 768): both ends are authenticated anyhow.
    this.#out.set(datagram, HEADERS);
    try {
      writeSync(this.#options.descriptor, this.#out, 0, length);
    } catch {
      // No room, or the device is not up yet: a datagram that is lost.
    }
  }

  /**
   * Takes what has come before timers have their turn: a spoke of its own would not be late, so an answer that is here must
   * not count as missing.
   */
  #read(): void {
    let count = 0;
    try {
      for (; count < READS_PER_TURN; count++) this.#packet(readSync(this.#options.descriptor, this.#in));
    } catch (error) {
      if (!isAgain(error)) throw error;
    }
    if (count === READS_PER_TURN) setImmediate(() => this.#read());
    else setTimeout(() => this.#read(), 1);
  }

  #packet(length: number): void {
    const packet = this.#in;
    if (length < HEADERS || packet[0] !== 0x45 || packet[9] !== UDP) return;
    const destination = new DataView(packet.buffer).getUint32(16);
    this.#options.onDatagram(destination, packet.slice(HEADERS, length));
  }
}

/** An IPv4 address in dotted form as a number. */
export function ipv4Number(dotted: string): number {
  return dotted.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

/** Of an IPv4 header of 20 octets whose checksum is zero (RFC 1071). */
function checksum(header: DataView): number {
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += header.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

function isAgain(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}

const UDP = 17;
/** IPv4 and UDP. */
const HEADERS = 28;
/** Of Ethernet. */
const MAX_PACKET = 1500;
/** More than the device's queue holds. */
const READS_PER_TURN = 20_000;
