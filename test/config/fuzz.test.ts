import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diagnosticsJson, renderDiagnostics, renderWarningLines } from '../../src/cli/diagnostics.ts';
import { type Diagnostics, MAX_SHOWN, Report } from '../../src/config/diagnostic.ts';
import { convertWireguard } from '../../src/config/from-wireguard.ts';
import { parseSettings } from '../../src/config/load.ts';
import { parseTree } from '../../src/config/parser.ts';
import { renderSettings, renderTree } from '../../src/config/render.ts';
import { SourceFile } from '../../src/config/source.ts';

const CASES = join(import.meta.dirname, 'cases');
const CORPUS = [
  ...readdirSync(CASES)
    .filter((file) => file.endsWith('.conf'))
    .map((file) => readFileSync(join(CASES, file), 'utf8')),
  ...['berlin', 'paris', 'hub', 'spoke'].map((name) =>
    readFileSync(join(import.meta.dirname, `../../config/examples/${name}.conf`), 'utf8'),
  ),
];

/** A text of the corpus with pieces cut out, doubled, swapped for others or overwritten. */
const MUTATED = fc
  .tuple(
    fc.constantFrom(...CORPUS),
    fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        length: fc.nat({ max: 40 }),
        insert: fc.oneof(
          fc.constantFrom(
            '',
            '\n',
            '"',
            '${',
            '}',
            '[Peer',
            ']',
            '=',
            ',',
            '#',
            '\\',
            '::',
            '/',
            '\u0000',
            '\r',
            '\u{1F600}',
            '𝒳\u202E',
          ),
          fc.string({ maxLength: 12, unit: 'binary' }),
        ),
        repeat: fc.constantFrom(1, 1, 1, 3, 200),
      }),
      { minLength: 1, maxLength: 8 },
    ),
  )
  .map(([text, edits]) =>
    edits.reduce((from, { at, length, insert, repeat }) => {
      const index = Math.floor(at * from.length);
      return from.slice(0, index) + insert.repeat(repeat) + from.slice(index + length);
    }, text),
  );

function examine(diagnostics: Diagnostics, text: string): void {
  expect(diagnostics.items.length).toBeLessThanOrEqual(MAX_SHOWN);
  const lines = new SourceFile('fuzz.conf', text).lines;
  for (const { labels, line } of diagnostics.items) {
    if (line !== undefined) expect(line).toBeLessThanOrEqual(lines.length);
    for (const label of labels) {
      const source = lines[label.line - 1] ?? '';
      expect(label.excerpt.length).toBe(source.length);
      expect(label.column).toBeGreaterThanOrEqual(1);
      // One past the end is where something is missing.
      expect(label.column + label.length - 1).toBeLessThanOrEqual(Math.max(source.length, 1) + 1);
    }
  }
  const shown = renderDiagnostics(diagnostics) + renderWarningLines(diagnostics);
  // Nothing that could drive a terminal reaches it.
  expect(shown).not.toMatch(/[^\P{Cc}\n]|\p{Bidi_Control}/u);
  for (const row of shown.split('\n')) expect(row.length).toBeLessThan(600);
  JSON.stringify(diagnosticsJson(diagnostics));
}

function feed(text: string): void {
  const result = parseSettings('fuzz.conf', text, undefined, (name) => (name === 'HOST' ? 'a, b' : undefined));
  examine(result.ok ? result.value.warnings : result.error, text);
  if (result.ok) {
    // What was accepted can be written, and is accepted again with the same meaning.
    const again = parseSettings('fuzz.conf', renderSettings(result.value.settings));
    expect(again.ok && again.value.settings).toEqual(result.value.settings);
  }
  const report = new Report();
  renderTree(parseTree(new SourceFile('fuzz.conf', text), report));
  convertWireguard('wg0.conf', text, '/etc/dtunnel');
}

describe('any input', () => {
  it('made of arbitrary characters is answered, never thrown at', () => {
    fc.assert(fc.property(fc.string({ maxLength: 400, unit: 'binary' }), feed), { seed: 11, numRuns: 2000 });
  });

  it('made by damaging configurations is answered, with every mark inside its line', () => {
    fc.assert(fc.property(MUTATED, feed), { seed: 12, numRuns: 3000 });
  });

  it('of a million characters in one line, or a hundred thousand lines, is answered in bounded size', () => {
    // What is quadratic in any of these does not end within the limit of a test.
    const words = [
      `[Interface]\nAddress = ${'10.0.0.1/24, '.repeat(80_000)}`,
      `[Interface]\n${'A'.repeat(1_000_000)}`,
      `[Interface]\nOnUp = /bin/a ${'b, '.repeat(300_000)}`,
      `[Interface]\nOnUp = "${'\\"'.repeat(500_000)}`,
      `[${' '.repeat(1_000_000)}`,
      'x\n'.repeat(100_000),
      '[Peer a]\n'.repeat(100_000),
      `[Peer a]\nFingerprint = ${'ab:'.repeat(300_000)}`,
      `[Peer a]\nEndpoint = ${'a.'.repeat(300_000)}:1`,
      '#'.repeat(1_000_000),
    ];
    for (const text of words) {
      const result = parseSettings('fuzz.conf', text);
      expect(result.ok).toBe(false);
      if (!result.ok) expect(renderDiagnostics(result.error).length).toBeLessThan(40_000);
    }
  });
});
