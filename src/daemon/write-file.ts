import {
  chownSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { DtunnelError } from '../base/errors.ts';
import { fileProblem } from './regular-file.ts';

/** Files appear whole or not at all: written under another name, flushed, then given theirs. */

/** Who a new file belongs to. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Replaces the content of `path`, keeping its mode and owner; a symbolic link stays one. Throws DtunnelError DT_FILE. */
export function replaceFile(path: string, content: string): void {
  guarded(`cannot write ${path}`, () => {
    const target = realpathSync(path);
    const { mode, uid, gid } = statSync(target);
    const temporary = writeTemporary(target, content, mode & 0o7777, { uid, gid });
    try {
      renameSync(temporary, target);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  });
}

/**
 * Creates `path` with `content`. False when it exists already: nothing is ever overwritten. The name appears by link(2),
 * which unlike rename(2) refuses an existing one. Throws DtunnelError DT_FILE.
 */
export function createFile(path: string, content: string, mode: number, owner: Owner | undefined): boolean {
  return guarded(`cannot create ${path}`, () => {
    const temporary = writeTemporary(path, content, mode, owner);
    try {
      linkSync(temporary, path);
      return true;
    } catch (error) {
      if (fileProblem(error).code === 'EEXIST') return false;
      throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  });
}

function writeTemporary(path: string, content: string, mode: number, owner: Owner | undefined): string {
  const temporary = join(dirname(path), `.dtunnel-${randomUUID()}.tmp`);
  // Nobody else may look in before it is whole, whatever the mode will be.
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    const octets = Buffer.from(content);
    for (let at = 0; at < octets.length; ) at += writeSync(fd, octets, at);
    octets.fill(0);
    if (owner !== undefined) chownSync(temporary, owner.uid, owner.gid);
    fchmodSync(fd, mode);
    fsyncSync(fd);
    return temporary;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function guarded<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const { code, text } = fileProblem(error);
    const permission = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
    throw new DtunnelError(
      'S023',
      `${what}: ${text}`,
      permission ? { hint: 'run as root, or name another directory' } : {},
    );
  }
}
