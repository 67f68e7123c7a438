/** Why input was ignored. Each ignored datagram, record or fragment counts under exactly one of these. */
export const DROP_REASONS = [
  /** A record or handshake header that does not fit what follows it. */
  'malformed',
  /** A record of another protocol version. */
  'version',
  /** A content type that DTLS 1.2 does not have. */
  'content_type',
  /** A record of an epoch that is over, not begun, or wrong for what it carries. */
  'epoch',
  /** A protected record whose keys are not known, beyond the few that are kept. */
  'early',
  /** A record number that was accepted before or is older than the window. */
  'replay',
  /** A protected record that did not authenticate, short ones included. */
  'bad_mac',
  /** No or another connection id than was agreed (RFC 9146 §3), or one though none was. */
  'connection_id',
  /** An alert in clear: noted, not believed (RFC 6347 §4.1.2.7). */
  'plaintext_alert',
  /** Application data in clear. */
  'plaintext_data',
  /** A handshake message or fragment whose header is impossible, or of an unknown type. */
  'bad_fragment',
  /** A fragment without octets of a message that has some. */
  'empty_fragment',
  /** A handshake message larger than its kind may be. */
  'too_large',
  /** A handshake message too far ahead, or beyond the memory for reassembly. */
  'no_room',
  /** A handshake message that was complete before, or that answers a hello we have replaced since. */
  'repeated',
  /** A handshake message that only our own role sends, or the rest of a flight that was refused. */
  'foreign',
  /** HelloRequest, or a renegotiation: never done. */
  'renegotiation',
  /** Data that came before Finished, beyond what is held. */
  'data_early',
  /** A record of the installed epoch: the data plane owns it. */
  'offloaded',
  /** Input to an association that is closed or was not started. */
  'closed',
] as const;

/** One of the reasons. */
export type DropReason = (typeof DROP_REASONS)[number];

/** Ignored input by reason since the association was made. */
export type DropCounts = Readonly<Record<DropReason, number>>;

/** Fresh counters, all zero. */
export function noDrops(): Record<DropReason, number> {
  return {
    malformed: 0,
    version: 0,
    content_type: 0,
    epoch: 0,
    early: 0,
    replay: 0,
    bad_mac: 0,
    connection_id: 0,
    plaintext_alert: 0,
    plaintext_data: 0,
    bad_fragment: 0,
    empty_fragment: 0,
    too_large: 0,
    no_room: 0,
    repeated: 0,
    foreign: 0,
    renegotiation: 0,
    data_early: 0,
    offloaded: 0,
    closed: 0,
  };
}
