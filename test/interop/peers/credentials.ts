import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Kinds of certificate the matrix runs with. */
export type CertificateKind = 'P-256' | 'P-384' | 'Ed25519' | 'RSA-2048';

/** Paths of a PEM certificate and its key. */
export interface Credential {
  readonly certificate: string;
  readonly key: string;
}

/** Self-signed certificates of every kind for two ends, made by openssl(1) in a folder that `remove` deletes. */
export class Credentials {
  readonly #folder = mkdtempSync(join(tmpdir(), 'dtunnel-interop-'));
  readonly #made = new Map<string, Credential>();

  /** The certificate of one end, made when first asked for. */
  of(kind: CertificateKind, end: 'a' | 'b'): Credential {
    const name = `${kind}-${end}`;
    const known = this.#made.get(name);
    if (known !== undefined) return known;
    const made = { certificate: join(this.#folder, `${name}.crt`), key: join(this.#folder, `${name}.key`) };
    const subject = ['-nodes', '-days', '30', '-subj', `/CN=${name}`];
    execFileSync('openssl', ['req', '-x509', ...KEY[kind], ...subject, '-keyout', made.key, '-out', made.certificate], {
      stdio: 'ignore',
      timeout: 20_000,
    });
    this.#made.set(name, made);
    return made;
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const KEY: Readonly<Record<CertificateKind, readonly string[]>> = {
  'P-256': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'P-384': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  Ed25519: ['-newkey', 'ed25519'],
  'RSA-2048': ['-newkey', 'rsa:2048'],
};
