import { closeSync, constants, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

/** A log file is put aside at this size, octets, and replaces the one put aside before. */
const MAX_SIZE = 1024 * 1024;

/**
 * A log file for daemons that no service manager started: bounded to twice `MAX_SIZE`, since it lies in memory (/run).
 * Lines that cannot be written are lost, never fatal.
 */
export class LogFile {
  readonly #path: string;
  #fd: number;
  #size: number;

  /** Appends to `path`; throws when it cannot be opened. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = open(path);
    this.#size = fstatSync(this.#fd).size;
  }

  /** Takes one finished line. */
  readonly write = (line: string): void => {
    try {
      if (this.#size + line.length > MAX_SIZE) this.#turnOver();
      this.#size += writeSync(this.#fd, line);
    } catch {
      // A full file system must not stop packets.
    }
  };

  /** The new file is there before the old one goes: without it the descriptor's number could soon be somebody else's. */
  #turnOver(): void {
    const next = open(`${this.#path}.new`);
    try {
      renameSync(this.#path, `${this.#path}.1`);
      renameSync(`${this.#path}.new`, this.#path);
    } catch (error) {
      closeSync(next);
      throw error;
    }
    closeSync(this.#fd);
    this.#fd = next;
    this.#size = 0;
  }
}

/** Never through a link: the directory may belong to a user with fewer rights than ours. */
function open(path: string): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640);
}
