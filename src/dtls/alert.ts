import { assertNever } from '../base/invariant.ts';
import { Reader } from '../wire/reader.ts';
import type { CloseCode } from './effects.ts';

/** Alert descriptions by name (RFC 5246 §7.2, RFC 6066 §9, RFC 7301 §3.2). */
export const ALERTS = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  decryption_failed: 21,
  record_overflow: 22,
  decompression_failure: 30,
  handshake_failure: 40,
  no_certificate: 41,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  export_restriction: 60,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  no_renegotiation: 100,
  unsupported_extension: 110,
  certificate_unobtainable: 111,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  bad_certificate_hash_value: 114,
  unknown_psk_identity: 115,
  certificate_required: 116,
  no_application_protocol: 120,
} as const;

/** Name of an alert description. */
export type AlertName = keyof typeof ALERTS;

/** An alert as received. `description` is a number since peers may send ones that we have no name for. */
export interface Alert {
  readonly fatal: boolean;
  readonly description: number;
}

/** The alert in a record's fragment; undefined when it is none (RFC 5246 §7.2: exactly two octets). */
export function parseAlert(fragment: Uint8Array): Alert | undefined {
  const r = new Reader(fragment);
  const level = r.uint(1);
  const description = r.uint(1);
  if (!r.done || (level !== WARNING && level !== FATAL)) return undefined;
  return { fatal: level === FATAL, description };
}

/** The two octets of an alert. close_notify, no_renegotiation and user_canceled are warnings, all others fatal. */
export function writeAlert(name: AlertName): Uint8Array {
  const warning = name === 'close_notify' || name === 'no_renegotiation' || name === 'user_canceled';
  return new Uint8Array([warning ? WARNING : FATAL, ALERTS[name]]);
}

/** The name of an alert description, or its number as text. */
export function alertText(description: number): string {
  for (const [name, code] of Object.entries(ALERTS)) {
    if (code === description) return name;
  }
  return `alert ${description}`;
}

/** What the peer is told when we end an association for `code`; undefined: nothing. */
export function alertFor(code: CloseCode): AlertName | undefined {
  switch (code) {
    case 'closed':
    case 'aborted':
      return 'close_notify';
    case 'unknown_fingerprint':
      // RFC 5246 §7.2.2: a valid certificate that access control refuses.
      return 'access_denied';
    case 'bad_certificate':
      return 'bad_certificate';
    case 'bad_signature':
    case 'bad_finished':
      return 'decrypt_error';
    case 'no_certificate': // RFC 5246 §7.4.6
    case 'no_common_suite':
    case 'no_common_group':
    case 'no_common_signature':
    case 'no_extended_master_secret': // RFC 7627 §5.3
    case 'bad_renegotiation_info': // RFC 5746 §3.4
    case 'cookie_loop':
      return 'handshake_failure';
    case 'version':
      return 'protocol_version';
    case 'unoffered_parameter':
    case 'bad_key_share':
      return 'illegal_parameter';
    case 'unexpected_message':
      return 'unexpected_message';
    case 'malformed':
    case 'too_large':
      return 'decode_error';
    case 'sequence_exhausted':
    case 'aead_limit':
      return 'internal_error';
    case 'timeout':
    case 'peer_alert':
      return undefined;
    default:
      return assertNever(code, 'close code');
  }
}

const WARNING = 1;
const FATAL = 2;
