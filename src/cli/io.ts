import type { FileReader } from '../config/load.ts';
import { diskFiles } from '../daemon/config-files.ts';

/** The world as a command sees it, so that a test can put another in its place. */
export interface Io {
  /** Data, to standard output. */
  readonly out: (text: string) => void;
  /** Diagnostics, to standard error. */
  readonly err: (text: string) => void;
  /** Whether standard output and standard error take colour. */
  readonly colour: { readonly out: boolean; readonly err: boolean };
  /** Whether more than ASCII can be shown. */
  readonly unicode: boolean;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly files: FileReader;
  /** All of standard input. */
  readonly input: () => Promise<Uint8Array>;
  /** Wall clock, epoch seconds. */
  readonly now: () => number;
  /** Effective user. */
  readonly uid: number;
}

/** When to use colour: `auto` is on a terminal, unless NO_COLOR is set (no-color.org) or the terminal is dumb. */
export type ColourChoice = 'auto' | 'always' | 'never';

/** The real world. */
export function processIo(colour: ColourChoice = 'auto'): Io {
  const { env, stdout, stderr } = process;
  const use = (stream: { readonly isTTY?: boolean }): boolean => {
    if (colour !== 'auto') return colour === 'always';
    return stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  };
  return {
    out: (text) => {
      stdout.write(text);
    },
    err: (text) => {
      stderr.write(text);
    },
    colour: { out: use(stdout), err: use(stderr) },
    unicode: /utf-?8/i.test(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || ''),
    cwd: process.cwd(),
    env,
    files: diskFiles,
    input: readInput,
    now: () => Math.floor(Date.now() / 1000),
    uid: process.geteuid?.() ?? 0,
  };
}

/** `value` as the one JSON document of a command. */
export function json(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Bound on what is read from standard input: a certificate is a few KiB. */
const MAX_INPUT = 1 << 20;

async function readInput(): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of process.stdin) {
    const octets = Buffer.from(chunk);
    total += octets.length;
    if (total > MAX_INPUT) break;
    chunks.push(octets);
  }
  return Buffer.concat(chunks);
}
