import { connect, createServer, type Socket } from 'node:net';
import { monotonicClock } from '../base/clock.ts';
import { Pattern } from './pattern.ts';

/** What the receiving end of a transfer saw. */
export interface TransferReport {
  readonly bytes: number;
  /** From the first byte to the last of all streams. */
  readonly seconds: number;
  /** Payload bits a second. */
  readonly bitsPerSecond: number;
  /** Every byte was compared with what was sent. */
  readonly intact: boolean;
  /** Longest time between two arrivals of a stream. */
  readonly longestStallMs: number;
}

/** How much to send: this many octets per stream, as much as fits in the time, or at a steady rate until told to stop. */
export type TransferAmount =
  | { readonly bytes: number }
  | { readonly seconds: number }
  | { readonly bitsPerSecond: number };

/**
 * Receives `streams` TCP connections on `port`, compares every byte with the pattern of `seed`, and yields the report
 * when all have ended. `listening` is called once connections are welcome.
 */
export function receiveTransfer(
  options: { readonly port: number; readonly seed: number; readonly streams: number },
  listening: () => void,
): Promise<TransferReport> {
  return new Promise((resolve, reject) => {
    const pattern = new Pattern(options.seed);
    let ended = 0;
    let bytes = 0;
    let intact = true;
    let first: number | undefined;
    let last = 0;
    let longestStallMs = 0;
    // Half open: the sender's end of stream is answered with a last word, which tells it that all was read.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let offset = 0;
      let before: number | undefined;
      socket.on('data', (chunk: Buffer) => {
        last = monotonicClock();
        if (before !== undefined) longestStallMs = Math.max(longestStallMs, last - before);
        before = last;
        first ??= last;
        bytes += chunk.length;
        if (!pattern.matches(chunk, offset)) intact = false;
        offset += chunk.length;
      });
      socket.on('error', reject);
      socket.on('end', () => {
        socket.end('done');
        if (++ended < options.streams) return;
        server.close();
        const seconds = Math.max((last - (first ?? last)) / 1000, 1e-6);
        const bitsPerSecond = (bytes * 8) / seconds;
        resolve({ bytes, seconds, bitsPerSecond, intact: intact && bytes > 0, longestStallMs });
      });
    });
    server.on('error', reject);
    server.listen(options.port, '::', listening);
  });
}

/** Sends `amount` over each of `streams` connections to `address`; resolves when the far end has read everything. */
export async function sendTransfer(
  options: {
    readonly address: string;
    readonly port: number;
    readonly seed: number;
    readonly streams: number;
    readonly amount: TransferAmount;
  },
  stopped?: AbortSignal,
): Promise<void> {
  const pattern = new Pattern(options.seed);
  await Promise.all(Array.from({ length: options.streams }, () => sendStream(options, pattern, stopped)));
}

function sendStream(
  options: { readonly address: string; readonly port: number; readonly amount: TransferAmount },
  pattern: Pattern,
  stopped: AbortSignal | undefined,
): Promise<void> {
  const { amount } = options;
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(options.port, options.address);
    socket.once('error', reject);
    socket.resume(); // The far end's last word; its arrival means that everything was read.
    socket.once('close', (failed) => {
      if (!failed) resolve();
    });
    if ('bitsPerSecond' in amount) {
      trickle(socket, pattern, amount.bitsPerSecond, stopped);
      return;
    }
    let offset = 0;
    const until = 'seconds' in amount ? monotonicClock() + amount.seconds * 1000 : undefined;
    const total = 'bytes' in amount ? amount.bytes : Number.POSITIVE_INFINITY;
    const push = (): void => {
      for (;;) {
        if (offset >= total || (until !== undefined && monotonicClock() >= until)) {
          socket.end();
          return;
        }
        const chunk = pattern.at(offset, Math.min(CHUNK, total - offset));
        offset += chunk.length;
        if (!socket.write(chunk)) {
          socket.once('drain', push);
          return;
        }
      }
    };
    socket.once('connect', push);
  });
}

/** Sends at a steady rate; what the path does not take meanwhile is not made up for. */
function trickle(socket: Socket, pattern: Pattern, bitsPerSecond: number, stopped: AbortSignal | undefined): void {
  let offset = 0;
  const timer = setInterval(() => {
    if (socket.writableNeedDrain || socket.connecting) return;
    const chunk = pattern.at(offset, Math.ceil((bitsPerSecond / 8000) * TRICKLE_MS));
    offset += chunk.length;
    socket.write(chunk);
  }, TRICKLE_MS);
  socket.once('close', () => clearInterval(timer));
  stopped?.addEventListener('abort', () => {
    clearInterval(timer);
    socket.end();
  });
}

/** Large writes: the sender should cost little beside what is measured. */
const CHUNK = 256 << 10;
/** Between two writes at a steady rate. */
const TRICKLE_MS = 5;
