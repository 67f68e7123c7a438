import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { monotonicClock } from '../base/clock.ts';
import { type Pattern, PERIOD } from './pattern.ts';

/** One end of a two-way flow of numbered datagrams. */
export interface FlowOptions {
  readonly local: { readonly address: string; readonly port: number };
  readonly remote: { readonly address: string; readonly port: number };
  /** Datagrams a second. */
  readonly rate: number;
  /** UDP payload, octets; at least `HEADER`. */
  readonly size: number;
  /** Tells this flow's datagrams from any other's. */
  readonly id: number;
}

/** What one end saw. Delays are one way: both ends read the same kernel's clock. */
export interface FlowReport {
  /** Numbered 0 … sent − 1. */
  readonly sent: number;
  /** Send calls the kernel refused; those numbers count as sent. */
  readonly sendErrors: number;
  /** Distinct datagrams that came. */
  readonly received: number;
  readonly duplicated: number;
  /** Came after one with a higher number (RFC 4737 §3). */
  readonly reordered: number;
  /** Ours by their header, wrong in their content. */
  readonly corrupted: number;
  /** Not ours. */
  readonly foreign: number;
  /** Reached this host and were dropped since the socket's buffer was full: no fault of the path. */
  readonly overrun: number;
  /** Longest time without an arrival, and longest run of missing numbers. */
  readonly longestGapMs: number;
  readonly longestLoss: number;
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** What one end saw since the lap before: of numbers up to the highest that came. */
export interface FlowLap {
  readonly expected: number;
  readonly received: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly longestGap: Gap;
}

/** A time without an arrival. */
export interface Gap {
  readonly ms: number;
  /** When the arrival came that ended it, by the kernel's monotonic clock. */
  readonly endedAt: number;
}

/** Octets of the header: flow id, reserved, sequence number, send time. */
export const HEADER = 24;

/** Counts what arrives. Pure: the numbers and the time come in, so that every case is a unit test. */
export class FlowCounter {
  #seen = new Uint8Array(1 << 16);
  #received = 0;
  #duplicated = 0;
  #reordered = 0;
  #highest = -1;
  #lastAt: number | undefined;
  #longestGap = 0;
  #lapGap: Gap = NO_GAP;
  #lapFrom = { highest: -1, received: 0, duplicated: 0, reordered: 0 };
  readonly #delays: number[] = [];

