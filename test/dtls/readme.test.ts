import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alertFor } from '../../src/dtls/alert.ts';
import { CLOSE_CODES, type CloseCode } from '../../src/dtls/close-codes.ts';
import { CLIENT_EXPECTS, SERVER_EXPECTS, type Transitions } from '../../src/dtls/handshake/expects.ts';

const README = new URL('../../src/dtls/README.md', import.meta.url);

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

/** What README.md says between the marks of `source`; rewritten first with UPDATE_GENERATED=1. */
function section(source: string, generated: string): string {
  const [begin, end] = ['begin', 'end'].map((mark) => `<!-- generated from ${source}: ${mark} -->`);
  const readme = readFileSync(README, 'utf8');
  const from = readme.indexOf(`${begin}\n`) + `${begin}\n`.length;
  const to = readme.indexOf(end ?? '');
  if (process.env['UPDATE_GENERATED'] !== '1') return readme.slice(from, to);
  writeFileSync(README, readme.slice(0, from) + generated + readme.slice(to));
  return generated;
}

describe('what README.md has from the code (UPDATE_GENERATED=1 rewrites it)', () => {
  it('the state table is the one the code uses', () => {
    const generated = `\n${tableOf('Client', CLIENT_EXPECTS)}\n${tableOf('Server', SERVER_EXPECTS)}\n`;
    expect(section('handshake/expects.ts', generated)).toBe(generated);
  });

  it('the reasons are those there are', () => {
    const rows = Object.entries(CLOSE_CODES).map(([code, meaning]) => {
      const alert = alertFor(code as CloseCode);
      return [`\`${code}\``, meaning, alert ?? 'none'];
    });
    const generated = `\n${table([['reason', 'meaning', 'alert'], ...rows]).join('\n')}\n\n`;
    expect(section('close-codes.ts', generated)).toBe(generated);
  });
});
