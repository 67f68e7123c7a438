import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** Proof that the client holds the key of its certificate (RFC 5246 §7.4.8). A copy. */
export interface CertificateVerify {
  readonly type: 'certificate_verify';
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/** The message in `body`; undefined when it does not parse. */
export function parseCertificateVerify(body: Uint8Array): CertificateVerify | undefined {
  const r = new Reader(body);
  const scheme = r.uint(2);
  const signature = r.vector(2).slice();
  return r.done ? { type: 'certificate_verify', scheme, signature } : undefined;
}

/** The message's body. */
export function writeCertificateVerify(message: CertificateVerify): Uint8Array {
  return new Writer(4 + message.signature.length).uint(message.scheme, 2).vector(2, message.signature).take();
}
