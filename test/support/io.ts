import type { Io } from '../../src/cli/io.ts';
import { diskFiles } from '../../src/daemon/config-files.ts';

/** A world whose output can be read, and whose parts can be replaced. */
export interface RecordedIo {
  readonly io: Io;
  readonly out: () => string;
  readonly err: () => string;
}

/** The real files, no colour, UTF-8, and whatever `changes` says otherwise. */
export function recordIo(changes: Partial<Io> = {}): RecordedIo {
  let out = '';
  let err = '';
  return {
    io: {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
      colour: { out: false, err: false },
      unicode: true,
      cwd: '/',
      env: {},
      files: diskFiles,
      input: async () => new Uint8Array(),
      now: () => 1_795_392_000,
      uid: process.geteuid?.() ?? 0,
      ...changes,
    },
    out: () => out,
    err: () => err,
  };
}
