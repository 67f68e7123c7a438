import type { Epoch, Fingerprint, Instant, SequenceNumber } from '../../src/base/brand.ts';
import { earliest, later, ms } from '../../src/base/brand.ts';
import { RecordKeys } from '../../src/crypto/aead.ts';
import { type Continuation, ContinuedConnection } from '../../src/dtls/continuation.ts';
import type { CloseCode, CloseReason, Effect } from '../../src/dtls/effects.ts';
import type { ConnectionOptions } from '../../src/dtls/options.ts';
import { CONTENT, type RecordView, recordsIn, writeRecord } from '../../src/dtls/record.ts';
import type { SansIo } from '../../src/dtls/sans-io.ts';
import { endpointKey } from '../../src/net/endpoint.ts';
import type { Engines } from '../../src/tunnel/context.ts';
import { equalBytes } from '../../src/wire/bytes.ts';
import { Reader } from '../../src/wire/reader.ts';
import { Writer } from '../../src/wire/writer.ts';
import type { RecordCipher } from './memory-plane.ts';

/**
 * DTLS without cryptography, for worlds that are run ten thousand times: the same flights, sizes, record headers,
 * timers and offload as the real engine, so that the tunnel logic meets the same situations, at a hundredth of the cost.
 */
export const QUICK_ENGINES: Engines = {
  client: (options) => new QuickEngine(options, undefined),
  server: (options, hello) => new QuickEngine(options, hello),
  continued: (continuation) => new ContinuedConnection(continuation),
  listener: () => ({
    receive: (datagram, path) => {
      const hello = parseHello(datagram);
      if (hello === undefined) return { kind: 'drop', reason: 'malformed' };
      const cookie = digest([...Buffer.from(endpointKey(path.remote)), ...hello.random]);
      if (hello.cookie === cookie) return { kind: 'accept', hello: datagram.slice() };
      const body = new Writer().uint(cookie, 4).bytes(new Uint8Array(16)).take();
      return { kind: 'challenge', reply: handshakeRecord(3, body, 0), cookie: 'absent' };
    },
  }),
};

/** A cipher to go with it: nothing is hidden, but a record of other keys or with a changed octet does not open. */
export const QUICK_CIPHER: RecordCipher = {
  seal(keys, epoch, sequence, connectionId, contentType, fragment) {
    const type = connectionId.length > 0 ? CONTENT.withConnectionId : contentType;
    const inner = new Writer(fragment.length + 1).bytes(fragment).uint(contentType, 1).take();
    const tag = tagOf(keys, epoch, sequence, inner);
    const body = new Writer(inner.length + 24).uint(0, 4).uint(tag, 4).bytes(PADDING).bytes(inner).take();
    return writeRecord({ type, version: 0xfefd, epoch, sequence, connectionId, fragment: body });
  },
  open(keys, record) {
    const r = new Reader(record.fragment);
    r.uint(4);
    const tag = r.uint(4);
    r.view(PADDING.length);
    const inner = r.rest();
    if (!r.ok || inner.length === 0 || tag !== tagOf(keys, record.epoch, record.sequence, inner)) return undefined;
    return { contentType: inner[inner.length - 1] ?? 0, fragment: inner.slice(0, -1) };
  },
};

const PADDING = new Uint8Array(16);

/** A message of type 20 with number 0 and a body of zeros. */
const FINISHED = Uint8Array.of(20, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 12, ...new Uint8Array(12));
const ONE = 1 as Epoch;

class QuickEngine implements SansIo {
  state: SansIo['state'] = 'idle';
  readonly #options: ConnectionOptions;
  readonly #hello: Uint8Array | undefined;
  readonly #random: Uint8Array;
  #peerRandom: Uint8Array | undefined;
  #peerId: Uint8Array = new Uint8Array(0);
  #peer: Fingerprint | undefined;
  #protocol = false;
  #cookie = 0;
  #effects: Effect[] = [];
  #flight: (() => void) | undefined;
  #answered = false;
  #timeout = 0;
  #resendAt: Instant | undefined;
  #giveUpAt: Instant | undefined;
  #plainNumber = 0;
  #sealedNumber = 0;
  #resent = 0;
  #accepted: SequenceNumber[] = [];
  readonly #early: RecordView[] = [];

  constructor(options: ConnectionOptions, hello: Uint8Array | undefined) {
    this.#options = options;
    this.#hello = hello;
    this.#random = options.crypto?.random(32) ?? new Uint8Array(32);
  }

