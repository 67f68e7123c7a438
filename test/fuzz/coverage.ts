import { type Profiler, Session } from 'node:inspector';

/** Which characters of the scripts under test have run, counted by V8 block by block. */
export class Coverage {
  readonly #session = new Session();
  readonly #covers: RegExp;
  /** Script to one octet per character: 1 = has run. */
  readonly #seen = new Map<string, Uint8Array>();

  /** Watches the scripts below src/ that match; they must not have been optimised away by being loaded after this. */
  constructor(covers: RegExp) {
    this.#covers = covers;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Counts what ran since the last call, and yields how many characters of it had never run before. */
  take(): number {
    let fresh = 0;
    for (const script of this.#scripts()) {
      const size = Math.max(0, ...script.functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)));
      const seen = this.#seen.get(script.url) ?? new Uint8Array(size);
      this.#seen.set(script.url, seen);
      const ran = new Uint8Array(seen.length);
      // A function's first range is the whole of it; those inside override it.
      for (const { ranges } of script.functions) {
        for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      }
      for (let at = 0; at < ran.length; at++) {
        if (ran[at] === 1 && seen[at] === 0) {
          seen[at] = 1;
          fresh++;
        }
      }
    }
    return fresh;
  }

  /** Share of the watched scripts' characters that have run. */
  get ratio(): number {
    let ran = 0;
    let all = 0;
    for (const seen of this.#seen.values()) {
      all += seen.length;
      for (const one of seen) ran += one;
    }
    return all === 0 ? 0 : ran / all;
  }

  close(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  #scripts(): readonly Profiler.ScriptCoverage[] {
    let scripts: readonly Profiler.ScriptCoverage[] = [];
    // Answered at once: the session is in this process.
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error === null) scripts = taken.result;
    });
    return scripts.filter(({ url }) => {
      const at = url.lastIndexOf('/src/');
      return at >= 0 && this.#covers.test(url.slice(at + 5));
    });
  }
}
