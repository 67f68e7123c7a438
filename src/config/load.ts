import { type Result, err, ok } from '../base/result.ts';
import { type Diagnostics, Report } from './diagnostic.ts';
import type { Draft } from './draft.ts';
import { type Environment, expandList } from './expand.ts';
import { parseTree } from './parser.ts';
import { inDirectory, readSettings } from './schema.ts';
import { type Section, sectionsOf } from './sections.ts';
import type { Settings } from './settings.ts';
import { SourceFile, type Span } from './source.ts';
import { parseIncludePattern } from './values.ts';

/** Reads files for the loader. Relative paths are against the working directory. */
export interface FileReader {
  /** The octets of a file, or why they cannot be had, in the words of the system. */
  readonly read: (path: string) => Result<Uint8Array, string>;
  /** The files a pattern names, sorted; a pattern without `*`, `?` or `[` names itself whether it exists or not. */
  readonly list: (pattern: string) => Result<readonly string[], string>;
}

/** A configuration that holds. */
export interface Loaded {
  readonly settings: Settings;
  readonly warnings: Diagnostics;
  /** Where everything was written, for findings that need more than one configuration. */
  readonly draft: Draft;
  /** Every file that was read, the main one first: what to watch and to hash. */
  readonly files: readonly string[];
}

/** Largest configuration file: 10,000 peers in one file are some 3 MiB. */
const MAX_FILE_BYTES = 16 * 2 ** 20;
/** Most files one pattern may name. */
const MAX_INCLUDED = 100_000;

/** The settings in file `path`, or everything that is wrong with them. Never throws. */
export function loadSettings(path: string, files: FileReader, environment: Environment): Result<Loaded, Diagnostics> {
  const report = new Report();
  const text = readText(path, files, report);
  return text === undefined ? err(report.diagnostics([path])) : assemble(path, text, files, environment, report);
}

/** Like `loadSettings`, for text that is at hand; `name` is what diagnostics call it and gives the default Name. */
export function parseSettings(
  name: string,
  text: string,
  files: FileReader = NO_FILES,
  environment: Environment = () => undefined,
): Result<Loaded, Diagnostics> {
  return assemble(name, text, files, environment, new Report());
}

/** A reader for texts that include nothing. */
export const NO_FILES: FileReader = {
  read: () => err('files cannot be read here'),
  list: () => err('files cannot be included here'),
};

function assemble(
  path: string,
  text: string,
  files: FileReader,
  environment: Environment,
  report: Report,
): Result<Loaded, Diagnostics> {
  const source = new SourceFile(path, text);
  const main = sectionsOf(parseTree(source, report), report);
  const sections: Section[] = [...main.sections];
  const directory = path.slice(0, path.lastIndexOf('/') + 1);
  const read = new Set([path]);
  for (const setting of main.includes) {
    if (setting.pieces.length === 0) {
      report.error('C016', setting.key.span, 'Include has no value', { help: 'as in /etc/dtunnel/peers.d/*.conf' });
    }
    for (const pattern of expandList(setting.pieces, environment, report)) {
      for (const included of filesOf(inDirectory(directory, pattern.text), pattern.span, files, report)) {
        if (read.has(included)) continue;
        read.add(included);
        const content = readText(included, files, report, pattern.span);
        if (content !== undefined) sections.push(...includedSections(included, content, report));
      }
    }
  }
  const defaultName = baseName(path);
  const start: Span = { source, line: 1, column: 1, length: Math.max(1, source.lines[0]?.length ?? 1) };
  const outcome = readSettings({ sections, defaultName, directory, start, environment }, report);
  const diagnostics = report.diagnostics([...read]);
  if (outcome === undefined) return err(diagnostics);
  return ok({ settings: outcome.settings, draft: outcome.draft, warnings: diagnostics, files: [...read] });
}

function filesOf(pattern: string, at: Span, files: FileReader, report: Report): readonly string[] {
  const parsed = parseIncludePattern(pattern);
  const found = parsed.ok ? files.list(parsed.value) : err(parsed.error.message);
  if (!found.ok) {
    report.error('C030', at, `cannot include ${pattern.slice(0, 128)}: ${found.error}`, {
      label: 'named here',
      help: 'as in  Include = /etc/dtunnel/peers.d/*.conf',
    });
    return [];
  }
  if (found.value.length === 0) {
    report.warning('C108', at, 'no file matches this pattern', { label: 'nothing included', help: 'check the path' });
  }
  if (found.value.length <= MAX_INCLUDED) return found.value;
  report.error('C009', at, `the pattern names ${found.value.length} files, ${MAX_INCLUDED} are allowed`);
  return [];
}

/** Included files add peers. What makes a tunnel stays in one file, where it is looked for. */
function includedSections(path: string, text: string, report: Report): readonly Section[] {
  const { sections, includes } = sectionsOf(parseTree(new SourceFile(path, text), report), report);
  for (const { key } of includes) {
    report.error('C030', key.span, 'an included file cannot include others', {
      label: 'not followed',
      help: 'list every pattern in the main file',
    });
  }
  for (const section of sections) {
    if (section.kind !== 'Interface') continue;
    report.error('C030', section.header, 'an included file holds [Peer] sections only', {
      label: 'not allowed here',
      help: 'keep [Interface] in the main file',
    });
  }
  return sections.filter((section) => section.kind === 'Peer');
}

function readText(path: string, files: FileReader, report: Report, includedAt?: Span): string | undefined {
  const octets = files.read(path);
  if (!octets.ok) {
    if (includedAt === undefined) report.fileError('C001', path, `cannot read ${path}: ${octets.error}`);
    else report.error('C030', includedAt, `cannot include ${path}: ${octets.error}`, { label: 'named here' });
    return undefined;
  }
  if (octets.value.length > MAX_FILE_BYTES) {
    report.fileError('C009', path, `${path} has ${octets.value.length} bytes, ${MAX_FILE_BYTES} are allowed`);
    return undefined;
  }
  const text = decode(octets.value);
  if (text === undefined) {
    report.fileError('C002', path, `${path} is not UTF-8 text`, 'convert it, or remove what is no text');
  }
  return text;
}

/** Undefined when `octets` are not UTF-8. */
function decode(octets: Uint8Array): string | undefined {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(octets);
  // The decoder's mark for what it could not read; nobody writes it on purpose.
  return text.includes('\uFFFD') ? undefined : text;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1).replace(/\.conf$/, '');
}