  get deadline(): Instant | undefined {
    return this.state === 'handshaking' ? earliest(this.#resendAt, this.#giveUpAt) : undefined;
  }

  start(now: Instant): void {
    this.state = 'handshaking';
    this.#giveUpAt = later(now, this.#options.handshakeTimeout ?? ms(90_000));
    if (this.#hello === undefined) this.#say(() => this.#sendHello(), now);
    else {
      const hello = parseHello(this.#hello);
      if (hello === undefined) return;
      this.#peerRandom = hello.random;
      this.#peerId = hello.id;
      this.#protocol = hello.speaks && (this.#options.protocols ?? []).length > 0;
      this.#say(() => this.#sendServerHello(), now);
    }
  }

  receive(datagram: Uint8Array, now: Instant): void {
    for (const record of recordsIn(datagram, 8)) {
      if (record === undefined || this.state === 'closed') return;
      if (record.epoch === 0) this.#plain(record, now);
      else if (this.state === 'handshaking') this.#protected(record, now);
    }
  }

  receiveOpened(contentType: number, fragment: Uint8Array): void {
    if (this.state !== 'established') return;
    if (contentType === CONTENT.alert && fragment[1] === 0) {
      this.#effects.push({ kind: 'seal', contentType: 21, fragment: Uint8Array.of(1, 0) });
      this.#close({ code: 'closed', by: 'peer', alert: 0, seen: undefined, expected: undefined });
    }
    if (contentType === CONTENT.handshake && this.#options.role === 'server') {
      this.#effects.push({ kind: 'transmit', datagram: this.#record(CONTENT.changeCipherSpec, Uint8Array.of(1)) });
      this.#effects.push({ kind: 'seal', contentType: 22, fragment: FINISHED });
    }
  }

  send(): boolean {
    return false;
  }

  close(code: CloseCode): void {
    if (this.state === 'closed') return;
    if (this.state === 'established') {
      this.#effects.push({ kind: 'seal', contentType: 21, fragment: Uint8Array.of(1, 0) });
    } else if (this.state === 'handshaking') {
      this.#effects.push({ kind: 'transmit', datagram: this.#record(CONTENT.alert, Uint8Array.of(2, 40)) });
    }
    this.#close({ code, by: 'local', alert: undefined, seen: undefined, expected: undefined });
  }

  setMaxDatagram(): void {}

  tick(now: Instant): void {
    if (this.state !== 'handshaking') return;
    if (this.#giveUpAt !== undefined && now >= this.#giveUpAt) {
      this.#close({ code: 'timeout', by: 'local', alert: undefined, seen: undefined, expected: undefined });
    } else if (this.#resendAt !== undefined && now >= this.#resendAt) {
      this.#resent++;
      this.#timeout = Math.min(this.#timeout * 2, this.#options.maxTimeout ?? 60_000);
      this.#resendAt = later(now, ms(this.#timeout));
      this.#flight?.();
    }
  }

  poll(): Effect | undefined {
    return this.#effects.shift();
  }

  continuation(): Continuation | undefined {
    if (this.state !== 'established') return undefined;
    const nextPlain = this.#plainNumber as SequenceNumber;
    const lastFlight = this.#options.role === 'server' ? { answers: 0, nextPlain, finished: FINISHED } : undefined;
    return { lastFlight, renegotiationAlerts: 0 };
  }

  #say(flight: () => void, now: Instant): void {
    this.#flight = flight;
    this.#timeout = this.#options.initialTimeout ?? 1000;
    this.#resendAt = later(now, ms(this.#timeout));
    flight();
  }

  #plain(record: RecordView, now: Instant): void {
    if (record.type !== CONTENT.handshake || this.state !== 'handshaking') return;
    const r = new Reader(record.fragment);
    const type = r.uint(1);
    r.view(11);
    if (!r.ok) return;
    if (this.#options.role === 'client') {
      if (type === 3 && this.#peer === undefined) {
        const cookie = r.uint(4);
        if (cookie === this.#cookie) return;
        this.#cookie = cookie;
        this.#say(() => this.#sendHello(), now);
      } else if (type === 2 && this.#peer === undefined) this.#serverHello(r, now);
    } else if (type === 1) this.#flight?.();
    else if (type === 11) this.#certificate(r);
  }

  #serverHello(r: Reader, now: Instant): void {
    const random = r.view(32).slice();
    const echo = r.view(32);
    this.#peerId = r.vector(1).slice();
    const fingerprint = Buffer.from(r.view(32)).toString('hex') as Fingerprint;
    this.#protocol = r.uint(1) === 1;
    if (!r.ok || !equalBytes(echo, this.#random)) return;
    this.#peerRandom = random;
    if (!this.#accept(fingerprint)) return;
    this.#say(() => this.#sendClientFlight(), now);
  }

  #certificate(r: Reader): void {
    const echo = r.view(32);
    const fingerprint = Buffer.from(r.view(32)).toString('hex') as Fingerprint;
    if (!r.ok || !equalBytes(echo, this.#random) || this.#peer !== undefined) return;
    if (!this.#accept(fingerprint)) return;
    for (const record of this.#early.splice(0)) this.#protected(record, 0 as Instant);
  }

  #accept(fingerprint: Fingerprint): boolean {
    if (this.#options.authorize(fingerprint) !== undefined) {
      this.#peer = fingerprint;
      return true;
    }
    this.#effects.push({ kind: 'transmit', datagram: this.#record(CONTENT.alert, Uint8Array.of(2, 46)) });
    const expected = this.#options.expected;
    this.#close({ code: 'unknown_fingerprint', by: 'local', alert: 46, seen: fingerprint, expected });
    return false;
  }

  #protected(record: RecordView, _now: Instant): void {
    if (this.#peer === undefined) {
      if (this.#early.length < 4) this.#early.push({ ...record, fragment: record.fragment.slice() });
      return;
    }
    const keys = this.#keys();
    const opened = QUICK_CIPHER.open(keys.read, record);
    if (opened === undefined || this.#accepted.includes(record.sequence)) return;
    if (opened.contentType !== CONTENT.handshake) {
      if (this.state === 'handshaking' && this.#early.length < 4) {
        this.#early.push({ ...record, fragment: record.fragment.slice() });
      }
      return;
    }
    this.#accepted.push(record.sequence);
    if (!this.#answered) this.#complete(keys);
  }

  #complete(keys: { readonly read: RecordKeys; readonly write: RecordKeys }): void {
    this.#answered = true;
    this.state = 'established';
    const finished: Uint8Array[] = [];
    if (this.#options.role === 'server') {
      finished.push(this.#record(CONTENT.changeCipherSpec, Uint8Array.of(1)), this.#finished(keys.write));
    }
    const held: Uint8Array[] = [];
    for (const record of this.#early.splice(0)) {
      const opened = QUICK_CIPHER.open(keys.read, record);
      if (opened?.contentType !== CONTENT.applicationData || this.#accepted.includes(record.sequence)) continue;
      this.#accepted.push(record.sequence);
      held.push(opened.fragment);
    }
    this.#effects.push({
      kind: 'install',
      keys: {
        ...keys,
        epoch: ONE,
        nextWrite: this.#sealedNumber as SequenceNumber,
        accepted: this.#accepted,
        ourConnectionId: this.#options.connectionId ?? new Uint8Array(0),
        peerConnectionId: this.#peerId,
        connectionIdsAgreed: this.#peerId.length > 0,
      },
      protocol: this.#protocol ? this.#options.protocols?.[0] : undefined,
    });
    for (const datagram of finished) this.#effects.push({ kind: 'transmit', datagram });
    this.#effects.push({
      kind: 'established',
      session: {
        role: this.#options.role,
        peer: this.#peer ?? ('' as Fingerprint),
        suite: 'QUICK',
        group: 'x25519',
        protocol: this.#protocol ? this.#options.protocols?.[0] : undefined,
        extendedMasterSecret: true,
        connectionIds: this.#peerId.length > 0,
        retransmissions: this.#resent,
        peerCertificate: new Uint8Array(0),
      },
    });
    for (const payload of held) this.#effects.push({ kind: 'data', payload });
  }

  #sendHello(): void {
    const body = new Writer()
      .uint(0xfefd, 2)
      .bytes(this.#random)
      .uint(this.#cookie, 4)
      .vector(1, this.#options.connectionId ?? new Uint8Array(0))
      .uint((this.#options.protocols ?? []).length > 0 ? 1 : 0, 1)
      .bytes(new Uint8Array(90));
    this.#transmit(handshakeRecord(1, body.take(), this.#plainNumber++));
  }

  #sendServerHello(): void {
    const body = new Writer()
      .bytes(this.#random)
      .bytes(this.#peerRandom ?? new Uint8Array(32))
      .vector(1, this.#options.connectionId ?? new Uint8Array(0))
      .bytes(Buffer.from(this.#options.identity.fingerprint, 'hex'))
      .uint(this.#protocol ? 1 : 0, 1)
      .bytes(new Uint8Array(500));
    this.#transmit(handshakeRecord(2, body.take(), this.#plainNumber++));
  }

  #sendClientFlight(): void {
    const certificate = new Writer()
      .bytes(this.#peerRandom ?? new Uint8Array(32))
      .bytes(Buffer.from(this.#options.identity.fingerprint, 'hex'))
      .bytes(new Uint8Array(400));
    this.#transmit(handshakeRecord(11, certificate.take(), this.#plainNumber++));
    this.#transmit(this.#record(CONTENT.changeCipherSpec, Uint8Array.of(1)));
    this.#transmit(this.#finished(this.#keys().write));
  }

  #finished(write: RecordKeys): Uint8Array {
    const sequence = this.#sealedNumber++ as SequenceNumber;
    return QUICK_CIPHER.seal(write, ONE, sequence, this.#peerId, CONTENT.handshake, FINISHED);
  }

  #keys(): { readonly read: RecordKeys; readonly write: RecordKeys } {
    const other = this.#peerRandom ?? new Uint8Array(32);
    const [client, server] = this.#options.role === 'client' ? [this.#random, other] : [other, this.#random];
    const key = (direction: number): RecordKeys => {
      const octets = new Writer(16);
      for (let i = 0; i < 4; i++) octets.uint(digest([direction, i, ...client, ...server]), 4);
      return new RecordKeys('aes-128-gcm', octets.take(), new Uint8Array(4));
    };
    return this.#options.role === 'client' ? { write: key(1), read: key(2) } : { write: key(2), read: key(1) };
  }

  #record(type: number, fragment: Uint8Array): Uint8Array {
    const sequence = this.#plainNumber++ as SequenceNumber;
    return writeRecord({
      type,
      version: 0xfefd,
      epoch: 0 as Epoch,
      sequence,
      connectionId: new Uint8Array(0),
      fragment,
    });
  }

  #transmit(datagram: Uint8Array): void {
    this.#effects.push({ kind: 'transmit', datagram });
  }

  #close(reason: CloseReason): void {
    this.state = 'closed';
    this.#effects.push({ kind: 'closed', reason });
  }
}

interface Hello {
  readonly random: Uint8Array;
  readonly cookie: number;
  readonly id: Uint8Array;
  readonly speaks: boolean;
}

function parseHello(datagram: Uint8Array): Hello | undefined {
  const r = new Reader(datagram);
  r.view(13);
  const type = r.uint(1);
  r.view(11);
  r.uint(2);
  const random = r.view(32).slice();
  const cookie = r.uint(4);
  const id = r.vector(1).slice();
  const speaks = r.uint(1) === 1;
  return r.ok && type === 1 ? { random, cookie, id, speaks } : undefined;
}

/** A whole handshake message in a record of its own. */
function handshakeRecord(type: number, body: Uint8Array, number: number): Uint8Array {
  const fragment = new Writer(12 + body.length)
    .uint(type, 1)
    .uint(body.length, 3)
    .uint(0, 2)
    .uint(0, 3)
    .uint(body.length, 3)
    .bytes(body)
    .take();
  const sequence = number as SequenceNumber;
  return writeRecord({
    type: CONTENT.handshake,
    version: 0xfefd,
    epoch: 0 as Epoch,
    sequence,
    connectionId: new Uint8Array(0),
    fragment,
  });
}

/** FNV-1a, never zero. */
function digest(octets: Iterable<number>): number {
  let hash = 0x811c9dc5;
  for (const octet of octets) hash = Math.imul(hash ^ octet, 0x01000193) >>> 0;
  return hash === 0 ? 1 : hash;
}

function tagOf(keys: RecordKeys, epoch: number, sequence: number, inner: Uint8Array): number {
  let hash = digest(keys.key);
  hash = Math.imul(hash ^ epoch ^ sequence, 0x01000193) >>> 0;
  for (let i = 0; i < inner.length; i += inner.length > 200 ? 7 : 1) {
    hash = Math.imul(hash ^ (inner[i] ?? 0), 0x01000193) >>> 0;
  }
  return hash;
}
