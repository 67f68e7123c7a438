/** Nominal types: numbers and strings that must not be mixed up although they share a representation. */

declare const brand: unique symbol;

/** A `T` that only the module which mints it can produce. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Record epoch, 0 … 65535 (RFC 6347 §4.1). */
export type Epoch = Brand<number, 'Epoch'>;

/** Per-epoch record counter, 0 … 2^48 − 1. Exact in a double. */
export type SequenceNumber = Brand<number, 'SequenceNumber'>;

/** The largest record number of an epoch (RFC 6347 §4.1: 48 bits). */
export const MAX_SEQUENCE = (2 ** 48 - 1) as SequenceNumber;

/** The number after `n`, or undefined once the epoch is spent (RFC 6347 §4.1: it must not wrap). */
export function nextSequence(n: SequenceNumber): SequenceNumber | undefined {
  return n < MAX_SEQUENCE ? ((n + 1) as SequenceNumber) : undefined;
}

/** A point on the monotonic clock, in milliseconds since an arbitrary origin. Never a wall-clock time. */
export type Instant = Brand<number, 'Instant'>;

/** A length of time in milliseconds. */
export type Duration = Brand<number, 'Duration'>;

/** `milliseconds` as a Duration. */
export function ms(milliseconds: number): Duration {
  return milliseconds as Duration;
}

/** `count` seconds as a Duration. */
export function seconds(count: number): Duration {
  return (count * 1000) as Duration;
}

/** The instant `by` after `at`. */
export function later(at: Instant, by: Duration): Instant {
  return (at + by) as Instant;
}

/** How long after `from` the instant `to` is; negative when it is before. */
export function between(from: Instant, to: Instant): Duration {
  return (to - from) as Duration;
}

/** The earlier of two deadlines; undefined means never. */
export function earliest(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return a < b ? a : b;
}

/** Index of a configured peer in the data plane: small, stable while the peer is configured, reused afterwards. */
export type PeerId = Brand<number, 'PeerId'>;

/** Index of installed keys in the data plane's session table, 0 … 2^24 − 1; also the head of a connection id we issue. */
export type SessionSlot = Brand<number, 'SessionSlot'>;

/** SHA-256 of a certificate's DER form, as 64 lower-case hex digits. The only identity a peer has. */
export type Fingerprint = Brand<string, 'Fingerprint'>;

/** Largest IP packet a physical link carries, octets (IP header included). */
export type LinkMtu = Brand<number, 'LinkMtu'>;

/** Largest UDP payload that crosses the path to a peer unfragmented, octets. */
export type PathMtu = Brand<number, 'PathMtu'>;

/** Largest inner IP packet, octets: what the TUN device's MTU is set to. */
export type TunMtu = Brand<number, 'TunMtu'>;
