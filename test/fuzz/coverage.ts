import { type Profiler, Session } from 'node:inspector';

// V8 counts blocks only in functions that are compiled after counting began. Hence it begins when this module is loaded,
// and this module is imported before those under test.
const session = new Session();
const counting = Number(process.env['DTUNNEL_FUZZ_SECONDS'] ?? '0') > 0;
if (counting) {
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
}

/** Which characters of the functions under test have run, by V8's counters. */
export class Coverage {
  readonly #covers: RegExp;
  /** Per script, per character: 0 = in no function, 1 = has not run, 2 = has run. */
  readonly #scripts = new Map<string, Uint8Array>();

  /** Watches the scripts below src/ whose path there matches. */
  constructor(covers: RegExp) {
    this.#covers = covers;
  }

  /** Counts what ran since anybody last asked, and yields how many characters of it had never run before. */
  take(): number {
    let fresh = 0;
    for (const { url, functions } of takeScripts(this.#covers)) {
      const size = Math.max(0, ...functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset)));
      const known = this.#scripts.get(url) ?? new Uint8Array(size);
      this.#scripts.set(url, known);
      const now = new Uint8Array(known.length);
      for (const { ranges } of functions) {
        // The script itself and what the test runner wraps around it ran when it was loaded.
        const [whole] = ranges;
        if (whole === undefined || whole.endOffset - whole.startOffset > size * 0.9) continue;
        // A function's first range is all of it; those inside override it.
        for (const { startOffset, endOffset, count } of ranges) now.fill(count > 0 ? 2 : 1, startOffset, endOffset);
      }
      for (let at = 0; at < now.length; at++) {
        if ((now[at] ?? 0) <= (known[at] ?? 0)) continue;
        if (now[at] === 2) fresh++;
        known[at] = now[at] ?? 0;
      }
    }
    return fresh;
  }

  /** Share of the characters of the watched functions that have run. */
  get ratio(): number {
    let ran = 0;
    let all = 0;
    for (const known of this.#scripts.values()) {
      for (const one of known) {
        if (one > 0) all++;
        if (one > 1) ran++;
      }
    }
    return all === 0 ? 0 : ran / all;
  }
}

function takeScripts(covers: RegExp): readonly Profiler.ScriptCoverage[] {
  let scripts: readonly Profiler.ScriptCoverage[] = [];
  // Answered at once: the session is in this process.
  session.post('Profiler.takePreciseCoverage', (error, taken) => {
    if (error === null) scripts = taken.result;
  });
  return scripts.filter(({ url }) => {
    const at = url.lastIndexOf('/src/');
    return at >= 0 && covers.test(url.slice(at + 5));
  });
}
