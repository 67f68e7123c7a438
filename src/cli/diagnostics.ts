import { type Diagnostic, type Diagnostics, type Label, diagnosticJson } from '../config/diagnostic.ts';

/** Configuration findings for a terminal, in the shape operators know from compilers. */

/** `diagnostics` as text, one blank line between findings; empty when there are none. */
export function renderDiagnostics(diagnostics: Diagnostics, colour = false): string {
  const paint = painter(colour);
  const blocks = diagnostics.items.map((item) => renderDiagnostic(item, paint));
  if (diagnostics.omitted > 0) blocks.push(paint.bold(`… and ${diagnostics.omitted} more, not shown\n`));
  return blocks.join('\n');
}

/** The warnings among `diagnostics`, one line each: what a command that succeeds has to add. */
export function renderWarningLines(diagnostics: Diagnostics, colour = false): string {
  const paint = painter(colour);
  return diagnostics.items
    .filter((item) => item.severity === 'warning')
    .map((item) => {
      const where = item.line === undefined ? item.file : `${item.file}:${item.line}`;
      return `${paint.yellow('warning')}: ${printable(`${where}: ${item.message}`)}\n`;
    })
    .join('');
}

/** `diagnostics` as the value of a JSON document. */
export function diagnosticsJson(diagnostics: Diagnostics): object {
  return { diagnostics: diagnostics.items.map(diagnosticJson), omitted: diagnostics.omitted };
}

/** Columns of source shown of a longer line. */
const MAX_EXCERPT = 160;

interface Painter {
  readonly bold: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly blue: (text: string) => string;
}

function painter(colour: boolean): Painter {
  const wrap = (code: string) => (text: string) => (colour && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { bold: wrap('1'), red: wrap('1;31'), yellow: wrap('1;33'), blue: wrap('1;34') };
}

function renderDiagnostic(item: Diagnostic, paint: Painter): string {
  const severe = item.severity === 'error' ? paint.red : paint.yellow;
  const where = item.line === undefined ? item.file : `${item.file}:${item.line}:${item.column}`;
  const gutter = ' '.repeat(Math.max(0, ...item.labels.map((label) => `${label.line}`.length)));
  const bar = (left: string) => paint.blue(`${left} |`);
  const lines = [
    `${severe(`${item.severity}[${item.code}]`)}${paint.bold(`: ${printable(item.message)}`)}`,
    `${gutter}${paint.blue('-->')} ${printable(where)}`,
  ];
  const primary = item.labels[0];
  if (primary !== undefined) lines.push(bar(gutter));
  let shown: Label | undefined;
  for (const label of inOrder(item.labels, item.file)) {
    if (shown !== undefined && shown.file !== label.file) {
      lines.push(`${gutter}${paint.blue(':::')} ${printable(label.file)}:${label.line}:${label.column}`);
    }
    const window = crop(label);
    // Two marks on one line share its text; a cropped line is shown again, for the window moved.
    if (
      shown === undefined ||
      shown.file !== label.file ||
      shown.line !== label.line ||
      window.text !== crop(shown).text
    ) {
      lines.push(`${bar(`${label.line}`.padStart(gutter.length))} ${window.text}`.trimEnd());
    }
    const [mark, colourOf] = label === primary ? ['^', severe] : ['-', paint.blue];
    const marks = mark.repeat(Math.max(1, Math.min(label.length, MAX_EXCERPT - window.column)));
    const remark = label.text === '' ? marks : `${marks} ${printable(label.text)}`;
    lines.push(`${bar(gutter)} ${' '.repeat(window.column)}${colourOf(remark)}`);
    shown = label;
  }
  const note = item.help === undefined ? `see: dtunnel help ${item.code}` : `help: ${printable(item.help)}`;
  lines.push(`${gutter} ${paint.blue('=')} ${note}`);
  return `${lines.join('\n')}\n`;
}

/** By file and line, the file of the finding first, so that the eye goes downwards. */
function inOrder(labels: readonly Label[], file: string): readonly Label[] {
  const rank = (label: Label): number => (label.file === file ? 0 : 1);
  return labels.toSorted(
    (a, b) => rank(a) - rank(b) || (a.file === b.file ? a.line - b.line || a.column - b.column : 0),
  );
}

/** What is shown of a label's line, and the column of the label in it, from 0. */
function crop(label: Label): { readonly text: string; readonly column: number } {
  const column = label.column - 1;
  if (label.excerpt.length <= MAX_EXCERPT && column <= MAX_EXCERPT) {
    return { text: printable(label.excerpt), column };
  }
  const from = Math.max(0, column - MAX_EXCERPT / 2);
  const to = from + MAX_EXCERPT;
  const head = from > 0 ? '…' : '';
  const tail = to < label.excerpt.length ? '…' : '';
  return { text: `${head}${printable(label.excerpt.slice(from, to))}${tail}`, column: column - from + head.length };
}

/** One column per character: tabs become spaces, and what would drive the terminal or reverse the text is blanked. */
function printable(text: string): string {
  return text.replaceAll('\t', ' ').replace(UNPRINTABLE, '\uFFFD');
}

const UNPRINTABLE = /[\p{Cc}\p{Bidi_Control}\u200B-\u200D\u2028\u2029\uFEFF]/gu;
