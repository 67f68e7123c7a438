import { maskSecrets } from './secrets.ts';

/** One configuration text under the name it is shown by, split into lines (LF or CRLF; a byte order mark is dropped). */
export class SourceFile {
  readonly name: string;
  readonly lines: readonly string[];
  /** Lines that were shown already: many findings may be in one long line. */
  readonly #excerpts = new Map<number, string>();

  constructor(name: string, text: string) {
    this.name = name;
    this.lines = (text.startsWith('\uFEFF') ? text.slice(1) : text).split(/\r?\n/);
  }

  /** Line `number` (from 1) as it may be shown to people: secrets are masked character by character, so columns hold. */
  excerpt(number: number): string {
    const known = this.#excerpts.get(number);
    if (known !== undefined) return known;
    const masked = maskSecrets(this.lines[number - 1] ?? '');
    this.#excerpts.set(number, masked);
    return masked;
  }
}

/** A place in a file: line and column from 1, columns and length in UTF-16 units. */
export interface Span {
  readonly source: SourceFile;
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/** The smallest span that holds both, which must lie on one line. */
export function cover(first: Span, last: Span): Span {
  return { ...first, length: Math.max(1, last.column + last.length - first.column) };
}
