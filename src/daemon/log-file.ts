import { closeSync, openSync, renameSync, statSync, writeSync } from 'node:fs';

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
    this.#size = statSync(path).size;
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

  #turnOver(): void {
    closeSync(this.#fd);
    renameSync(this.#path, `${this.#path}.1`);
    this.#fd = open(this.#path);
    this.#size = 0;
  }
}

function open(path: string): number {
  return openSync(path, 'a', 0o640);
}
