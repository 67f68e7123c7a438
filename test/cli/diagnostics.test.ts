import { describe, expect, it } from 'vitest';
import { renderDiagnostics, renderWarningLines } from '../../src/cli/diagnostics.ts';
import { resolveConfigFile, tunnelName } from '../../src/cli/resolve-file.ts';
import { parseSettings } from '../../src/config/load.ts';
import type { Diagnostics } from '../../src/config/diagnostic.ts';

function findings(text: string): Diagnostics {
  const result = parseSettings('paris.conf', text);
  return result.ok ? result.value.warnings : result.error;
}

describe('diagnostics on a terminal', () => {
  it('are coloured only when asked', () => {
    const found = findings('[Interfaec]\n');
    expect(renderDiagnostics(found)).not.toContain('\u001b');
    expect(renderDiagnostics(found, true)).toContain('\u001b[1;31merror[C010]\u001b[0m');
    expect(renderWarningLines(findings('[Interface]'), true)).toContain('\u001b[1;33mwarning\u001b[0m');
  });

  it('point at the right column behind tabs and wide characters', () => {
    const found = findings('[Interface]\n\tColour = 1  # ←\n');
    expect(renderDiagnostics(found)).toContain('  |\n2 |  Colour = 1  # ←\n  |  ^^^^^^ not a key\n');
  });

  it('show the part of a long line that matters', () => {
    const found = findings(
      `[Interface]\nAddress = ${'10.0.0.1/30, '.repeat(50)}nonsense, ${'10.0.0.2/30, '.repeat(50)}\n`,
    );
    const block = renderDiagnostics(found)
      .split('\n\n')
      .find((text) => text.includes('nonsense'));
    const [source = '', marks = ''] = block?.split('\n').slice(3) ?? [];
    expect(source.slice(marks.indexOf('^'), marks.indexOf('^') + 8)).toBe('nonsense');
    expect(source.length).toBeLessThan(180);
  });

  it('are told apart when there are more than fit', () => {
    const found = findings(`[Interface]\n${'Colour = 1\n'.repeat(30)}`);
    expect(renderDiagnostics(found)).toMatch(/\n… and \d+ more, not shown\n$/);
  });

  it('are nothing where there is nothing to say', () => {
    expect(renderDiagnostics({ items: [], omitted: 0 })).toBe('');
    expect(renderWarningLines({ items: [], omitted: 0 })).toBe('');
  });
});

describe('names and paths', () => {
  it.each([
    ['paris', '/etc/dtunnel/paris.conf'],
    ['paris.2', '/etc/dtunnel/paris.2.conf'],
    ['paris.conf', 'paris.conf'],
    ['./paris', './paris'],
    ['/tmp/paris', '/tmp/paris'],
    ['../paris', '../paris'],
    ['..', '..'],
    ['', ''],
  ])('%j is %s', (text, file) => {
    expect(resolveConfigFile(text, {})).toBe(file);
  });

  it('are looked up elsewhere when the environment says so', () => {
    expect(resolveConfigFile('paris', { DTUNNEL_CONFIG_DIR: '/srv/tunnels' })).toBe('/srv/tunnels/paris.conf');
    expect(resolveConfigFile('paris', { DTUNNEL_CONFIG_DIR: '' })).toBe('/etc/dtunnel/paris.conf');
  });

  it('name a tunnel', () => {
    expect(['paris', './paris.conf', '/etc/dtunnel/paris.conf'].map(tunnelName)).toEqual(['paris', 'paris', 'paris']);
  });
});
