import { ms, seconds } from '../base/brand.ts';
import type { AeadName } from '../crypto/aead.ts';
import type { HandshakeType } from './messages/types.ts';

/** Every bound and default of the engine, with its unit and its source. */

/** Largest UDP payload sent unless the caller knows better: fits an Ethernet path with room for one more tunnel. */
export const DEFAULT_MAX_DATAGRAM = 1400;

/** Largest UDP payload there can be over IPv4, octets (65535 less IP and UDP headers). */
export const LARGEST_DATAGRAM = 65_507;

/** First retransmission timeout (RFC 6347 §4.2.4.1). */
export const INITIAL_TIMEOUT = seconds(1);

/** Least first timeout that can be asked for: below it, ordinary delay would be taken for loss. */
export const LEAST_INITIAL_TIMEOUT = ms(50);

/** Where doubling stops (RFC 6347 §4.2.4.1). */
export const MAX_TIMEOUT = seconds(60);

/** Longest handshake: seven transmissions at the default timeouts, and some time for the answer to the last. */
export const HANDSHAKE_TIMEOUT = seconds(90);

/** Record numbers the engine remembers per epoch (RFC 6347 §4.1.2.6: 64 should be the default). */
export const REPLAY_WINDOW = 64;

/** Largest plaintext of a record, octets (RFC 5246 §6.2.1). */
export const MAX_PLAINTEXT = 2 ** 14;

/** How far ahead of the awaited message another one is kept: a flight has at most five messages (RFC 5246 §7.3). */
export const MAX_MESSAGES_AHEAD = 8;

/** Octets of unfinished and waiting handshake messages per association, as claimed by their headers. */
export const MAX_REASSEMBLY_OCTETS = 32 * 1024;

/** Separate pieces of one message; more are dropped and come again with the flight. */
export const MAX_PIECES = 128;

/**
 * Largest body of each handshake message, octets. Chains of a few RSA certificates fit; for the rest the figures are
 * several times what the largest legal message of our suites takes. A message that claims more is never stored.
 */
export const MAX_MESSAGE: Readonly<Record<HandshakeType, number>> = {
  hello_request: 0,
  client_hello: 4096,
  server_hello: 2048,
  hello_verify_request: 258,
  new_session_ticket: 2048,
  certificate: 16 * 1024,
  server_key_exchange: 2048,
  certificate_request: 8192,
  server_hello_done: 0,
  certificate_verify: 2048,
  client_key_exchange: 256,
  finished: 12,
  certificate_status: 2048,
};

/** Protected records kept while their keys are not known yet: what one reordered flight end takes. The newest stay. */
export const MAX_EARLY_RECORDS = 4;

/** Octets of such records. */
export const MAX_EARLY_OCTETS = 4096;

/** Authenticated application data kept until the peer's Finished has been verified. */
export const MAX_HELD_PAYLOADS = 8;

/**
 * Challenges a client follows in one handshake; more are a loop. RFC 6347 §4.2.1 expects one; each late one, to an earlier
 * call from the same address and port, costs two: nothing tells it from the true one, which is asked for anew.
 */
export const MAX_CHALLENGES = 8;

/** How long a cookie secret makes new cookies; its cookies are accepted for one more such time. */
export const COOKIE_SECRET_LIFETIME = seconds(60);

/**
 * Retransmissions of an unanswered flight that follow a plaintext fatal alert before the alert is believed. An alert in
 * clear proves nothing (RFC 6347 §4.1.2.7), so that a forged one costs at most a retry and only while the true peer is
 * silent; a true one is reported after seconds instead of at the end of the handshake's time.
 */
export const ALERT_PATIENCE = 2;

/**
 * Flights of a server that a client refuses for their signature before it takes the server for one that cannot sign. They
 * may answer earlier calls from the same address and port; each costs the check of one signature and 32 octets.
 */
export const MAX_REFUSED_FLIGHTS = 4;

/** Refusals of renegotiation that are answered with an alert; further ones are ignored in silence. */
export const MAX_RENEGOTIATION_ALERTS = 3;

/** How much one key may be used. */
export interface KeyLimits {
  /** Records sealed. */
  readonly sealed: Readonly<Record<AeadName, number>>;
  /** Records whose opening failed. */
  readonly failedOpens: number;
}

/**
 * Sealed: 2^24.5 full-size records under AES-GCM keep an adversary's advantage below 2^-57 (RFC 8446 §5.5, RFC 9147
 * §4.5.3); ChaCha20-Poly1305 outlasts the record numbers. Failed: 2^36 for all three (RFC 9147 §4.5.3).
 */
export const KEY_LIMITS: KeyLimits = {
  sealed: {
    'aes-128-gcm': Math.floor(2 ** 24.5),
    'aes-256-gcm': Math.floor(2 ** 24.5),
    'chacha20-poly1305': 2 ** 48,
  },
  failedOpens: 2 ** 36,
};
