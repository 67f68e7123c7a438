import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CLIENT_EXPECTS, SERVER_EXPECTS, type Transitions } from '../../src/dtls/handshake/expects.ts';

const README = new URL('../../src/dtls/README.md', import.meta.url);
const BEGIN = '<!-- generated from handshake/expects.ts: begin -->\n';
const END = '<!-- generated from handshake/expects.ts: end -->';

function tableOf(title: string, expects: Readonly<Record<string, Transitions<string>>>): string {
  const rows = Object.entries(expects).flatMap(([state, transitions]) => {
    const accepted = Object.entries(transitions);
    if (accepted.length === 0) return [[state, 'nothing more', '']];
    return accepted.map(([message, next]) => [state, message, next]);
  });
  const arrows = Object.entries(expects).flatMap(([state, transitions]) =>
    Object.entries(transitions).map(([message, next]) => `  ${id(state)} --> ${id(next)}: ${message}`),
  );
  const [first = ''] = Object.keys(expects);
  return [
    `### ${title}`,
    '',
    ...table([['state', 'accepts', 'then'], ...rows]),
    '',
    '```mermaid',
    'stateDiagram-v2',
    `  [*] --> ${id(first)}`,
    ...arrows,
    '```',
    '',
  ].join('\n');
}

/** Lines of a table, columns padded as the formatter wants them. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows.map(line);
  return [head, line(widths.map((width) => '-'.repeat(width))), ...body].flat();
}

/** A state's name as the diagram language takes it. */
function id(state: string): string {
  return state.replaceAll('-', '_');
}

describe('the state table in README.md', () => {
  it('is the one the code uses (UPDATE_GENERATED=1 rewrites it)', () => {
    const readme = readFileSync(README, 'utf8');
    const generated = `\n${tableOf('Client', CLIENT_EXPECTS)}\n${tableOf('Server', SERVER_EXPECTS)}\n`;
    const from = readme.indexOf(BEGIN) + BEGIN.length;
    const to = readme.indexOf(END);
    if (process.env['UPDATE_GENERATED'] === '1') {
      writeFileSync(README, readme.slice(0, from) + generated + readme.slice(to));
    }
    expect(readFileSync(README, 'utf8').slice(from, readFileSync(README, 'utf8').indexOf(END))).toBe(generated);
  });
});
