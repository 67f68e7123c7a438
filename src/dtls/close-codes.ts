/** Why associations end, with what each reason means. README.md has the same as a table. */
export const CLOSE_CODES = {
  closed: 'the orderly end (close_notify); every other reason is a failure',
  timeout: 'the handshake was not complete in its time; `expected` says what did not come',
  unknown_fingerprint: 'the certificate is none that is allowed: `seen` is its fingerprint',
  no_certificate: 'the peer showed no certificate',
  bad_certificate: 'the pinned certificate does not parse, or its key cannot be used',
  bad_signature: 'the peer did not prove that it has the key of its certificate',
  bad_finished: 'the two ends saw different handshakes',
  no_common_suite: 'no cipher suite that both ends allow and the certificates fit',
  no_common_group: 'no group for the key exchange that both ends allow',
  no_common_signature: 'no signature scheme that the peer takes and our key can make',
  version: 'the peer speaks no DTLS 1.2',
  no_extended_master_secret: 'the peer lacks RFC 7627, and is not allowed to (AllowLegacyPeer)',
  bad_renegotiation_info: 'the peer takes this for a renegotiation (RFC 5746)',
  unoffered_parameter: 'the peer chose what it was not offered',
  unexpected_message: 'a handshake message out of its order',
  malformed: 'a handshake message that does not parse',
  bad_key_share: 'a public key that is none of its group',
  too_large: 'a handshake message or a whole handshake beyond its limit',
  cookie_loop: 'the server asked for a cookie again and again',
  sequence_exhausted: 'the record numbers of an epoch are used up',
  aead_limit: 'the keys have protected, or failed to open, as many records as they may',
  peer_alert: 'the peer refused: `seen` is its alert',
  aborted: 'given up by this end: the peer was removed or disabled meanwhile',
} as const;

/** Stable names, also metric labels. */
export type CloseCode = keyof typeof CLOSE_CODES;
