import { existsSync, linkSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { DtunnelError } from '../base/errors.ts';
import { type IdentityPaths, pairBeside } from './identity-paths.ts';
import { fileProblem } from './regular-file.ts';

/**
 * The files of a key rotation. The state of a rotation is what lies on disk, so that it can be interrupted anywhere:
 *
 * ```
 * paris.crt       paris.key          in force
 * paris.next.crt  paris.next.key     made; peers are learning its fingerprint
 * paris.old.crt   paris.old.key      what was in force before the switch
 * ```
 *
 * The switch renames the key first: a certificate in force whose key is the next one's stands for its next certificate
 * (`loadIdentity`), so there is no moment at which a daemon could not start.
 */

/** How far the files of a rotation are. `half`: there is a key without a certificate that anybody could have been told of. */
export type FilesState = 'none' | 'half' | 'ready' | 'switching';

/** How far the rotation of `present` is. */
export function filesState(present: IdentityPaths): FilesState {
  const next = pairBeside(present, 'next');
  const [certificate, privateKey] = [existsSync(next.certificate), existsSync(next.privateKey)];
  if (certificate && privateKey) return 'ready';
  // The key is made first and switched first.
  if (certificate) return 'switching';
  return privateKey ? 'half' : 'none';
}

/** Puts the next pair into force and keeps the one before as old. Goes on with a switch that was cut off. */
export function switchFiles(present: IdentityPaths): void {
  const next = pairBeside(present, 'next');
  const old = pairBeside(present, 'old');
  try {
    if (existsSync(next.privateKey)) {
      keep(present.certificate, old.certificate);
      if (present.privateKey !== present.certificate) keep(present.privateKey, old.privateKey);
      renameSync(next.privateKey, realpathSync(present.privateKey));
    }
    if (existsSync(next.certificate)) renameSync(next.certificate, realpathSync(present.certificate));
  } catch (error) {
    throw new DtunnelError('S036', `cannot switch to ${next.certificate}: ${fileProblem(error).text}`, {
      cause: error,
    });
  }
}

/** A second name for the same content, in place of what had it. */
function keep(path: string, as: string): void {
  rmSync(as, { force: true });
  linkSync(realpathSync(path), as);
}
