import type { ErrorCode } from '../base/errors.ts';
import type { Span } from './source.ts';

/** Codes of class C: what can be wrong with a configuration. */
export type ConfigCode = Extract<ErrorCode, `C${string}`>;

/** A stretch of source with a remark under it. */
export interface Label {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly length: number;
  /** The whole line, secrets masked. */
  readonly excerpt: string;
  /** The remark; may be empty. */
  readonly text: string;
}

/** One finding: what, where, why, and what to do. */
export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  readonly code: ConfigCode;
  readonly message: string;
  readonly file: string;
  /** From 1; undefined when the finding is about the file as a whole. */
  readonly line: number | undefined;
  readonly column: number | undefined;
  /** The primary label first; empty when there is no line to show. */
  readonly labels: readonly Label[];
  readonly help: string | undefined;
}

/** All findings of one run in the order of the text, cut to what a person can read. */
export interface Diagnostics {
  readonly items: readonly Diagnostic[];
  /** Findings that were cut off. */
  readonly omitted: number;
}

/** JSON form of a finding: the contract of `--json`. */
export interface DiagnosticJson {
  readonly severity: 'error' | 'warning';
  readonly code: string;
  readonly file: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly message: string;
  readonly help: string | null;
  readonly labels: readonly {
    readonly file: string;
    readonly line: number;
    readonly column: number;
    readonly length: number;
    readonly text: string;
  }[];
}

/** `diagnostic` for machines. Source text is left out. */
export function diagnosticJson(diagnostic: Diagnostic): DiagnosticJson {
  const { severity, code, file, line, column, message, help, labels } = diagnostic;
  return {
    severity,
    code,
    file,
    line: line ?? null,
    column: column ?? null,
    message,
    help: help ?? null,
    labels: labels.map((label) => ({
      file: label.file,
      line: label.line,
      column: label.column,
      length: label.length,
      text: label.text,
    })),
  };
}

/** Findings shown in one run; the rest is counted. */
export const MAX_SHOWN = 20;

/** Findings kept while reading: enough to sort and cut, bounded for hostile input. */
const MAX_KEPT = 1000;

/** How a finding is put: `label` goes under the caret, `also` names further places. */
export interface Remarks {
  readonly label?: string;
  readonly help?: string | undefined;
  /** Where the caret goes when it is not the whole of the named place. */
  readonly caret?: Span;
  readonly also?: readonly { readonly at: Span; readonly label: string }[];
}

/** Collects findings while a configuration is read. */
export class Report {
  readonly #items: Diagnostic[] = [];
  #errors = 0;
  #dropped = 0;

  /** Errors found so far; warnings do not count. */
  get errors(): number {
    return this.#errors;
  }

  /** Adds an error at `at`. */
  error(code: ConfigCode, at: Span, message: string, remarks: Remarks = {}): void {
    this.#errors++;
    this.#add('error', code, at, message, remarks);
  }

  /** Adds a warning at `at`. */
  warning(code: ConfigCode, at: Span, message: string, remarks: Remarks = {}): void {
    this.#add('warning', code, at, message, remarks);
  }

  /** Adds an error about a file none of whose lines can be shown. */
  fileError(code: ConfigCode, file: string, message: string, help?: string): void {
    this.#errors++;
    this.#keep({
      severity: 'error',
      code,
      message,
      file,
      line: undefined,
      column: undefined,
      labels: [],
      help,
    });
  }

  /** What was found, errors and warnings mixed in the order of the text; `files` gives the order of the files. */
  diagnostics(files: readonly string[]): Diagnostics {
    const rank = new Map(files.map((file, i) => [file, i]));
    const sorted = this.#items.toSorted(
      (a, b) =>
        (rank.get(a.file) ?? files.length) - (rank.get(b.file) ?? files.length) ||
        (a.line ?? 0) - (b.line ?? 0) ||
        (a.column ?? 0) - (b.column ?? 0),
    );
    // Errors are what must be seen: warnings give way when there is not room for both.
    const errors = sorted.filter((item) => item.severity === 'error').slice(0, MAX_SHOWN);
    const room = MAX_SHOWN - errors.length;
    const warnings = sorted.filter((item) => item.severity === 'warning').slice(0, room);
    const shown = new Set([...errors, ...warnings]);
    return {
      items: sorted.filter((item) => shown.has(item)),
      omitted: this.#dropped + sorted.length - shown.size,
    };
  }

  #add(severity: Diagnostic['severity'], code: ConfigCode, at: Span, message: string, remarks: Remarks): void {
    const places = [{ at: remarks.caret ?? at, label: remarks.label ?? '' }, ...(remarks.also ?? [])];
    if (this.#items.length >= MAX_KEPT) {
      this.#dropped++;
      return;
    }
    this.#keep({
      severity,
      code,
      message,
      file: at.source.name,
      line: at.line,
      column: at.column,
      labels: places.map(({ at: { source, line, column, length }, label }) => ({
        file: source.name,
        line,
        column,
        length,
        excerpt: source.excerpt(line),
        text: label,
      })),
      help: remarks.help,
    });
  }

  #keep(item: Diagnostic): void {
    if (this.#items.length < MAX_KEPT) this.#items.push(item);
    else this.#dropped++;
  }
}
