import { createSocket, type Socket } from 'node:dgram';
import { type Duration, type Fingerprint, type Instant, later, ms } from '../base/brand.ts';
import { monotonicClock } from '../base/clock.ts';
import type { Identity } from '../crypto/identity.ts';
import { systemRandom } from '../crypto/random.ts';
import { Connection } from '../dtls/connection.ts';
import type { CloseReason, Established } from '../dtls/effects.ts';
import { CONTENT, recordsIn } from '../dtls/record.ts';
import { family } from '../net/address.ts';
import type { Endpoint } from '../net/endpoint.ts';
import { Reader } from '../wire/reader.ts';

/** What one attempt to talk DTLS to an endpoint has shown. */
export interface ProbeResult {
  readonly endpoint: Endpoint;
  readonly outcome:
    | { readonly kind: 'established'; readonly session: Established }
    /** It ended with a reason, ours or the peer's. */
    | { readonly kind: 'closed'; readonly reason: CloseReason }
    /** Nobody answered at all. */
    | { readonly kind: 'silent' }
    /** The host or one on the way said that nobody listens there (ICMP). */
    | { readonly kind: 'unreachable'; readonly error: string };
  /** Of the certificate the peer presented, as soon as it had, whatever came afterwards. */
  readonly fingerprint: Fingerprint | undefined;
  /** From the first ClientHello to the HelloVerifyRequest; undefined when it sent none. */
  readonly cookieRttMs: number | undefined;
  /** From the first ClientHello to the end of the handshake. */
  readonly handshakeMs: number | undefined;
  /** UDP payload sizes in order. */
  readonly sent: readonly number[];
  readonly received: readonly number[];
}

/** How to probe. */
export interface ProbeOptions {
  readonly identity: Identity;
  readonly timeoutMs: number;
}

/** HelloVerifyRequest (RFC 6347 §4.3.2). */
const HELLO_VERIFY_REQUEST = 3;

/** First retransmission: a human waits. */
const FIRST_TIMEOUT: Duration = ms(400);

/** Does a DTLS handshake with `endpoint` over a socket of its own, and ends it at once. */
export function probe(endpoint: Endpoint, options: ProbeOptions): Promise<ProbeResult> {
  return new Probe(endpoint, options).run();
}

class Probe {
  readonly #endpoint: Endpoint;
  readonly #socket: Socket;
  readonly #connection: Connection;
  readonly #timeoutMs: number;
  readonly #sent: number[] = [];
  readonly #received: number[] = [];
  #fingerprint: Fingerprint | undefined;
  #begun: Instant | undefined;
  #cookieRttMs: number | undefined;
  #handshakeMs: number | undefined;
  #session: Established | undefined;
  #timer: NodeJS.Timeout | undefined;
  #finish: (outcome: ProbeResult['outcome']) => void = () => undefined;

  constructor(endpoint: Endpoint, { identity, timeoutMs }: ProbeOptions) {
    this.#endpoint = endpoint;
    this.#timeoutMs = timeoutMs;
    this.#socket = createSocket(family(endpoint.address) === 6 ? 'udp6' : 'udp4');
    this.#connection = new Connection({
      role: 'client',
      identity,
      authorize: (peer) => {
        this.#fingerprint = peer;
        return { allowLegacyPeer: true };
      },
      protocols: ['dtunnel/1'],
      connectionId: new Uint8Array(0),
      initialTimeout: FIRST_TIMEOUT,
      handshakeTimeout: ms(timeoutMs),
      crypto: systemRandom,
    });
  }

  async run(): Promise<ProbeResult> {
    const outcome = await new Promise<ProbeResult['outcome']>((resolve) => {
      this.#finish = resolve;
      this.#socket.on('error', (error) => resolve({ kind: 'unreachable', error: errorText(error) }));
      this.#socket.on('message', (datagram) => this.#receive(new Uint8Array(datagram)));
      // Connected, so that the kernel reports ICMP errors and nobody else's datagrams come in.
      this.#socket.connect(this.#endpoint.port, this.#endpoint.address, () => {
        this.#begun = monotonicClock();
        this.#connection.start(this.#begun);
        this.#drive(this.#begun);
      });
    });
    clearTimeout(this.#timer);
    this.#socket.close();
    return {
      endpoint: this.#endpoint,
      outcome: outcome.kind === 'closed' && this.#isSilence(outcome.reason) ? { kind: 'silent' } : outcome,
      fingerprint: this.#fingerprint,
      cookieRttMs: this.#cookieRttMs,
      handshakeMs: this.#handshakeMs,
      sent: this.#sent,
      received: this.#received,
    };
  }

  #isSilence({ code }: CloseReason): boolean {
    return code === 'timeout' && this.#received.length === 0;
  }

  #receive(datagram: Uint8Array): void {
    const now = monotonicClock();
    this.#received.push(datagram.length);
    if (this.#cookieRttMs === undefined && this.#begun !== undefined && isHelloVerifyRequest(datagram)) {
      this.#cookieRttMs = now - this.#begun;
    }
    this.#connection.receive(datagram, now);
    this.#drive(now);
  }

  #drive(now: Instant): void {
    for (let effect = this.#connection.poll(); effect !== undefined; effect = this.#connection.poll()) {
      if (effect.kind === 'transmit') {
        this.#sent.push(effect.datagram.length);
        this.#socket.send(effect.datagram);
      } else if (effect.kind === 'established') {
        this.#session = effect.session;
        if (this.#begun !== undefined) this.#handshakeMs = now - this.#begun;
        // A server that refuses our certificate says so only after our last flight: give it a round trip to do so.
        this.#settleAfter(now);
      } else if (effect.kind === 'closed') {
        this.#finish({ kind: 'closed', reason: effect.reason });
      }
    }
    this.#sleep();
  }

  /** Ends an established probe politely unless the peer ends it first. */
  #settleAfter(now: Instant): void {
    const patience = Math.min(this.#timeoutMs, 2 * (this.#cookieRttMs ?? this.#handshakeMs ?? 0) + 20);
    const at = later(now, ms(patience));
    setTimeout(() => {
      if (this.#connection.state !== 'established' || this.#session === undefined) return;
      this.#connection.close('closed', at);
      const session = this.#session;
      for (let effect = this.#connection.poll(); effect !== undefined; effect = this.#connection.poll()) {
        if (effect.kind === 'transmit') this.#socket.send(effect.datagram, () => undefined);
      }
      this.#finish({ kind: 'established', session });
    }, patience);
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    const { deadline } = this.#connection;
    if (deadline === undefined) return;
    this.#timer = setTimeout(
      () => {
        const now = monotonicClock();
        this.#connection.tick(now);
        this.#drive(now);
      },
      Math.max(0, Math.ceil(deadline - monotonicClock())),
    );
  }
}

function isHelloVerifyRequest(datagram: Uint8Array): boolean {
  for (const record of recordsIn(datagram, 0)) {
    if (record?.type === CONTENT.handshake && new Reader(record.fragment).uint(1) === HELLO_VERIFY_REQUEST) return true;
  }
  return false;
}

function errorText(error: Error): string {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ECONNREFUSED') return 'port unreachable: nobody listens there';
  if (code === 'EHOSTUNREACH') return 'host unreachable';
  if (code === 'ENETUNREACH') return 'no route to that network';
  return error.message;
}
