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
}

/** How much to send: this many octets per stream, or as much as fits in the time. */
export type TransferAmount = { readonly bytes: number } | { readonly seconds: number };

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
    // Half open: the sender's end of stream is answered with a last word, which tells it that all was read.
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let offset = 0;
      socket.on('data', (chunk: Buffer) => {
        last = monotonicClock();
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
        resolve({ bytes, seconds, bitsPerSecond: (bytes * 8) / seconds, intact: intact && bytes > 0 });
      });
    });
    server.on('error', reject);
    server.listen(options.port, '::', listening);
  });
}

/** Sends `amount` over each of `streams` connections to `address`; resolves when the far end has read everything. */
export async function sendTransfer(options: {
  readonly address: string;
  readonly port: number;
  readonly seed: number;
  readonly streams: number;
  readonly amount: TransferAmount;
}): Promise<void> {
  const pattern = new Pattern(options.seed);
  await Promise.all(Array.from({ length: options.streams }, () => sendStream(options, pattern)));
}

function sendStream(
  options: { readonly address: string; readonly port: number; readonly amount: TransferAmount },
  pattern: Pattern,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(options.port, options.address);
    let offset = 0;
    const until = 'seconds' in options.amount ? monotonicClock() + options.amount.seconds * 1000 : undefined;
    const total = 'bytes' in options.amount ? options.amount.bytes : Number.POSITIVE_INFINITY;
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
    socket.once('error', reject);
    socket.resume(); // The far end's last word; its arrival means that everything was read.
    socket.once('close', (failed) => {
      if (!failed) resolve();
    });
  });
}

/** Large writes: the sender should cost little beside what is measured. */
const CHUNK = 256 << 10;
