import type { Epoch, Instant, SequenceNumber } from '../../src/base/brand.ts';
import type { RecordKeys } from '../../src/crypto/aead.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { createKeyShare, type KeyShare, type ShareGroup } from '../../src/crypto/key-share.ts';
import { type SignatureScheme, schemeCode, signWith } from '../../src/crypto/signature.ts';
import { Connection } from '../../src/dtls/connection.ts';
import type { CloseReason } from '../../src/dtls/effects.ts';
import type { Extension } from '../../src/dtls/extensions/extension.ts';
import { masterSecret, recordKeys, verifyData } from '../../src/dtls/handshake/key-schedule.ts';
import { fragmentsIn, Reassembly, type WholeMessage } from '../../src/dtls/handshake/reassembly.ts';
import { Transcript } from '../../src/dtls/handshake/transcript.ts';
import { Listener } from '../../src/dtls/listener.ts';
import type { ClientHello } from '../../src/dtls/messages/client-hello.ts';
import { type Message, parseMessage, writeMessage } from '../../src/dtls/messages/message.ts';
import type { ServerHello } from '../../src/dtls/messages/server-hello.ts';
import { type ServerKeyExchange, signedParameters } from '../../src/dtls/messages/server-key-exchange.ts';
import { HANDSHAKE_CODES } from '../../src/dtls/messages/types.ts';
import { openRecord, sealRecord } from '../../src/dtls/protection.ts';
import { recordsIn, writeRecord } from '../../src/dtls/record.ts';
import { SUITES } from '../../src/dtls/suites.ts';
import { CLIENT_ADDRESS, CLIENT_IDENTITY, SERVER_IDENTITY, Side, type SideOptions, sideOptions } from './pair.ts';
import { SeededRandom } from './seeded-random.ts';
import { VirtualClock } from './virtual-clock.ts';

/** The suite a bad peer speaks unless told otherwise. */
const [SUITE] = SUITES;
const GROUP: ShareGroup = 'x25519';
const GROUP_CODE = 29;
const SCHEME: SignatureScheme = 'ecdsa_secp256r1_sha256';
const NO_ID = new Uint8Array(0);

/** How a record of a bad peer differs from a proper one. */
export interface RecordOverrides {
  readonly epoch?: number;
  readonly sequence?: number;
  readonly version?: number;
}

/**
 * A peer that can be told to misbehave at every step, built from the engine's own writers: it does a proper handshake
 * as long as it is not told otherwise. The engine under test is `side`, on virtual time.
 */
abstract class BadPeer {
  readonly clock = new VirtualClock();
  readonly random = new SeededRandom(99);
  readonly identity: Identity;
  abstract readonly side: Side;
  /** Everything the engine sent, in order. */
  readonly received: Uint8Array[] = [];
  /** Alerts the engine sent, by description. */
  readonly alerts: number[] = [];
  /** What the engine said, by type of message, the latest of each. */
  readonly heard = new Map<string, Message>();
  transcript = Transcript.EMPTY;
  keys: { read: RecordKeys; write: RecordKeys } | undefined;
  master: Uint8Array = new Uint8Array(48);
  nextMessage = 0;
  /** The id that our protected records carry; empty: none. */
  sealId: Uint8Array = NO_ID;
  /** Length of the id in the engine's protected records. */
  ourIdLength = 0;
  /** Payloads that the engine sent under the keys. */
  readonly data: string[] = [];
  protected share: KeyShare;
  #reassembly: Reassembly | undefined;
  #next: [number, number] = [0, 0];

  constructor(identity: Identity) {
    this.identity = identity;
    this.share = createKeyShare(GROUP, (length) => this.random.random(length));
  }

  get now(): Instant {
    return this.clock.now;
  }

  /** Why the engine ended the association. */
  get closed(): CloseReason | undefined {
    return this.side.closed;
  }

  /** A message with its header and the next number; part of the transcript from now on. */
  message(message: Message): Uint8Array {
    const raw = writeMessage(message, this.nextMessage++);
    this.transcript = this.transcript.with(raw);
    return raw;
  }

  /** A record; under the keys when its epoch is not 0. */
  record(type: number, fragment: Uint8Array, overrides: RecordOverrides = {}): Uint8Array {
    const epoch = overrides.epoch ?? 0;
    const slot = epoch === 0 ? 0 : 1;
    const sequence = overrides.sequence ?? this.#next[slot]++;
    if (epoch > 0 && this.keys !== undefined) {
      return sealRecord(this.keys.write, epoch as Epoch, sequence as SequenceNumber, this.sealId, type, fragment);
    }
    const version = overrides.version ?? 0xfefd;
    const header = { type, version, epoch: epoch as Epoch, sequence: sequence as SequenceNumber };
    return writeRecord({ ...header, connectionId: NO_ID, fragment });
  }

