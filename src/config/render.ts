import { splitAtCommas } from './expand.ts';
import { INTERFACE } from './interface-keys.ts';
import type { KeyInfo } from './key.ts';
import { PEER } from './peer-keys.ts';
import type { Settings } from './settings.ts';
import type { Comment, Line, Piece, SectionLine, SettingLine, Tree } from './tree.ts';

/**
 * `tree` as canonical text: keys in their canonical spelling, equals signs of a section in one column, one blank line
 * between blocks, comments kept. Meant for trees whose every line was read. What a tree means is not changed, and canonical text renders to itself.
 */
export function renderTree(tree: Tree): string {
  const out: string[] = [];
  for (const block of blocksOf(tree)) {
    const width = Math.max(0, ...block.map((line) => (line.kind === 'setting' ? canonicalKey(line).length : 0)));
    const gap = (): void => {
      if (out.length > 0 && out.at(-1) !== '') out.push('');
    };
    gap();
    for (const line of block) {
      if (line.kind === 'blank') gap();
      else if (line.kind !== 'unreadable') out.push(renderLine(line, width));
    }
  }
  while (out.at(-1) === '') out.pop();
  return out.length === 0 ? '' : `${out.join('\n')}\n`;
}

/** Every value of `settings` in full, as the text of a configuration that yields these settings. */
export function renderSettings(settings: Settings): string {
  const sections = [
    renderSection('[Interface]', Object.values(INTERFACE), settings.interface),
    ...settings.peers.map((peer) => renderSection('[Peer]', Object.values(PEER), peer)),
  ];
  return sections.join('\n');
}

/** The canonical spelling of a key; one that is unknown stays as it is written. */
export function canonicalName(written: string): string {
  return CANONICAL.get(written.toLowerCase())?.name ?? (written.toLowerCase() === 'include' ? 'Include' : written);
}

const CANONICAL: ReadonlyMap<string, Pick<KeyInfo, 'name' | 'kind'>> = new Map(
  [...Object.values(PEER), ...Object.values(INTERFACE)].map((known) => [known.name.toLowerCase(), known]),
);

/** Sections with the comments that lead to them; what stands above the first section is a block of its own. */
function blocksOf(tree: Tree): readonly (readonly Line[])[] {
  const blocks: Line[][] = [[]];
  for (const line of tree.lines) {
    if (line.kind === 'section') blocks.push([...takeLeadingComments(blocks.at(-1) ?? []), line]);
    else blocks.at(-1)?.push(line);
  }
  return blocks;
}

/** Takes from the end of `block` the comments that stand right above the next section header. */
function takeLeadingComments(block: Line[]): Line[] {
  let from = block.length;
  while (from > 0 && block[from - 1]?.kind === 'comment') from--;
  return block.splice(from);
}

function renderLine(line: Exclude<Line, { kind: 'blank' | 'unreadable' }>, width: number): string {
  if (line.kind === 'comment') return line.comment.text;
  return withComment(line.kind === 'section' ? renderHeader(line) : renderSetting(line, width), line.comment);
}

function renderHeader(line: SectionLine): string {
  const title = ['Interface', 'Peer'].find((known) => known.toLowerCase() === line.title.text.toLowerCase());
  return `[${[title ?? line.title.text, line.name?.text ?? ''].join(' ').trim()}]`;
}

function renderSetting(line: SettingLine, width: number): string {
  return `${canonicalKey(line).padEnd(width)} = ${renderPieces(line)}`.trimEnd();
}

function canonicalKey(line: SettingLine): string {
  return canonicalName(line.key.text);
}

function withComment(text: string, comment: Comment | undefined): string {
  return comment === undefined ? text : `${text}  ${comment.text}`;
}

/** Lists get one space behind each comma; in a command or an unknown key a comma may be part of a word. */
function renderPieces(line: SettingLine): string {
  const isList = CANONICAL.get(line.key.text.toLowerCase())?.kind === 'list' || canonicalKey(line) === 'Include';
  if (!isList) return line.pieces.map(renderPiece).join('');
  const items = splitAtCommas(line.pieces);
  // Nothing but commas is a mistake that must stay visible.
  if (items.length === 0) return line.pieces.map(renderPiece).join('');
  return items.map((item) => item.map(renderPiece).join('')).join(', ');
}

function renderPiece(piece: Piece): string {
  switch (piece.kind) {
    case 'bare':
      return piece.text;
    case 'comma':
      return ',';
    case 'quoted':
      return quote(piece.text);
    case 'env':
      return piece.fallback === undefined ? `\${${piece.name}}` : `\${${piece.name}:-${piece.fallback}}`;
  }
}

function renderSection<S>(header: string, keys: readonly KeyInfo<S>[], section: S): string {
  const rows = keys
    .map((info) => ({ name: info.name, value: valueText(info, info.texts(section)) }))
    .filter((row) => row.value !== '');
  const width = Math.max(...rows.map((row) => row.name.length));
  return `${header}\n${rows.map((row) => `${row.name.padEnd(width)} = ${row.value}\n`).join('')}`;
}

function valueText(info: KeyInfo<never>, texts: readonly string[]): string {
  return texts.map(writable).join(info.kind === 'command' ? ' ' : ', ');
}

/** `text` as a value, in quotes where it would be read differently without them. */
function writable(text: string): string {
  return text === '' || /[\s,"#;]|\$\{/.test(text) ? quote(text) : text;
}

function quote(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').replaceAll('\t', '\\t');
  return `"${escaped}"`;
}
