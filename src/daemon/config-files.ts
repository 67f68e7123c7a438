import { readdirSync, statSync } from 'node:fs';
import { err, ok, type Result } from '../base/result.ts';
import type { FileReader } from '../config/load.ts';
import { fileProblem, readRegularFile } from './regular-file.ts';

/** One octet more than the loader allows, so that the loader is the one to refuse. */
const MAX_BYTES = 16 * 2 ** 20 + 1;

/** Reads configuration files from disk; pipes only where a shell made them (`<(…)`, `/dev/stdin`). */
export const diskFiles: FileReader = {
  read: (path) => {
    const streams = /^\/(?:dev\/(?:stdin|fd\/\d+)|proc\/self\/fd\/\d+)$/.test(path);
    const content = readRegularFile(path, { maxBytes: MAX_BYTES, follow: true, streams });
    return content.ok ? ok(content.value.octets) : err(content.error.text);
  },
  list: (pattern) => (/[*?[]/.test(pattern) ? expandPattern(pattern) : ok([pattern])),
};

/**
 * The files that `pattern` names, sorted: `*`, `?` and `[…]` within one component each, as glob(7) has them; hidden files
 * only where the dot is written.
 */
function expandPattern(pattern: string): Result<readonly string[], string> {
  let found = [pattern.startsWith('/') ? '/' : ''];
  const components = pattern.split('/').filter((component) => component !== '');
  try {
    for (const component of components) {
      const next: string[] = [];
      for (const directory of found) {
        for (const name of matches(directory, component)) next.push(`${directory}${name}/`);
      }
      found = next;
    }
  } catch (error) {
    return err(fileProblem(error).text);
  }
  const files = found
    .map((path) => path.slice(0, -1))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
  return ok(files.sort());
}

function matches(directory: string, component: string): readonly string[] {
  if (!/[*?[]/.test(component)) return [component];
  const expression = componentExpression(component);
  const folder = directory === '' ? '.' : directory;
  // What is not there, or no directory, matches nothing; a directory that may not be read is an error.
  if (statSync(folder.replace(/(?<=.)\/$/, ''), { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(folder)
    .filter((name) => expression.test(name) && (component.startsWith('.') || !name.startsWith('.')))
    .sort();
}

function componentExpression(component: string): RegExp {
  let source = '';
  for (let i = 0; i < component.length; i++) {
    const c = component.charAt(i);
    const end = c === '[' ? component.indexOf(']', i + 2) : -1;
    if (c === '*') source += '.*';
    else if (c === '?') source += '.';
    else if (end > 0) {
      const set = component.slice(i + 1, end).replace(/[\\\]^]/g, '\\$&');
      source += set.startsWith('!') ? `[^${set.slice(1)}]` : `[${set}]`;
      i = end;
    } else source += c.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  }
  return new RegExp(`^${source.replaceAll(/(?:\.\*)+/g, '.*')}$`, 's');
}
