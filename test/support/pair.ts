import { earliest, type Instant } from '../../src/base/brand.ts';
import { createSelfSigned, readIdentity } from '../../src/crypto/certificate.ts';
import { formatFingerprint } from '../../src/crypto/fingerprint.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { Connection } from '../../src/dtls/connection.ts';
import type { CloseReason, EpochKeys, Established } from '../../src/dtls/effects.ts';
import { Listener } from '../../src/dtls/listener.ts';
import type { ConnectionOptions } from '../../src/dtls/options.ts';
import { LinkDirection, type LinkQuality } from './link.ts';
import { SeededRandom } from './seeded-random.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Key types there are identities of. */
export type KeyType = 'p256' | 'p384' | 'ed25519' | 'rsa2048';

const made = new Map<string, Promise<Identity>>();

/** An identity of this key type; the same for the same name within a test file. */
export function identityOf(keyType: KeyType, name = 'a'): Promise<Identity> {
  const key = `${keyType} ${name}`;
  const known = made.get(key) ?? makeIdentity(keyType, name);
  made.set(key, known);
  return known;
}

async function makeIdentity(keyType: KeyType, name: string): Promise<Identity> {
  const { certificatePem, privateKeyPem } = await createSelfSigned({ commonName: name, days: 1, keyType, now: 1.8e9 });
  const identity = readIdentity(certificatePem, privateKeyPem);
  if (!identity.ok) throw new Error(identity.error.detail);
  return identity.value;
}

/** The two identities most tests use. */
export const CLIENT_IDENTITY = await identityOf('p256', 'client');
export const SERVER_IDENTITY = await identityOf('p256', 'server');

/** Options of one side that differ from the usual ones. */
export type SideOptions = Partial<Omit<ConnectionOptions, 'role'>>;

/** How a pair differs from the usual. */
export interface PairOptions {
  readonly seed?: number;
  readonly client?: SideOptions;
  readonly server?: SideOptions;
  readonly quality?: LinkQuality;
  readonly cookies?: boolean;
}

/** One engine with what it has said so far. */
export class Side {
  connection: Connection;
  session: Established | undefined;
  closed: CloseReason | undefined;
  installed: EpochKeys | undefined;
  readonly received: Uint8Array[] = [];
  readonly sealed: { readonly contentType: number; readonly fragment: Uint8Array }[] = [];
  /** Kinds of all effects in order. */
  readonly effects: string[] = [];

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Drains the engine: datagrams go to `out`. */
  drain(out: (datagram: Uint8Array) => void): void {
    for (let effect = this.connection.poll(); effect !== undefined; effect = this.connection.poll()) {
      this.effects.push(effect.kind);
      switch (effect.kind) {
        case 'transmit':
          out(effect.datagram);
          break;
        case 'established':
          this.session = effect.session;
          break;
        case 'data':
          this.received.push(effect.payload);
          break;
        case 'closed':
          this.closed = effect.reason;
          break;
        case 'install':
          this.installed = effect.keys;
          break;
        case 'seal':
          this.sealed.push(effect);
          break;
      }
    }
  }

  /** Payloads received, as text. */
  get texts(): string[] {
    return this.received.map((payload) => new TextDecoder().decode(payload));
  }
}

/** The options of one side with everything filled in: it accepts exactly `peer`. */
export function sideOptions(
  role: 'client' | 'server',
  random: SeededRandom,
  overrides: SideOptions = {},
): ConnectionOptions {
  const peer = role === 'client' ? SERVER_IDENTITY : CLIENT_IDENTITY;
  return {
    role,
    identity: role === 'client' ? CLIENT_IDENTITY : SERVER_IDENTITY,
    authorize: (seen) => (seen === peer.fingerprint ? { allowLegacyPeer: false } : undefined),
    expected: formatFingerprint(peer.fingerprint),
    crypto: random,
    ...overrides,
  };
}

/** The client's address as the listener of a pair sees it. */
export const CLIENT_ADDRESS = new Uint8Array([192, 0, 2, 1, 0x12, 0x34]);

/**
 * A client and a listening server on virtual time with a bad link between them. `drive` runs everything that is due,
 * jumping from deadline to deadline.
 */
