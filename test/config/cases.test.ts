import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderDiagnostics } from '../../src/cli/diagnostics.ts';
import { ERRORS } from '../../src/base/errors.ts';
import { err } from '../../src/base/result.ts';
import { type FileReader, loadSettings } from '../../src/config/load.ts';
import { diskFiles } from '../../src/daemon/config-files.ts';

/**
 * Each cases/NAME.conf stands next to cases/NAME.txt, which is what a terminal shows for it. `# env: A=b` lines set the
 * environment. DTUNNEL_UPDATE_CASES=1 rewrites the texts, to be read before they are committed.
 */
const DIRECTORY = join(import.meta.dirname, 'cases');
const NAMES = readdirSync(DIRECTORY)
  .filter((file) => file.endsWith('.conf'))
  .map((file) => file.slice(0, -'.conf'.length));

/** Reads relative to the directory of the cases, and shows the paths as they are written there. */
const files: FileReader = {
  read: (path) => diskFiles.read(join(DIRECTORY, path)),
  list: (pattern) => {
    const found = diskFiles.list(join(DIRECTORY, pattern));
    if (!found.ok) return err(found.error);
    return { ok: true, value: found.value.map((path) => path.slice(DIRECTORY.length + 1)) };
  },
};

function rendered(name: string): string {
  const text = readFileSync(join(DIRECTORY, `${name}.conf`), 'utf8');
  const environment = new Map([...text.matchAll(/^# env: (\w+)=(.*)$/gm)].map((match) => [match[1], match[2]]));
  const result = loadSettings(`${name}.conf`, files, (variable) => environment.get(variable));
  return renderDiagnostics(result.ok ? result.value.warnings : result.error);
}

describe('configurations with mistakes', () => {
  it.each(NAMES)('%s is explained as recorded', (name) => {
    const expected = join(DIRECTORY, `${name}.txt`);
    const text = rendered(name);
    if (process.env['DTUNNEL_UPDATE_CASES'] !== undefined) writeFileSync(expected, text);
    expect(existsSync(expected), `${expected} exists`).toBe(true);
    expect(text).toBe(readFileSync(expected, 'utf8'));
  });

  it('show every code that reading a configuration can end with', () => {
    const shown = new Set(
      NAMES.flatMap((name) => [...rendered(name).matchAll(/\[(C\d+)\]/g)].map((match) => match[1])),
    );
    // The file itself (its own test below), what is only said of a pair, and limits that no fixture should reach.
    const elsewhere = ['C001', 'C009', 'C040', 'C041', 'C042', 'C102', 'C103'];
    const codes = Object.keys(ERRORS).filter((code) => code.startsWith('C'));
    expect(codes.filter((code) => !shown.has(code)).toSorted()).toEqual(elsewhere);
  });

  it('never show key material or tokens', () => {
    for (const name of NAMES) {
      expect(rendered(name)).not.toMatch(/0{20}|2{43}|MIIB|abcdefghijklmnopqrstuvwxyz/);
    }
  });
});
