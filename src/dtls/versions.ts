/** Protocol versions on the wire: ones' complement of the number, so that newer is smaller (RFC 6347 §4.1). */

/** DTLS 1.2, the only version we speak. */
export const DTLS_1_2 = 0xfefd;

/** DTLS 1.0: seen in the records of first hellos and in HelloVerifyRequest (RFC 6347 §4.2.1), never spoken. */
export const DTLS_1_0 = 0xfeff;

/** A version as people write it. */
export function versionName(version: number): string {
  if (version === DTLS_1_2) return 'DTLS 1.2';
  if (version === DTLS_1_0) return 'DTLS 1.0';
  return `version 0x${version.toString(16).padStart(4, '0')}`;
}
