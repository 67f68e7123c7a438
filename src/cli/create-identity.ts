import { rmSync } from 'node:fs';
import { DtunnelError } from '../base/errors.ts';
import { createSelfSigned, type SelfSignedOptions } from '../crypto/certificate.ts';
import { serviceAccount } from '../daemon/accounts.ts';
import type { IdentityPaths } from '../daemon/identity-paths.ts';
import { createFile, type Owner } from '../daemon/write-file.ts';
import type { Io } from './io.ts';

/** Ten years: the pin is the authority, dates only warn; expiry must not be what ends a forgotten link. */
const DAYS = 3650;

/** Makes a key and its self-signed certificate in `files`, which may be one. Throws DT_KEY_EXISTS: nothing is overwritten. */
export async function createIdentity(
  files: IdentityPaths,
  { commonName, keyType }: Pick<SelfSignedOptions, 'commonName' | 'keyType'>,
  io: Io,
): Promise<void> {
  const pair = await createSelfSigned({ commonName, days: DAYS, keyType, now: io.now() });
  const owner = daemonOwner(io);
  if (files.certificate === files.privateKey) {
    const both = `${pair.certificatePem}${pair.privateKeyPem}`;
    if (!createFile(files.privateKey, both, 0o600, owner)) throw existing([files.privateKey], false);
    return;
  }
  if (!createFile(files.privateKey, pair.privateKeyPem, 0o600, owner)) throw existing([files.privateKey], false);
  let written = false;
  try {
    written = createFile(files.certificate, pair.certificatePem, 0o644, owner);
  } finally {
    // A key without its certificate is of no use to anybody, and would stop the next attempt.
    if (!written) rmSync(files.privateKey, { force: true });
  }
  if (!written) throw existing([files.certificate], false);
}

/** What to say of files that are in the way. */
export function existing(files: readonly string[], ifMissing: boolean): DtunnelError {
  const verb = files.length === 1 ? 'exists' : 'exist';
  const lone = ifMissing ? ', but its other half does not' : ' already';
  return new DtunnelError('K005', `${files.join(' and ')} ${verb}${lone}`);
}

/** Root makes keys for the service, which can read no other's; anybody else for himself. */
function daemonOwner(io: Io): Owner | undefined {
  return io.uid === 0 ? serviceAccount() : undefined;
}
