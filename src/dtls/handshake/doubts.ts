import { ALERTS, type Alert } from '../alert.ts';
import { ALERT_PATIENCE } from '../limits.ts';
import type { Abort } from './step.ts';

/** Why a handshake that came to nothing did so, as far as unauthenticated signs tell. */
export type Suspicion =
  | { readonly kind: 'alert'; readonly description: number }
  | { readonly kind: 'oversized'; readonly octets: number }
  | { readonly kind: 'refused'; readonly failure: Abort }
  | { readonly kind: 'silence' };

/**
 * Signs in clear that the handshake is in vain: a fatal alert, a message beyond its limit, a flight
 * that was refused. They prove nothing (RFC 6347 §4.1.2.7), so they never end a handshake that goes on; an alert shortens
 * the wait when it does not, and all name the cause at its end.
 */
export class Doubts {
  #alert: number | undefined;
  /** Repetitions of our flight that are still to go unanswered before the alert is believed. */
  #patience = ALERT_PATIENCE;
  #oversized: number | undefined;
  #refused: Abort | undefined;

  /** An alert in clear. The first counts until there is progress. */
  onAlert(alert: Alert): void {
    if (this.#alert !== undefined || !(alert.fatal || alert.description === ALERTS.close_notify)) return;
    this.#alert = alert.description;
    this.#patience = ALERT_PATIENCE;
  }

  /** A message was refused for its size. */
  onOversized(octets: number): void {
    this.#oversized = octets;
  }

  /** A flight was refused; another one may come. */
  onRefused(failure: Abort): void {
    this.#refused = failure;
  }

  /** The true peer goes on, whatever was said in its name. */
  onProgress(): void {
    this.#alert = undefined;
    this.#refused = undefined;
  }

  /** Our flight's timer has run out; true when it is not to be sent again. */
  onTimeout(): boolean {
    return this.#alert !== undefined && this.#patience-- === 0;
  }

  /** What is to be said about the end. */
  get verdict(): Suspicion {
    if (this.#alert !== undefined) return { kind: 'alert', description: this.#alert };
    if (this.#refused !== undefined) return { kind: 'refused', failure: this.#refused };
    if (this.#oversized !== undefined) return { kind: 'oversized', octets: this.#oversized };
    return { kind: 'silence' };
  }
}
