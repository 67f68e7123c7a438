import type { Duplex } from 'node:stream';
import { DtunnelError } from '../../base/errors.ts';

/** What one end says to the other: a document, and octets that are better not made into text. */
export interface Frame {
  readonly document: unknown;
  readonly octets: Uint8Array;
}

/** Both directions between a daemon and the process that takes over from it. */
export interface Channel {
  /** Says something. The octets are copied and may be overwritten when this returns. */
  send(document: object, octets?: Uint8Array): void;
  /** What the other end says next; rejects when it ends instead. One at a time. */
  receive(): Promise<Frame>;
  close(): void;
}

/** Lengths of document and octets, four octets each. */
const HEADER = 8;

/** A tunnel of ten thousand peers is some 30 MiB; more than this is not one of ours. */
const MAX_FRAME = 512 * 1024 * 1024;

/**
 * Frames over a stream socket. Octets may be keys: what was read is overwritten as soon as it has been copied out, what
 * is written as soon as the kernel has it.
 */
export class FrameChannel implements Channel {
  readonly #stream: Duplex;
  #chunks: Buffer[] = [];
  #length = 0;
  #waiting: { readonly resolve: (frame: Frame) => void; readonly reject: (error: Error) => void } | undefined;
  #ended: string | undefined;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#deliver();
    });
    stream.on('end', () => this.#end('it ended'));
    stream.on('close', () => this.#end('it ended'));
    stream.on('error', (error) => this.#end(error.message));
  }

  send(document: object, octets: Uint8Array = NONE): void {
    const text = Buffer.from(JSON.stringify(document), 'utf8');
    const header = Buffer.alloc(HEADER);
    header.writeUInt32BE(text.length, 0);
    header.writeUInt32BE(octets.length, 4);
    const frame = Buffer.concat([header, text, octets]);
    this.#stream.write(frame, () => frame.fill(0));
  }

  receive(): Promise<Frame> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#deliver();
      if (this.#ended !== undefined) this.#end(this.#ended);
    });
  }

  close(): void {
    this.#stream.destroy();
    for (const chunk of this.#chunks.splice(0)) chunk.fill(0);
  }

  #deliver(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || this.#length < HEADER) return;
    const header = this.#peek(HEADER);
    const [documentLength, octetsLength] = [header.readUInt32BE(0), header.readUInt32BE(4)];
    const total = HEADER + documentLength + octetsLength;
    if (total > MAX_FRAME) {
      this.#end(`a frame of ${total} octets`);
      return;
    }
    if (this.#length < total) return;
    this.#waiting = undefined;
    const whole = this.#take(total);
    const octets = Uint8Array.from(whole.subarray(HEADER + documentLength));
    try {
      const document: unknown = JSON.parse(whole.toString('utf8', HEADER, HEADER + documentLength));
      waiting.resolve({ document, octets });
    } catch {
      waiting.reject(new DtunnelError('S042', 'what it said is no JSON'));
    } finally {
      whole.fill(0);
    }
  }

  /** The first few octets, copied without what follows them, which may be keys. */
  #peek(octets: number): Buffer {
    const head = Buffer.alloc(octets);
    let at = 0;
    for (const chunk of this.#chunks) {
      if (at === octets) break;
      at += chunk.copy(head, at, 0, octets - at);
    }
    return head;
  }

  #take(octets: number): Buffer {
    const all = Buffer.concat(this.#chunks);
    for (const chunk of this.#chunks) chunk.fill(0);
    this.#chunks = all.length > octets ? [Buffer.from(all.subarray(octets))] : [];
    this.#length = all.length - octets;
    const taken = all.subarray(0, octets);
    all.fill(0, octets);
    return taken;
  }

  #end(reason: string): void {
    this.#ended = reason;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new DtunnelError('S042', `nothing more comes from the other process: ${reason}`));
  }
}

const NONE = new Uint8Array(0);
