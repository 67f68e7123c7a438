import { parseCodes, writeCodes } from './lists.ts';

/** Signatures the sender can verify, best first (RFC 5246 §7.4.1.4.1). Code points, unknown ones included. */
export interface SignatureAlgorithms {
  readonly type: 'signature_algorithms';
  readonly schemes: readonly number[];
}

/** The extension in `body`; undefined when it does not parse. */
export function parseSignatureAlgorithms(body: Uint8Array): SignatureAlgorithms | undefined {
  const schemes = parseCodes(body, 2, 2);
  return schemes === undefined ? undefined : { type: 'signature_algorithms', schemes };
}

/** The extension's body. */
export function writeSignatureAlgorithms(extension: SignatureAlgorithms): Uint8Array {
  return writeCodes(extension.schemes, 2, 2);
}