  /** Hands octets to the engine as one datagram and takes what it answers. */
  deliver(datagram: Uint8Array): void {
    this.side.connection.receive(datagram, this.now);
    this.collect();
  }

  /** Sends handshake messages, each in a record of its own, in one datagram. */
  send(...raws: readonly Uint8Array[]): void {
    this.deliver(new Uint8Array(raws.flatMap((raw) => [...this.record(22, raw)])));
  }

  /** Sends one handshake message cut into pieces of `size` octets, a datagram each. */
  sendFragments(raw: Uint8Array, size: number): void {
    for (const fragment of cutFragments(raw, size)) this.deliver(this.record(22, fragment));
  }

  changeCipherSpec(): void {
    this.deliver(this.record(20, new Uint8Array([1])));
  }

  /** Application data under the keys. */
  say(text: string, overrides: RecordOverrides = {}): void {
    this.deliver(this.record(23, new TextEncoder().encode(text), { epoch: 1, ...overrides }));
  }

  /** Lets time pass and the engine's timers fire, up to `ms`. */
  pass(ms: number): void {
    const end = (this.now + ms) as Instant;
    for (;;) {
      const { deadline } = this.side.connection;
      if (deadline === undefined || deadline > end) break;
      this.clock.advanceTo(deadline);
      this.side.connection.tick(this.now);
      this.collect();
    }
    this.clock.advanceTo(end);
  }

  /** Takes and reads what the engine wants sent. */
  collect(): void {
    this.side.drain((datagram) => {
      this.received.push(datagram.slice());
      for (const record of recordsIn(datagram, this.ourIdLength)) {
        if (record === undefined) throw new Error('the engine sent half a record');
        const opened =
          record.epoch === 0 || this.keys === undefined
            ? { contentType: record.type, fragment: record.fragment }
            : openRecord(this.keys.read, record);
        if (opened === undefined) continue;
        if (opened.contentType === 21) this.alerts.push(opened.fragment[1] ?? -1);
        else if (opened.contentType === 23) this.data.push(new TextDecoder().decode(opened.fragment));
        else if (opened.contentType === 22) this.#hear(opened.fragment);
      }
    });
  }

  /** What was heard of this type; fails the test when nothing was. */
  latest<T extends Message['type']>(type: T): Extract<Message, { readonly type: T }> {
    const message = this.heard.get(type);
    if (message === undefined || !isOfType(message, type)) throw new Error(`the engine sent no ${type}`);
    return message;
  }

  /** Master secret and keys from `premaster`; `readsAs` is the side whose records we read. */
  protected derive(premaster: Uint8Array, client: Uint8Array, server: Uint8Array, isClient: boolean): void {
    if (SUITE === undefined) throw new Error('no suites');
    const randoms = { client, server };
    this.master = masterSecret(SUITE, premaster, true, this.transcript, randoms);
    const keys = recordKeys(SUITE, this.master, randoms);
    this.keys = isClient ? { read: keys.server, write: keys.client } : { read: keys.client, write: keys.server };
  }

  /** verify_data over everything so far, with this master secret. */
  verifyData(sender: 'client' | 'server', master = this.master, transcript = this.transcript): Uint8Array {
    if (SUITE === undefined) throw new Error('no suites');
    return verifyData(SUITE, master, sender, transcript);
  }

  #hear(fragment: Uint8Array): void {
    for (const piece of fragmentsIn(fragment)) {
      if (piece === undefined) throw new Error('the engine sent half a fragment');
      if (piece.code === HANDSHAKE_CODES.hello_verify_request) {
        const challenge = parseMessage('hello_verify_request', piece.data);
        if (challenge !== undefined) this.heard.set(challenge.type, challenge);
        continue;
      }
      this.#reassembly ??= new Reassembly(piece.sequence);
      this.#reassembly.add(piece);
      for (let whole = this.#reassembly.take(); whole !== undefined; whole = this.#reassembly.take()) this.#take(whole);
    }
  }

  #take(whole: WholeMessage): void {
    const message = parseMessage(whole.type, whole.body);
    if (message === undefined) throw new Error(`the engine sent a ${whole.type} that does not parse`);
    this.heard.set(message.type, message);
    this.transcript = this.transcript.with(whole.raw);
    this.onMessage(message);
  }

  /** What a proper peer does on hearing a message. */
  protected abstract onMessage(message: Message): void;
}

