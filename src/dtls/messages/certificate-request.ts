import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** RFC 5246 §7.4.4. Names of authorities are parsed and not kept: a client of ours has one certificate. */
export interface CertificateRequest {
  readonly type: 'certificate_request';
  readonly certificateTypes: readonly number[];
  readonly schemes: readonly number[];
}

/** Certificate types by name (RFC 5246 §7.4.4; `ecdsa_sign` includes Ed25519, RFC 8422 §5.5). */
export const CERTIFICATE_TYPES = { rsa_sign: 1, ecdsa_sign: 64 } as const;

/** The message in `body`; undefined when it does not parse. */
export function parseCertificateRequest(body: Uint8Array): CertificateRequest | undefined {
  const r = new Reader(body);
  const certificateTypes = [...r.vector(1)];
  const list = new Reader(r.vector(2));
  const schemes: number[] = [];
  while (!list.empty) schemes.push(list.uint(2));
  const names = new Reader(r.vector(2));
  while (!names.empty) names.vector(2);
  const fits = r.done && list.ok && names.ok && certificateTypes.length > 0 && schemes.length > 0;
  return fits ? { type: 'certificate_request', certificateTypes, schemes } : undefined;
}

/** The message's body; no authorities are named. */
export function writeCertificateRequest(message: CertificateRequest): Uint8Array {
  return new Writer(64)
    .vector(1, Uint8Array.from(message.certificateTypes))
    .vector(2, (w) => {
      for (const scheme of message.schemes) w.uint(scheme, 2);
    })
    .uint(0, 2)
    .take();
}
