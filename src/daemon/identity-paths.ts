import { basename, dirname, extname, join } from 'node:path';
import { DtunnelError } from '../base/errors.ts';

/** Where the two halves of an identity are: paths, or `credential:NAME`; they may be one file. */
export interface IdentityPaths {
  readonly certificate: string;
  readonly privateKey: string;
}

/** How a path begins that names a credential (systemd.exec(5)). */
export const CREDENTIAL = 'credential:';

/** The file beside `path` that is `which` in a rotation: `paris.crt` → `paris.next.crt`. */
export function beside(path: string, which: 'next' | 'old'): string {
  const extension = extname(path);
  return join(dirname(path), `${basename(path, extension)}.${which}${extension}`);
}

/** The same for both halves. Throws DT_ROTATE_FILES when they are credentials, which only their giver can change. */
export function pairBeside({ certificate, privateKey }: IdentityPaths, which: 'next' | 'old'): IdentityPaths {
  if (certificate.startsWith(CREDENTIAL) || privateKey.startsWith(CREDENTIAL)) {
    throw new DtunnelError('S036', 'Certificate and PrivateKey are credentials: whoever gives them must rotate them');
  }
  return { certificate: beside(certificate, which), privateKey: beside(privateKey, which) };
}