/** A client that may misbehave, in front of a server engine behind its listener. */
export class BadClient extends BadPeer {
  readonly listener = new Listener({ crypto: new SeededRandom(5) });
  readonly #options: SideOptions;
  #side: Side | undefined;
  hello: ClientHello;

  constructor(options: SideOptions = {}, identity: Identity = CLIENT_IDENTITY) {
    super(identity);
    this.#options = options;
    this.hello = properHello(this.random);
  }

  get side(): Side {
    if (this.#side === undefined) throw new Error('the listener has accepted nothing');
    return this.#side;
  }

  /** Whether the listener let us in. */
  get accepted(): boolean {
    return this.#side !== undefined;
  }

  /** Sends a hello to the listener and takes its verdict. */
  knock(
    hello: ClientHello,
    overrides: RecordOverrides & { readonly number?: number; readonly from?: Uint8Array } = {},
  ) {
    const raw = writeMessage(hello, overrides.number ?? (hello.cookie.length > 0 ? 1 : 0));
    return this.knockWith(this.record(22, raw, overrides), overrides.from);
  }

  /** Sends any datagram to the listener and takes its verdict. */
  knockWith(datagram: Uint8Array, from: Uint8Array = CLIENT_ADDRESS) {
    return this.listener.receive(from, datagram, this.now);
  }

  /** The cookie for a hello. */
  cookieFor(hello: ClientHello, from: Uint8Array = CLIENT_ADDRESS): Uint8Array {
    const verdict = this.knock(hello, { from });
    if (verdict.kind !== 'challenge') throw new Error(`expected a challenge, not ${JSON.stringify(verdict)}`);
    const [record] = recordsIn(verdict.reply, 0);
    const challenge = parseMessage('hello_verify_request', record?.fragment.subarray(12) ?? NO_ID);
    if (challenge?.type !== 'hello_verify_request') throw new Error('no challenge in the reply');
    return challenge.cookie;
  }

  /** Both hellos; the server's flight is heard afterwards. */
  greet(changes: Partial<ClientHello> = {}, overrides: RecordOverrides = {}): void {
    this.hello = { ...this.hello, ...changes };
    this.hello = { ...this.hello, cookie: this.cookieFor(this.hello) };
    this.nextMessage = 1;
    const raw = this.message(this.hello);
    const verdict = this.knockWith(this.record(22, raw, overrides));
    if (verdict.kind !== 'accept') throw new Error(`not accepted: ${JSON.stringify(verdict)}`);
    const options = sideOptions('server', new SeededRandom(7), this.#options);
    this.#side = new Side(new Connection(options, verdict.hello));
    this.#side.connection.start(this.now);
    this.collect();
  }

  certificate(chain: readonly Uint8Array[] = this.identity.certificates): Uint8Array {
    return this.message({ type: 'certificate', chain });
  }

  /** ClientKeyExchange; the keys are known afterwards. */
  keyExchange(publicKey: Uint8Array = this.share.publicKey): Uint8Array {
    const raw = this.message({ type: 'client_key_exchange', publicKey });
    const premaster = this.share.derive(this.latest('server_key_exchange').publicKey);
    if (premaster === undefined) throw new Error('no key share');
    this.derive(premaster, this.hello.random, this.latest('server_hello').random, true);
    return raw;
  }

  certificateVerify(
    changes: { readonly scheme?: number; readonly signature?: Uint8Array; readonly identity?: Identity } = {},
  ): Uint8Array {
    const { privateKey } = changes.identity ?? this.identity;
    const signature = changes.signature ?? signWith(SCHEME, privateKey, this.transcript.bytes());
    return this.message({ type: 'certificate_verify', scheme: changes.scheme ?? schemeCode(SCHEME), signature });
  }

  finished(data = this.verifyData('client')): Uint8Array {
    return this.message({ type: 'finished', verifyData: data });
  }

  /** Our whole second flight, ChangeCipherSpec and Finished included. */
  completeProperly(): void {
    this.send(this.certificate(), this.keyExchange(), this.certificateVerify());
    this.changeCipherSpec();
    this.deliver(this.record(22, this.finished(), { epoch: 1 }));
  }

  protected override onMessage(_message: Message): void {}
}

/** A server that may misbehave, in front of a client engine. */
export class BadServer extends BadPeer {
  readonly side: Side;
  serverRandom: Uint8Array;

  constructor(options: SideOptions = {}, identity: Identity = SERVER_IDENTITY) {
    super(identity);
    this.serverRandom = this.random.random(32);
    this.side = new Side(new Connection(sideOptions('client', new SeededRandom(7), options)));
    this.side.connection.start(this.now);
    this.collect();
  }

  get clientHello(): ClientHello {
    return this.latest('client_hello');
  }

  serverHello(changes: Partial<ServerHello> = {}): Uint8Array {
    const extensions: readonly Extension[] = [
      { type: 'extended_master_secret' },
      { type: 'renegotiation_info', renegotiatedConnection: new Uint8Array(0) },
    ];
    return this.message({
      type: 'server_hello',
      version: 0xfefd,
      random: this.serverRandom,
      sessionId: new Uint8Array(0),
      suite: SUITE?.code ?? 0,
      compression: 0,
      extensions,
      ...changes,
    });
  }

  certificate(chain: readonly Uint8Array[] = this.identity.certificates): Uint8Array {
    return this.message({ type: 'certificate', chain });
  }

  keyExchange(changes: Partial<ServerKeyExchange> & { readonly identity?: Identity } = {}): Uint8Array {
    const key = { group: changes.group ?? GROUP_CODE, publicKey: changes.publicKey ?? this.share.publicKey };
    const signed = signedParameters(this.clientHello.random, this.serverRandom, key);
    const signature = changes.signature ?? signWith(SCHEME, (changes.identity ?? this.identity).privateKey, signed);
    const scheme = changes.scheme ?? schemeCode(SCHEME);
    return this.message({ type: 'server_key_exchange', ...key, scheme, signature });
  }

  certificateRequest(schemes: readonly number[] = [schemeCode(SCHEME)]): Uint8Array {
    return this.message({ type: 'certificate_request', certificateTypes: [64, 1], schemes });
  }

  helloDone(): Uint8Array {
    return this.message({ type: 'server_hello_done' });
  }

  finished(data = this.verifyData('server')): Uint8Array {
    return this.message({ type: 'finished', verifyData: data });
  }

  /** The flight that follows a hello. */
  flight(): Uint8Array[] {
    return [this.serverHello(), this.certificate(), this.keyExchange(), this.certificateRequest(), this.helloDone()];
  }

  /** From the hello to the end. */
  completeProperly(): void {
    this.send(...this.flight());
    this.changeCipherSpec();
    this.deliver(this.record(22, this.finished(), { epoch: 1 }));
  }

  protected override onMessage(message: Message): void {
    if (message.type !== 'client_key_exchange') return;
    const premaster = this.share.derive(message.publicKey);
    if (premaster !== undefined) this.derive(premaster, this.clientHello.random, this.serverRandom, false);
  }
}

/** A hello that every server of ours accepts once it carries the right cookie. */
export function properHello(random: SeededRandom): ClientHello {
  return {
    type: 'client_hello',
    version: 0xfefd,
    random: random.random(32),
    sessionId: new Uint8Array(0),
    cookie: new Uint8Array(0),
    suites: [SUITE?.code ?? 0],
    compressions: new Uint8Array([0]),
    extensions: [
      { type: 'extended_master_secret' },
      { type: 'supported_groups', groups: [GROUP_CODE] },
      { type: 'signature_algorithms', schemes: [schemeCode(SCHEME)] },
    ],
  };
}

/** A handshake message cut into fragments of `size` octets. */
export function cutFragments(raw: Uint8Array, size: number): Uint8Array[] {
  const fragments: Uint8Array[] = [];
  const length = raw.length - 12;
  for (let offset = 0; offset < length || fragments.length === 0; offset += size) {
    fragments.push(fragmentOf(raw, offset, Math.min(size, length - offset)));
  }
  return fragments;
}

/** One fragment of a handshake message; `claims` changes what its header says. */
export function fragmentOf(
  raw: Uint8Array,
  offset: number,
  size: number,
  claims: {
    readonly type?: number;
    readonly length?: number;
    readonly sequence?: number;
    readonly offset?: number;
  } = {},
): Uint8Array {
  const u24 = (value: number) => [(value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff];
  const sequence = claims.sequence ?? (raw[4] ?? 0) * 256 + (raw[5] ?? 0);
  return new Uint8Array([
    claims.type ?? raw[0] ?? 0,
    ...u24(claims.length ?? raw.length - 12),
    sequence >> 8,
    sequence & 0xff,
    ...u24(claims.offset ?? offset),
    ...u24(size),
    ...raw.slice(12 + offset, 12 + offset + size),
  ]);
}

function isOfType<T extends Message['type']>(
  message: Message,
  type: T,
): message is Extract<Message, { readonly type: T }> {
  return message.type === type;
}