export class Pair {
  readonly clock = new VirtualClock();
  readonly random: SeededRandom;
  readonly link: { readonly toClient: LinkDirection; readonly toServer: LinkDirection };
  readonly client: Side;
  readonly listener: Listener;
  /** Made when the listener has accepted a hello. */
  server: Side | undefined;
  readonly #serverOptions: ConnectionOptions;
  readonly #begun: Instant;

  constructor(options: PairOptions = {}) {
    const { seed = 1, quality = {} } = options;
    this.random = new SeededRandom(seed);
    this.link = {
      toClient: new LinkDirection(quality, this.random),
      toServer: new LinkDirection(quality, this.random),
    };
    this.#serverOptions = sideOptions('server', this.random, options.server);
    this.listener = new Listener({ crypto: this.random, cookies: options.cookies ?? true });
    this.client = new Side(new Connection(sideOptions('client', this.random, options.client)));
    this.#begun = this.clock.now;
    this.client.connection.start(this.clock.now);
    this.drain();
  }

  /** Both sides have completed the handshake. */
  get established(): boolean {
    return this.client.session !== undefined && this.server?.session !== undefined;
  }

  /** Milliseconds of virtual time since the start. */
  get elapsed(): number {
    return this.clock.now - this.#begun;
  }

  /** The server side, which must exist by now. */
  get accepted(): Side {
    if (this.server === undefined) throw new Error('the listener has accepted nothing yet');
    return this.server;
  }

  /** Runs until `done`, until nothing is due any more, or until `limit` milliseconds have passed. */
  drive(done: () => boolean = () => false, limit = 600_000): this {
    const end = this.clock.now + limit;
    while (!done()) {
      const next = this.deadline;
      if (next === undefined || next > end) break;
      this.clock.advanceTo(next);
      this.step();
    }
    return this;
  }

  /** Runs until both sides are established; fails the test when they never are. */
  connect(): this {
    this.drive(() => this.established);
    if (!this.established) {
      throw new Error(
        `no handshake: client ${JSON.stringify(this.client.closed)} server ${JSON.stringify(this.server?.closed)}`,
      );
    }
    return this;
  }

  /** The earliest thing that is due. */
  get deadline(): Instant | undefined {
    const links = earliest(this.link.toClient.deadline, this.link.toServer.deadline);
    return earliest(links, earliest(this.client.connection.deadline, this.server?.connection.deadline));
  }

  /** Delivers what has arrived and lets timers fire. */
  step(): void {
    const { now } = this.clock;
    for (let d = this.link.toServer.take(now); d !== undefined; d = this.link.toServer.take(now)) this.toServer(d);
    for (let d = this.link.toClient.take(now); d !== undefined; d = this.link.toClient.take(now)) {
      this.client.connection.receive(d, now);
      this.drain();
    }
    if (isDue(this.client.connection.deadline, now)) this.client.connection.tick(now);
    if (isDue(this.server?.connection.deadline, now)) this.server?.connection.tick(now);
    this.drain();
  }

  /** Hands a datagram to the server, past the link. */
  toServer(datagram: Uint8Array): void {
    const { now } = this.clock;
    if (this.server === undefined) {
      const verdict = this.listener.receive(CLIENT_ADDRESS, datagram, now);
      if (verdict.kind === 'challenge') this.link.toClient.send(verdict.reply, now);
      if (verdict.kind === 'accept') {
        this.server = new Side(new Connection(this.#serverOptions, verdict.hello));
        this.server.connection.start(now);
      }
    } else {
      this.server.connection.receive(datagram, now);
    }
    this.drain();
  }

  /** Hands a datagram to the client, past the link. */
  toClient(datagram: Uint8Array): void {
    this.client.connection.receive(datagram, this.clock.now);
    this.drain();
  }

  /** Puts what both engines want sent on the link. */
  drain(): void {
    const { now } = this.clock;
    this.client.drain((datagram) => this.link.toServer.send(datagram, now));
    this.server?.drain((datagram) => this.link.toClient.send(datagram, now));
  }

  /** Sends `text` from one side. */
  say(from: 'client' | 'server', text: string): boolean {
    const side = from === 'client' ? this.client : this.accepted;
    const sent = side.connection.send(new TextEncoder().encode(text));
    this.drain();
    return sent;
  }
}

function isDue(deadline: Instant | undefined, now: Instant): boolean {
  return deadline !== undefined && deadline <= now;
}
