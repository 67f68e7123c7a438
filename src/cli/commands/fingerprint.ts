import type { Fingerprint } from '../../base/brand.ts';
import { DtunnelError, EXIT } from '../../base/errors.ts';
import { certificateFromPem, readCertificate } from '../../crypto/certificate.ts';
import { fingerprintBase64, formatFingerprint } from '../../crypto/fingerprint.ts';
import { readRegularFile } from '../../daemon/regular-file.ts';
import { type HostPort, parseHostPort } from '../../net/endpoint.ts';
import { type Io, json } from '../io.ts';

/** `dtunnel fingerprint FILE|-|HOST:PORT`. */
export interface FingerprintArgs {
  /** A certificate file (PEM or DER), `-` for standard input, or where a peer listens. */
  readonly target: string;
  readonly format: 'colon' | 'hex' | 'base64';
  readonly json: boolean;
}

/** Asks whoever listens at an endpoint for its certificate: a handshake without any trust. Throws DtunnelError. */
export type FingerprintProbe = (endpoint: HostPort) => Promise<Fingerprint>;

/** Prints the fingerprint of a certificate. */
export async function run(args: FingerprintArgs, io: Io, probe: FingerprintProbe): Promise<number> {
  const fingerprint = await find(args.target, io, probe);
  const texts = {
    colon: formatFingerprint(fingerprint),
    hex: fingerprint,
    base64: fingerprintBase64(fingerprint),
  };
  if (args.json) io.out(json({ schema: 'dtunnel.fingerprint/1', target: args.target, ...texts }));
  else io.out(`${texts[args.format]}\n`);
  return EXIT.ok;
}

async function find(target: string, io: Io, probe: FingerprintProbe): Promise<Fingerprint> {
  if (target === '-') return ofCertificate(await io.input(), 'standard input');
  const content = readRegularFile(target, { maxBytes: MAX_BYTES, follow: true, streams: true });
  if (content.ok) return ofCertificate(content.value.octets, target);
  // A file may be called like an endpoint; an endpoint is no file.
  const endpoint = content.error.code === 'ENOENT' ? parseHostPort(target) : undefined;
  if (endpoint !== undefined) return await probe(endpoint);
  const hint = content.error.code === 'ENOENT' ? { hint: 'name a certificate file, - for input, or HOST:PORT' } : {};
  throw new DtunnelError('S023', `cannot read ${target}: ${content.error.text}`, hint);
}

/** Certificates are a few KiB; a chain may be longer. */
const MAX_BYTES = 1 << 20;

function ofCertificate(octets: Uint8Array, source: string): Fingerprint {
  const text = Buffer.from(octets).toString('latin1');
  const summary = readCertificate(certificateFromPem(text) ?? octets);
  if (summary !== undefined) return summary.fingerprint;
  const isKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text);
  throw new DtunnelError('K004', `${source} holds ${isKey ? 'a private key, but no' : 'no'} certificate`, {
    hint: isKey ? 'name the certificate that belongs to it' : 'a certificate in PEM or DER form is needed',
  });
}
