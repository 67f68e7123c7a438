import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../repo/source-files.ts';

/** What a run has measured, kept as `build/results/NAME.json` with the machine it was measured on. */
export class Figures {
  readonly #name: string;
  readonly #figures: Record<string, number> = {};

  constructor(name: string) {
    this.#name = name;
  }

  /** Notes a figure, to a tenth; the name ends with its unit, and may come again. Prints it too. */
  note(what: string, value: number): void {
    let key = what;
    for (let again = 2; key in this.#figures; again += 1) key = `${what} (${again})`;
    this.#figures[key] = Math.round(value * 10) / 10;
    console.log(`${this.#name}: ${key}: ${this.#figures[key]}`);
  }

  write(): void {
    const folder = join(ROOT, 'build/results');
    mkdirSync(folder, { recursive: true });
    const machine = { kernel: release(), cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
    const kept = { suite: this.#name, date: new Date().toISOString(), machine, figures: this.#figures };
    writeFileSync(join(folder, `${this.#name}.json`), `${JSON.stringify(kept, null, 2)}\n`);
  }
}
