import type { Span } from './source.ts';

/** A configuration text as a tree with positions. Nothing is interpreted yet: keys may be unknown, values wrong. */
export interface Tree {
  /** Every line of the text in order. */
  readonly lines: readonly Line[];
}

/** One line. */
export type Line =
  | { readonly kind: 'blank' }
  | { readonly kind: 'comment'; readonly comment: Comment }
  | SectionLine
  | SettingLine
  /** A line that could not be read and was reported; `header`: it was to begin a section. */
  | { readonly kind: 'unreadable'; readonly header: boolean };

/** `[Interface]`, `[Peer]` or `[Peer NAME]`. */
export interface SectionLine {
  readonly kind: 'section';
  /** The whole header, brackets included. */
  readonly span: Span;
  /** The first word as written. */
  readonly title: Token;
  /** What follows the first word. */
  readonly name: Token | undefined;
  readonly comment: Comment | undefined;
}

/** `Key = value, value`. */
export interface SettingLine {
  readonly kind: 'setting';
  readonly key: Token;
  /** The value in pieces, white space around it dropped; empty when nothing stands behind the equals sign. */
  readonly pieces: readonly Piece[];
  readonly comment: Comment | undefined;
}

/** A word with its place. */
export interface Token {
  readonly text: string;
  readonly span: Span;
}

/** A comment: `text` begins with `#` or `;` and has no white space at its end. */
export interface Comment {
  readonly text: string;
}

/** A part of a value. Pieces lie next to each other; white space between them is part of the bare ones. */
export type Piece =
  | { readonly kind: 'bare'; readonly text: string; readonly span: Span }
  | { readonly kind: 'comma'; readonly span: Span }
  /** `text` with its escapes resolved; `span` includes the quotes. */
  | { readonly kind: 'quoted'; readonly text: string; readonly span: Span }
  /** `${name}` or `${name:-fallback}`. */
  | { readonly kind: 'env'; readonly name: string; readonly fallback: string | undefined; readonly span: Span };
