/** Who is told how the demo goes, while it goes. */
export interface Narrator {
  /** A step begins. */
  begin(title: string): void;
  /** The step that began last is done: with what came of it. */
  done(result: string): void;
  /** Output of a command, as an operator would see it. */
  show(command: string, output: string): void;
  /** A remark between steps. */
  note(text: string): void;
}

/** Where a story is told. */
export interface Stage {
  readonly write: (text: string) => void;
  /** Lines can be redrawn and coloured. */
  readonly terminal: boolean;
  readonly colour: boolean;
  readonly unicode: boolean;
}

/**
 * Tells the demo to a person: one line a step, with a moving mark while it goes on where the terminal can show one, and
 * what commands print set off by a margin.
 */
export class TextNarrator implements Narrator {
  readonly #stage: Stage;
  #title: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  begin(title: string): void {
    this.#title = title;
    if (!this.#stage.terminal) return;
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), FRAME_MS);
  }

  done(result: string): void {
    this.#finish(this.#paint(GREEN, this.#stage.unicode ? '✓' : '+'), result);
  }

  /** The step that began last did not succeed; harmless when none is going on. */
  failed(): void {
    if (this.#title !== undefined) this.#finish(this.#paint(RED, this.#stage.unicode ? '✗' : 'x'), '');
  }

  show(command: string, output: string): void {
    const bar = this.#paint(DIM, this.#stage.unicode ? '│' : '|');
    const lines = output.trimEnd().split('\n');
    const body = lines.map((line) => `  ${bar} ${line}`.trimEnd()).join('\n');
    this.#stage.write(`\n  ${this.#paint(DIM, '$')} ${this.#paint(BOLD, command)}\n${body}\n`);
  }

  note(text: string): void {
    this.#stage.write(`${text}\n`);
  }

  /** `text` in bold where there is colour. */
  strong(text: string): string {
    return this.#paint(BOLD, text);
  }

  #finish(mark: string, result: string): void {
    clearInterval(this.#timer);
    const title = this.#title ?? '';
    this.#title = undefined;
    const space = ' '.repeat(Math.max(2, WIDTH - title.length));
    const line = `${mark} ${title}${result === '' ? '' : `${space}${this.#paint(BOLD, result)}`}`;
    this.#stage.write(this.#stage.terminal ? `\r\x1b[K${line}\n` : `${line}\n`);
  }

  #draw(): void {
    const frame = FRAMES.charAt(this.#frame++ % FRAMES.length);
    this.#stage.write(`\r\x1b[K${this.#paint(BLUE, frame)} ${this.#title ?? ''}`);
  }

  #paint(code: string, text: string): string {
    return this.#stage.colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  }
}

/** Tells nobody: for `--json`, whose one document says it all. */
export const silent: Narrator = {
  begin: () => undefined,
  done: () => undefined,
  show: () => undefined,
  note: () => undefined,
};

/** Column of the results. */
const WIDTH = 42;
const FRAME_MS = 100;
const FRAMES = '|/-\\';
const BOLD = '1';
const DIM = '2';
const RED = '1;31';
const GREEN = '32';
const BLUE = '34';
