import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import { err, ok, type Result } from '../base/result.ts';

/** The octets of a file with what the kernel said of it when it was open: no other file can slip in between. */
export interface FileContent {
  readonly octets: Buffer;
  readonly stats: Stats;
}

/** Why a file cannot be had: the system's code and its words. */
export interface FileProblem {
  readonly code: string;
  readonly text: string;
}

/** How to open a file. */
export interface ReadOptions {
  readonly maxBytes: number;
  /** Follow a symbolic link at the end of the path. */
  readonly follow: boolean;
  /** Take pipes and terminals too, waiting for their end. */
  readonly streams: boolean;
}

/** The content of `path`. Never waits for a pipe unless `streams` asks for it; never reads more than `maxBytes`. */
export function readRegularFile(path: string, options: ReadOptions): Result<FileContent, FileProblem> {
  // NUL ends a C string: such a path would name another file than the one shown.
  if (path.includes('\0')) return err({ code: 'EINVAL', text: 'the path holds a NUL' });
  let fd: number | undefined;
  try {
    const flags = (options.follow ? 0 : constants.O_NOFOLLOW) | (options.streams ? 0 : constants.O_NONBLOCK);
    fd = openSync(path, constants.O_RDONLY | constants.O_NOCTTY | flags);
    const stats = fstatSync(fd);
    if (stats.isDirectory()) return err({ code: 'EISDIR', text: 'is a directory' });
    if (!stats.isFile() && !options.streams) return err({ code: 'EINVAL', text: 'is not a regular file' });
    const octets = readAll(fd, options.maxBytes);
    if (octets === undefined) return err({ code: 'EFBIG', text: `is larger than ${options.maxBytes} bytes` });
    return ok({ octets, stats });
  } catch (error) {
    return err(fileProblem(error));
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** What a thrown system error says, without the path and the call that Node puts into its message. */
export function fileProblem(error: unknown): FileProblem {
  if (!(error instanceof Error)) return { code: 'EIO', text: 'unknown error' };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'EIO';
  const errno = 'errno' in error && typeof error.errno === 'number' ? error.errno : undefined;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return { code, text: known ?? code };
}

function readAll(fd: number, maxBytes: number): Buffer | undefined {
  const chunks: Buffer[] = [];
  let total = 0;
  for (;;) {
    const chunk = Buffer.alloc(64 * 1024);
    const count = readSync(fd, chunk);
    if (count === 0) {
      const whole = Buffer.concat(chunks);
      // The file may be a private key: one copy is enough.
      for (const part of chunks) part.fill(0);
      return whole;
    }
    total += count;
    if (total > maxBytes) return undefined;
    chunks.push(chunk.subarray(0, count));
  }
}
