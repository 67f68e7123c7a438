import type { Report } from './diagnostic.ts';
import { type Span, cover } from './source.ts';
import type { Piece } from './tree.ts';

/** Looks up an environment variable. */
export type Environment = (name: string) => string | undefined;

/** One value as text, with the place it came from. */
export interface ValueText {
  readonly text: string;
  readonly span: Span;
  /** Where character 0 of `text` stands in the line; undefined when text and line do not run in parallel. */
  readonly start: number | undefined;
}

/** The part of `value` from character `at`; the whole of it when the text was not written literally. */
export function partOf(value: ValueText, at: number, length: number): Span {
  if (value.start === undefined) return value.span;
  return { ...value.span, column: value.start + at, length };
}

/**
 * The values of a list: split at commas, with variables expanded. A variable that stands alone may hold several values
 * with commas, or none; its text is not interpreted any further, so that an environment cannot add keys or comments.
 */
export function expandList(pieces: readonly Piece[], environment: Environment, report: Report): readonly ValueText[] {
  const values: ValueText[] = [];
  for (const item of splitAtCommas(pieces)) {
    const [only] = item;
    const value = expandItem(item, environment, report);
    if (value === undefined) continue;
    if (item.length > 1 || only?.kind !== 'env') {
      values.push(value);
      continue;
    }
    for (const part of value.text.split(',')) {
      if (part.trim() !== '') values.push({ ...value, text: part.trim() });
    }
  }
  return values;
}

/** The only value of a scalar; undefined when a variable is missing, which is then reported. */
export function expandScalar(
  pieces: readonly Piece[],
  environment: Environment,
  report: Report,
): ValueText | undefined {
  return expandItem(pieces, environment, report);
}

/** The words of a command: split at white space, quoted words whole, commas as they are. */
export function expandWords(pieces: readonly Piece[], environment: Environment, report: Report): readonly ValueText[] {
  const words: ValueText[] = [];
  let open: { text: string; first: Span; last: Span; literal: boolean } | undefined;
  const close = (): void => {
    if (open === undefined) return;
    const { text, first, last, literal } = open;
    words.push({ text, span: cover(first, last), start: literal ? first.column : undefined });
    open = undefined;
  };
  const append = (text: string, span: Span, literal: boolean): void => {
    if (open === undefined) open = { text, first: span, last: span, literal };
    else open = { text: open.text + text, first: open.first, last: span, literal: open.literal && literal };
  };
  for (const piece of pieces) {
    if (piece.kind === 'quoted') {
      close();
      words.push({ text: piece.text, span: piece.span, start: undefined });
    } else if (piece.kind === 'bare') {
      for (const match of piece.text.matchAll(/\s+|\S+/g)) {
        if (match[0].trim() === '') close();
        else
          append(match[0], { ...piece.span, column: piece.span.column + match.index, length: match[0].length }, true);
      }
    } else if (piece.kind === 'comma') {
      append(',', piece.span, true);
    } else {
      const text = expandVariable(piece, environment, report);
      if (text !== undefined) append(text, piece.span, false);
    }
  }
  close();
  return words;
}

/** The runs of pieces between commas, white space at their ends dropped, empty runs left out. */
export function splitAtCommas(pieces: readonly Piece[]): readonly (readonly Piece[])[] {
  const items: Piece[][] = [[]];
  for (const piece of pieces) {
    if (piece.kind === 'comma') items.push([]);
    else items.at(-1)?.push(piece);
  }
  return items.map(trim).filter((item) => item.length > 0);
}

function expandItem(item: readonly Piece[], environment: Environment, report: Report): ValueText | undefined {
  const [first] = item;
  const last = item.at(-1);
  if (first === undefined || last === undefined) return undefined;
  let text = '';
  for (const piece of item) {
    const part = piece.kind === 'env' ? expandVariable(piece, environment, report) : textOf(piece);
    if (part === undefined) return undefined;
    text += part;
  }
  const literal = item.every((piece) => piece.kind === 'bare' || piece.kind === 'comma');
  const plainQuote = first.kind === 'quoted' && item.length === 1 && first.span.length === text.length + 2;
  const start = literal ? first.span.column : plainQuote ? first.span.column + 1 : undefined;
  return { text, span: cover(first.span, last.span), start };
}

function textOf(piece: Exclude<Piece, { kind: 'env' }>): string {
  return piece.kind === 'comma' ? ',' : piece.text;
}

function expandVariable(
  piece: Extract<Piece, { kind: 'env' }>,
  environment: Environment,
  report: Report,
): string | undefined {
  const set = environment(piece.name);
  const text = set === undefined || set === '' ? (piece.fallback ?? set) : set;
  if (text === undefined || (text === '' && piece.fallback === undefined)) {
    report.error('C008', piece.span, `environment variable ${piece.name} is ${set === '' ? 'empty' : 'not set'}`, {
      label: 'no value',
      help: `set it, or give it a default: \${${piece.name}:-default}`,
    });
    return undefined;
  }
  if (/\p{Cc}/u.test(text)) {
    report.error('C008', piece.span, `environment variable ${piece.name} holds a control character`, {
      label: 'cannot be used',
      help: 'a value is one line of plain text',
    });
    return undefined;
  }
  return text;
}

function trim(item: readonly Piece[]): Piece[] {
  const pieces = [...item];
  const first = pieces[0];
  if (first?.kind === 'bare') {
    const text = first.text.trimStart();
    const cut = first.text.length - text.length;
    if (text === '') pieces.shift();
    else pieces[0] = { ...first, text, span: { ...first.span, column: first.span.column + cut, length: text.length } };
  }
  const last = pieces.at(-1);
  if (last?.kind === 'bare') {
    const text = last.text.trimEnd();
    if (text === '') pieces.pop();
    else pieces[pieces.length - 1] = { ...last, text, span: { ...last.span, length: text.length } };
  }
  return pieces;
}
