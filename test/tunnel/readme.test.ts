import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const FOLDER = join(import.meta.dirname, '../../src/tunnel');
const README = join(FOLDER, 'README.md');
const BETWEEN = /<!-- limits -->\n[\s\S]*<!-- \/limits -->/;

/** The table of all constants in limits.ts: name, value as written, and what its comment says. */
function table(): string {
  const source = readFileSync(join(FOLDER, 'limits.ts'), 'utf8');
  const rows: string[] = [];
  let comment = '';
  for (const part of source.matchAll(
    /\/\*\*([\s\S]*?)\*\/|export const (\w+)(?:: \w+)? = ([\s\S]*?);\n|\/\/ --- ([^-]+) -/g,
  )) {
    const [, doc, name, value, heading] = part;
    if (heading !== undefined) rows.push(`| **${heading.trim()}** | | |`);
    if (doc !== undefined) comment = doc.replace(/\s*\n\s*\*\s?/g, ' ').trim();
    if (name === undefined || value === undefined) continue;
    rows.push(`| \`${name}\` | \`${value.replace(/\s+/g, ' ').replace(/ as const$/, '')}\` | ${comment} |`);
    comment = 'as above';
  }
  return ['| name | value | meaning and source |', '| --- | --- | --- |', ...rows].join('\n');
}

/** The text of each cell: the formatter may align columns as it likes. */
function cells(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('|'));
  return lines.map((line) => line.split('|').map((cell) => cell.trim().replace(/^-+$/, '---')));
}

describe('the table of timers and bounds in src/tunnel/README.md', () => {
  it('says what limits.ts says (rewrite it with DTUNNEL_WRITE_DOCS=1)', () => {
    const wanted = `<!-- limits -->\n${table()}\n<!-- /limits -->`;
    const text = readFileSync(README, 'utf8');
    if (process.env['DTUNNEL_WRITE_DOCS'] === '1')
      writeFileSync(
        README,
        text.replace(BETWEEN, () => wanted),
      );
    const found = BETWEEN.exec(readFileSync(README, 'utf8'))?.[0] ?? '';
    expect(cells(found)).toEqual(cells(wanted));
  });
});
