import type { Report } from './diagnostic.ts';
import { maskKeyMaterial } from './secrets.ts';
import type { Span } from './source.ts';
import { nearest } from './suggest.ts';
import type { SectionLine, SettingLine, Token, Tree } from './tree.ts';
import { quoted } from './value.ts';

/** A section with its settings in the order of the text. */
export interface Section {
  readonly kind: 'Interface' | 'Peer';
  readonly header: Span;
  /** `[Peer NAME]`. */
  readonly name: Token | undefined;
  readonly settings: readonly SettingLine[];
  /** Some of its lines could not be read: what seems to be missing may be in them. */
  readonly damaged: boolean;
}

/** What a tree consists of. */
export interface Sections {
  readonly sections: readonly Section[];
  /** `Include` lines, wherever they stand: an included file begins its own sections. */
  readonly includes: readonly SettingLine[];
}

/** The sections of `tree`. Unknown ones are reported and left out with all they hold. */
export function sectionsOf(tree: Tree, report: Report): Sections {
  const sections: (Section & { settings: SettingLine[]; damaged: boolean })[] = [];
  const includes: SettingLine[] = [];
  let place: 'top' | 'known' | 'unknown' = 'top';
  for (const line of tree.lines) {
    if (line.kind === 'section') {
      const kind = sectionKind(line, report);
      place = kind === undefined ? 'unknown' : 'known';
      if (kind !== undefined) sections.push({ kind, header: line.span, name: line.name, settings: [], damaged: false });
    } else if (line.kind === 'unreadable') {
      const open = sections.at(-1);
      // Settings behind a broken header belong to no section that is known.
      if (line.header) place = 'unknown';
      else if (place === 'known' && open !== undefined) open.damaged = true;
    } else if (line.kind === 'setting') {
      if (line.key.text.toLowerCase() === 'include') includes.push(line);
      else if (place === 'known') sections.at(-1)?.settings.push(line);
      else if (place === 'top') {
        report.error('C011', line.key.span, `${quoted(line.key.text)} stands outside a section`, {
          label: 'belongs to no section',
          help: 'put [Interface] or [Peer] above it',
        });
      }
    }
  }
  return { sections, includes };
}

/** How `section` is called in messages: `[Peer berlin]`. */
export function sectionTitle(section: Section): string {
  const setting = section.settings.find((line) => line.key.text.toLowerCase() === 'name');
  const [piece] = setting?.pieces ?? [];
  const name = section.name?.text ?? (piece?.kind === 'bare' || piece?.kind === 'quoted' ? piece.text : undefined);
  return section.kind === 'Interface' || name === undefined
    ? `[${section.kind}]`
    : `[Peer ${maskKeyMaterial(name).slice(0, 63)}]`;
}

function sectionKind(line: SectionLine, report: Report): Section['kind'] | undefined {
  const kind = KINDS.find((known) => known.toLowerCase() === line.title.text.toLowerCase());
  if (kind === undefined) {
    const meant = nearest(line.title.text, KINDS);
    report.error('C010', line.span, `unknown section [${maskKeyMaterial(line.title.text).slice(0, 48)}]`, {
      label: meant === undefined ? 'not a section' : `did you mean '[${meant}]'?`,
      help: meant === undefined ? 'sections are [Interface] and [Peer], or [Peer NAME]' : undefined,
    });
    return undefined;
  }
  if (kind === 'Interface' && line.name !== undefined) {
    report.error('C010', line.name.span, '[Interface] takes no name', {
      label: 'not expected',
      help: `write  Name = ${maskKeyMaterial(line.name.text).slice(0, 48)}  below it`,
    });
  }
  return kind;
}

const KINDS = ['Interface', 'Peer'] as const;