  /** Number `sequence`, sent at `sentAt`, arrived at `now` (milliseconds of one clock). */
  count(sequence: number, sentAt: number, now: number): void {
    if (this.#lastAt !== undefined) {
      const gap = now - this.#lastAt;
      this.#longestGap = Math.max(this.#longestGap, gap);
      if (gap > this.#lapGap.ms) this.#lapGap = { ms: gap, endedAt: now };
    }
    this.#lastAt = now;
    if (sequence >= this.#seen.length) this.#grow(sequence);
    if (this.#seen[sequence] === 1) {
      this.#duplicated++;
      return;
    }
    this.#seen[sequence] = 1;
    this.#received++;
    if (sequence < this.#highest) this.#reordered++;
    else this.#highest = sequence;
    if (this.#delays.length < MAX_DELAYS) this.#delays.push(now - sentAt);
  }

  /** The receiving half of the report; gaps are counted up to the highest number that came. */
  report(): Omit<FlowReport, 'sent' | 'sendErrors' | 'corrupted' | 'foreign' | 'overrun'> {
    const delays = Float64Array.from(this.#delays).sort();
    const rank = (share: number): number => delays[Math.min(delays.length - 1, Math.floor(delays.length * share))] ?? 0;
    return {
      received: this.#received,
      duplicated: this.#duplicated,
      reordered: this.#reordered,
      longestGapMs: this.#longestGap,
      longestLoss: this.#longestRunOfMissing(),
      delayMs: { p50: rank(0.5), p99: rank(0.99), max: rank(1) },
    };
  }

  /**
   * Ends a lap and begins the next. What is under way or held back at that moment counts as missing here and as too
   * many there: laps are for moments at which the flow is undisturbed.
   */
  lap(now: number): FlowLap {
    const from = this.#lapFrom;
    const to = {
      highest: this.#highest,
      received: this.#received,
      duplicated: this.#duplicated,
      reordered: this.#reordered,
    };
    const silence = this.#lastAt === undefined ? 0 : now - this.#lastAt;
    const longestGap = silence > this.#lapGap.ms ? { ms: silence, endedAt: now } : this.#lapGap;
    this.#lapFrom = to;
    this.#lapGap = NO_GAP;
    return {
      expected: to.highest - from.highest,
      received: to.received - from.received,
      duplicated: to.duplicated - from.duplicated,
      reordered: to.reordered - from.reordered,
      longestGap,
    };
  }

  #longestRunOfMissing(): number {
    let longest = 0;
    let run = 0;
    for (let i = 0; i <= this.#highest; i++) {
      run = this.#seen[i] === 1 ? 0 : run + 1;
      longest = Math.max(longest, run);
    }
    return longest;
  }

  #grow(sequence: number): void {
    const larger = new Uint8Array(Math.max(sequence + 1, this.#seen.length * 2));
    larger.set(this.#seen);
    this.#seen = larger;
  }
}

/**
 * One end of a flow: sends numbered datagrams at a steady rate between `start` and `stop`, and counts what the other
 * end sends from the moment it is open until `close`.
 */
export class UdpFlow {
  readonly #options: FlowOptions;
  readonly #pattern: Pattern;
  readonly #socket: Socket;
  readonly #counter = new FlowCounter();
  #corrupted = 0;
  #foreign = 0;
  #sent = 0;
  #sendErrors = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: FlowOptions, pattern: Pattern, socket: Socket) {
    this.#options = options;
    this.#pattern = pattern;
    this.#socket = socket;
    socket.on('message', (datagram) => this.#receive(datagram));
    socket.on('error', () => this.#sendErrors++);
  }

  /** Binds the socket. */
  static async open(options: FlowOptions, pattern: Pattern): Promise<UdpFlow> {
    const socket = createSocket({ type: options.local.address.includes(':') ? 'udp6' : 'udp4' });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(options.local.port, options.local.address, () => {
        socket.removeListener('error', reject);
        resolve();
      });
    });
    try {
      socket.setRecvBufferSize(4 << 20); // The kernel cuts it to net.core.rmem_max.
    } catch {
      // Smaller buffers are fine: what they drop is reported as `overrun`.
    }
    return new UdpFlow(options, pattern, socket);
  }

  /** Begins to send. */
  start(): void {
    const began = monotonicClock();
    const first = this.#sent;
    this.#timer = setInterval(() => {
      const due = first + Math.floor(((monotonicClock() - began) * this.#options.rate) / 1000);
      // After a stall of this process the backlog is caught up in small steps: a burst would measure queues.
      for (let burst = 0; this.#sent < due && burst < MAX_BURST; burst++) this.#send();
    }, 1);
  }

  /** Ends sending; yields how many were sent. */
  stop(): number {
    clearInterval(this.#timer);
    return this.#sent;
  }

  /** What came since the lap before. */
  lap(): FlowLap {
    return this.#counter.lap(monotonicClock());
  }

  /** Closes the socket and yields the counts. */
  close(): FlowReport {
    const overrun = socketDrops(this.#options.local.port);
    this.#socket.close();
    return {
      sent: this.#sent,
      sendErrors: this.#sendErrors,
      corrupted: this.#corrupted,
      foreign: this.#foreign,
      overrun,
      ...this.#counter.report(),
    };
  }

  #send(): void {
    const { size, remote, id } = this.#options;
    const datagram = Buffer.allocUnsafe(size);
    const sequence = this.#sent++;
    datagram.writeUInt32BE(id, 0);
    datagram.writeUInt32BE(0, 4);
    datagram.writeDoubleBE(sequence, 8);
    datagram.writeDoubleBE(monotonicClock(), 16);
    this.#pattern.at(contentOffset(sequence), size - HEADER).copy(datagram, HEADER);
    this.#socket.send(datagram, remote.port, remote.address, (error) => {
      if (error !== null) this.#sendErrors++;
    });
  }

  #receive(datagram: Buffer): void {
    const now = monotonicClock();
    if (datagram.length < HEADER || datagram.readUInt32BE(0) !== this.#options.id) {
      this.#foreign++;
      return;
    }
    const sequence = datagram.readDoubleBE(8);
    const content = datagram.subarray(HEADER);
    const sound = Number.isSafeInteger(sequence) && sequence >= 0 && sequence < MAX_SEQUENCE;
    if (!sound || !this.#pattern.matches(content, contentOffset(sequence))) {
      this.#corrupted++;
      return;
    }
    this.#counter.count(sequence, datagram.readDoubleBE(16), now);
  }
}

/** The `drops` column of /proc/net/udp and udp6 for the sockets on `port`. */
function socketDrops(port: number): number {
  let drops = 0;
  for (const file of ['/proc/self/net/udp', '/proc/self/net/udp6']) {
    for (const line of readFileSync(file, 'latin1').split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (Number.parseInt(fields[1]?.split(':').at(-1) ?? '', 16) === port) drops += Number(fields.at(-1));
    }
  }
  return drops;
}

/** Neighbouring numbers carry quite different content. */
function contentOffset(sequence: number): number {
  return (sequence * 7919) % PERIOD;
}

const NO_GAP: Gap = { ms: 0, endedAt: 0 };
const MAX_BURST = 32;
const MAX_DELAYS = 2_000_000;
const MAX_SEQUENCE = 100_000_000;
