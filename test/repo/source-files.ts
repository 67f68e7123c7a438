import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

/** The checkout's root. */
export const ROOT = join(import.meta.dirname, '../..');

/** A file of the project: path from the root with forward slashes, and its text. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** Every file below `folder` (a path from the root) whose name ends in one of `endings`, in order of path. */
export function filesBelow(folder: string, endings: readonly string[]): readonly SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !/(^|\/)(node_modules|build|dist|\.cache)\//.test(path))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

/** Module specifiers a TypeScript file imports, each with whether only its types are used. */
export function importsOf(file: SourceFile): readonly { readonly specifier: string; readonly typeOnly: boolean }[] {
  const found: { specifier: string; typeOnly: boolean }[] = [];
  const statement = /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/g;
  for (const [, type, specifier] of file.text.matchAll(statement)) {
    if (specifier !== undefined) found.push({ specifier, typeOnly: type !== undefined });
  }
  for (const [, specifier] of file.text.matchAll(/\bimport\('([^']+)'\)/g)) {
    if (specifier !== undefined) found.push({ specifier, typeOnly: false });
  }
  return found;
}
