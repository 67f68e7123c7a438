import type { SequenceNumber } from '../base/brand.ts';
import { ALERTS, type AlertName, alertFor, alertText, parseAlert, writeAlert } from './alert.ts';
import type { CloseCode, CloseReason, Effect } from './effects.ts';
import { Epochs } from './epochs.ts';
import { CHANGE_CIPHER_SPEC } from './handshake/flight.ts';
import { fragmentsIn } from './handshake/reassembly.ts';
import type { FlightItem } from './handshake/step.ts';
import { MAX_RENEGOTIATION_ALERTS } from './limits.ts';
import { HANDSHAKE_CODES } from './messages/types.ts';
import { CONTENT } from './record.ts';
import type { SansIo } from './sans-io.ts';

/**
 * What is left of a handshake once it is complete and its keys are offloaded: enough for another process to go on with
 * the association. Holds no secret.
 */
export interface Continuation {
  /** A server's last flight, which is sent again when the client repeats the message that it answers. */
  readonly lastFlight: LastFlight | undefined;
  /** How often renegotiation was refused. */
  readonly renegotiationAlerts: number;
}

/** See `Continuation`. */
export interface LastFlight {
  /** Number of the message that it answers: the client's Finished. */
  readonly answers: number;
  /** Number of our next record in clear. */
  readonly nextPlain: SequenceNumber;
  /** Finished with its header; ChangeCipherSpec goes before it. */
  readonly finished: Uint8Array;
}

/** What `flight` leaves to be carried on; undefined when it does not end a handshake with Finished. */
export function lastFlightOf(
  flight: readonly FlightItem[],
  answers: number | undefined,
  nextPlain: SequenceNumber | undefined,
): LastFlight | undefined {
  const [change, last] = flight.slice(-2);
  if (change?.kind !== 'change-cipher-spec' || last?.kind !== 'message') return undefined;
  if (answers === undefined || nextPlain === undefined) return undefined;
  return { answers, nextPlain, finished: last.raw.slice() };
}

/**
 * An association whose handshake another process completed and whose keys the data plane has: alerts, close_notify, and
 * the last flight once more for a client that missed it. It begins established and knows nothing else.
 */
export class ContinuedConnection implements SansIo {
  readonly #epochs: Epochs;
  readonly #lastFlight: LastFlight | undefined;
  #state: 'established' | 'closed' = 'established';
  #renegotiationAlerts: number;
  readonly #effects: Effect[] = [];

  constructor({ lastFlight, renegotiationAlerts }: Continuation) {
    this.#epochs = new Epochs(lastFlight?.nextPlain ?? FIRST);
    this.#lastFlight = lastFlight;
    this.#renegotiationAlerts = renegotiationAlerts;
  }

  get state(): SansIo['state'] {
    return this.#state;
  }

  get deadline(): undefined {
    return undefined;
  }

  start(): void {
    // Begun long ago.
  }

  /** What comes in clear proves nothing, and what is protected is the data plane's. */
  receive(): void {}

  receiveOpened(contentType: number, fragment: Uint8Array): void {
    if (this.#state === 'closed') return;
    if (contentType === CONTENT.handshake) this.#handshake(fragment);
    else if (contentType === CONTENT.alert) this.#alert(fragment);
  }

  /** Data does not pass through here. */
  send(): boolean {
    return false;
  }

  close(code: CloseCode): void {
    if (this.#state === 'closed') return;
    const name = alertFor(code);
    if (name !== undefined) this.#sendAlert(name);
    const alert = name === undefined ? undefined : ALERTS[name];
    this.#finish({ code, by: 'local', alert, seen: undefined, expected: undefined });
  }

  setMaxDatagram(): void {
    // What it sends is small.
  }

  tick(): void {}

  poll(): Effect | undefined {
    return this.#effects.shift();
  }

  continuation(): Continuation | undefined {
    if (this.#state === 'closed') return undefined;
    const { nextPlain } = this.#epochs;
    const lastFlight =
      this.#lastFlight === undefined || nextPlain === undefined ? undefined : { ...this.#lastFlight, nextPlain };
    return { lastFlight, renegotiationAlerts: this.#renegotiationAlerts };
  }

  #handshake(record: Uint8Array): void {
    let isRepeated = false;
    for (const fragment of fragmentsIn(record)) {
      if (fragment === undefined) break;
      const { code, sequence } = fragment;
      if (code === HANDSHAKE_CODES.finished && sequence === this.#lastFlight?.answers) isRepeated = true;
      else if (code === HANDSHAKE_CODES.hello_request || code === HANDSHAKE_CODES.client_hello) this.#refuse();
    }
    // Once for all fragments, however many came: an authenticated Finished asks for it, hence no limit of time.
    if (isRepeated) this.#repeatLastFlight();
  }

  #repeatLastFlight(): void {
    if (this.#lastFlight === undefined) return;
    const change = this.#epochs.write(0, CONTENT.changeCipherSpec, CHANGE_CIPHER_SPEC);
    if (change.ok) this.#effects.push({ kind: 'transmit', datagram: change.value });
    const fragment = this.#lastFlight.finished.slice();
    this.#effects.push({ kind: 'seal', contentType: CONTENT.handshake, fragment });
  }

  /** RFC 5246 §7.2.2: a warning that the peer may take as it likes. Bounded, so that no exchange of them can go on. */
  #refuse(): void {
    if (this.#renegotiationAlerts >= MAX_RENEGOTIATION_ALERTS) return;
    this.#renegotiationAlerts++;
    this.#sendAlert('no_renegotiation');
  }

  #alert(fragment: Uint8Array): void {
    const alert = parseAlert(fragment);
    if (alert === undefined) return;
    const { description } = alert;
    if (description === ALERTS.close_notify) {
      // RFC 5246 §7.2.1: answered in kind.
      this.#sendAlert('close_notify');
      this.#finish({ code: 'closed', by: 'peer', alert: description, seen: undefined, expected: undefined });
    } else if (alert.fatal) {
      const seen = alertText(description);
      this.#finish({ code: 'peer_alert', by: 'peer', alert: description, seen, expected: undefined });
    }
  }

  #sendAlert(name: AlertName): void {
    this.#effects.push({ kind: 'seal', contentType: CONTENT.alert, fragment: writeAlert(name) });
  }

  #finish(reason: CloseReason): void {
    this.#state = 'closed';
    this.#effects.push({ kind: 'closed', reason });
  }
}

const FIRST = 0 as SequenceNumber;
