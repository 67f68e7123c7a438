import type { Report } from './diagnostic.ts';
import type { SourceFile, Span } from './source.ts';
import type { Comment, Piece } from './tree.ts';

/**
 * A cursor over one line of a configuration text. It knows comments, quotes and `${…}`; the parser knows lines.
 * Problems go to the report; the methods then yield undefined and the rest of the line is not to be trusted.
 */
export class LineLexer {
  readonly #source: SourceFile;
  readonly #number: number;
  readonly #text: string;
  readonly #report: Report;
  /** Index of the next character. */
  #at = 0;

  constructor(source: SourceFile, number: number, report: Report) {
    this.#source = source;
    this.#number = number;
    this.#text = source.lines[number - 1] ?? '';
    this.#report = report;
  }

  /** Whether nothing is left but white space. */
  get done(): boolean {
    return this.#text.slice(this.#at).trim() === '';
  }

  /** The next character that is not white space, without taking it; empty at the end. */
  peek(): string {
    return this.#text.slice(this.#at).trimStart().charAt(0);
  }

  /** The span from index `from` to index `to`. */
  span(from: number, to: number): Span {
    return { source: this.#source, line: this.#number, column: from + 1, length: Math.max(1, to - from) };
  }

  /** Where the next character that is not white space stands. */
  here(): Span {
    this.#skipSpace();
    return this.span(this.#at, this.#at + 1);
  }

  /** The rest of the line as a comment; undefined when it does not begin with `#` or `;`. */
  comment(): Comment | undefined {
    const rest = this.#text.slice(this.#at).trim();
    if (!rest.startsWith('#') && !rest.startsWith(';')) return undefined;
    this.#at = this.#text.length;
    return { text: rest };
  }

  /** Everything before the first of `stops`, trimmed, with its place; `stops` is not taken. */
  until(stops: string): { readonly text: string; readonly span: Span; readonly stop: string } {
    this.#skipSpace();
    const from = this.#at;
    while (this.#at < this.#text.length && !stops.includes(this.#text.charAt(this.#at))) this.#at++;
    const text = this.#text.slice(from, this.#at).trimEnd();
    return { text, span: this.span(from, from + text.length), stop: this.#text.charAt(this.#at) };
  }

  /** Takes one character after white space. */
  take(): void {
    this.#skipSpace();
    this.#at++;
  }

  /** The pieces of a value, up to a comment or the end of the line. */
  pieces(): readonly Piece[] | undefined {
    const pieces: Piece[] = [];
    this.#skipSpace();
    while (this.#at < this.#text.length) {
      const next = this.#text.charAt(this.#at);
      if (next === '#' || next === ';') break;
      const piece = this.#piece(next);
      if (piece === undefined) return undefined;
      if (piece.kind === 'quoted' && !this.#standsAlone(piece.span)) return undefined;
      pieces.push(piece);
    }
    return trimEnd(pieces);
  }

  #piece(next: string): Piece | undefined {
    const from = this.#at;
    if (next === ',') {
      this.#at++;
      return { kind: 'comma', span: this.span(from, this.#at) };
    }
    if (next === '"') return this.#quoted();
    if (this.#text.startsWith('${', from)) return this.#env();
    this.#at++;
    while (this.#at < this.#text.length && !this.#endsBare()) this.#at++;
    return { kind: 'bare', text: this.#text.slice(from, this.#at), span: this.span(from, this.#at) };
  }

  #endsBare(): boolean {
    return ',"#;'.includes(this.#text.charAt(this.#at)) || this.#text.startsWith('${', this.#at);
  }

  #quoted(): Piece | undefined {
    const from = this.#at;
    let text = '';
    for (let i = from + 1; i < this.#text.length; i++) {
      const c = this.#text.charAt(i);
      if (c === '"') {
        this.#at = i + 1;
        return { kind: 'quoted', text, span: this.span(from, this.#at) };
      }
      if (c !== '\\') {
        text += c;
        continue;
      }
      const escaped = ESCAPES.get(this.#text.charAt(i + 1));
      if (escaped === undefined) {
        this.#report.error('C005', this.span(i, i + 2), 'unknown escape in a quoted value', {
          label: 'not an escape',
          help: 'known are \\" \\\\ \\n \\t; write \\\\ for a backslash',
        });
        return undefined;
      }
      text += escaped;
      i++;
    }
    this.#report.error('C004', this.span(from, this.#text.length), 'the quote is never closed', {
      label: 'opened here',
      caret: this.span(from, from + 1),
      help: 'a quoted value ends on the line it began on: add a "',
    });
    return undefined;
  }

  #env(): Piece | undefined {
    const from = this.#at;
    const end = this.#text.indexOf('}', from);
    const span = this.span(from, end < 0 ? this.#text.length : end + 1);
    const match = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/.exec(end < 0 ? '' : this.#text.slice(from + 2, end));
    if (match === null) {
      this.#report.error('C007', span, end < 0 ? '${ is never closed' : 'this is no variable reference', {
        label: end < 0 ? 'opened here' : 'not understood',
        help: `write \${NAME} or \${NAME:-default}; put text that holds \${ in quotes`,
      });
      return undefined;
    }
    this.#at = end + 1;
    return { kind: 'env', name: match[1] ?? '', fallback: match[2], span };
  }

  /** Whether a quoted piece is set off by white space, commas or the line's ends, as it must be. */
  #standsAlone(span: Span): boolean {
    const before = this.#text.charAt(span.column - 2);
    const after = this.#text.charAt(span.column - 1 + span.length);
    if (/^[\s,=]?$/.test(before) && /^[\s,#;]?$/.test(after)) return true;
    this.#report.error('C006', span, 'a quoted value must stand alone', {
      label: 'touches other text',
      help: 'quote the whole value, or separate the words',
    });
    return false;
  }

  #skipSpace(): void {
    while (/\s/.test(this.#text.charAt(this.#at))) this.#at++;
  }
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['n', '\n'],
  ['t', '\t'],
]);

function trimEnd(pieces: Piece[]): readonly Piece[] {
  const last = pieces.at(-1);
  if (last?.kind !== 'bare') return pieces;
  const text = last.text.trimEnd();
  const rest = pieces.slice(0, -1);
  return text === '' ? rest : [...rest, { ...last, text, span: { ...last.span, length: text.length } }];
}
