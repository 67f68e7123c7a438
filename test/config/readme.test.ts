import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseSettings } from '../../src/config/load.ts';
import { checkPair } from '../../src/config/pair.ts';
import { parseTree } from '../../src/config/parser.ts';
import { Report } from '../../src/config/diagnostic.ts';
import { configReference, referenceMarkdown } from '../../src/config/reference.ts';
import { renderTree } from '../../src/config/render.ts';
import { SourceFile } from '../../src/config/source.ts';
import { NO_FILES } from '../../src/config/load.ts';
import { ok } from '../../src/base/result.ts';

const README = 'config/README.md';
const MARK = /<!-- keys:[^>]*-->\n/;

describe('the key reference in config/README.md', () => {
  it('is what the table of keys says (DTUNNEL_UPDATE_README=1 writes it)', () => {
    const text = readFileSync(README, 'utf8');
    const mark = MARK.exec(text)?.[0] ?? '';
    const head = text.slice(0, text.indexOf(mark) + mark.length);
    const current = `${head}\n${referenceMarkdown()}`;
    if (process.env['DTUNNEL_UPDATE_README'] !== undefined) writeFileSync(README, current);
    expect(readFileSync(README, 'utf8')).toBe(current);
  });

  it('names each key once in each section', () => {
    for (const { keys } of configReference()) {
      const names = keys.map((key) => key.name.toLowerCase());
      expect(new Set(names).size).toBe(names.length);
    }
  });
});

describe('the examples', () => {
  const read = (name: string): string => readFileSync(`config/examples/${name}.conf`, 'utf8');
  const files = { ...NO_FILES, list: () => ok([]) };

  it.each(['berlin', 'paris', 'hub', 'spoke'])('%s.conf holds, and is in canonical form', (name) => {
    const text = read(name);
    const result = parseSettings(`${name}.conf`, text, files);
    const found = (result.ok ? result.value.warnings : result.error).items;
    expect(found.map((item) => item.code)).toEqual(name === 'hub' ? ['C108'] : []);
    expect(result.ok).toBe(true);
    expect(renderTree(parseTree(new SourceFile(name, text), new Report()))).toBe(text);
  });

  it('berlin and paris are two ends of one link', () => {
    const [berlin, paris] = ['berlin', 'paris'].map((name) => parseSettings(`${name}.conf`, read(name)));
    if (berlin?.ok !== true || paris?.ok !== true) throw new Error('the examples hold');
    const verdict = checkPair(
      { loaded: berlin.value, fingerprint: undefined },
      { loaded: paris.value, fingerprint: undefined },
    );
    expect(verdict.diagnostics.items).toEqual([]);
  });

  it('of the README holds', () => {
    const text = /```ini\n(.*?)```/s.exec(readFileSync(README, 'utf8'))?.[1] ?? '';
    expect(parseSettings('berlin.conf', text).ok).toBe(true);
  });
});
