import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Report } from '../../src/config/diagnostic.ts';
import { splitAtCommas } from '../../src/config/expand.ts';
import { parseSettings } from '../../src/config/load.ts';
import { parseTree } from '../../src/config/parser.ts';
import { canonicalName, renderSettings, renderTree } from '../../src/config/render.ts';
import { SourceFile } from '../../src/config/source.ts';
import type { Piece, Tree } from '../../src/config/tree.ts';
import { arbitrarySettings } from '../support/arbitrary-settings.ts';

function tree(text: string): { readonly tree: Tree; readonly errors: number } {
  const report = new Report();
  return { tree: parseTree(new SourceFile('test.conf', text), report), errors: report.errors };
}

/** What a tree says, without where it says it. */
function meaning(of: Tree): readonly unknown[] {
  const LISTS = [
    'Address',
    'AllowedIPs',
    'Endpoint',
    'Fingerprint',
    'Ciphers',
    'Include',
    'ListenAddress',
    'DisableOffloads',
  ];
  const piece = (of: Piece): object => ({ ...of, span: undefined });
  return of.lines.flatMap((line): readonly unknown[] => {
    if (line.kind === 'blank') return [];
    if (line.kind === 'comment' || line.kind === 'unreadable') return [line];
    if (line.kind === 'section') {
      return [[line.title.text.toLowerCase(), line.name?.text, line.comment?.text]];
    }
    const key = canonicalName(line.key.text);
    const items = splitAtCommas(line.pieces);
    const isList = LISTS.includes(key) && items.length > 0;
    return [[key, isList ? items.map((item) => item.map(piece)) : line.pieces.map(piece), line.comment?.text]];
  });
}

/** Lines as people write them, well and badly. */
const LINE = fc.oneof(
  fc.constantFrom(
    '',
    '   ',
    '# a comment',
    '; another',
    '[Interface]',
    '[peer]  # named below',
    '[ Peer  berlin ]',
    '[Other one]',
  ),
  fc
    .tuple(
      fc.constantFrom('Address', 'allowedips', 'Endpoint', 'ENDPOINT', 'OnUp', 'Name', 'Colour', 'Include', 'MTU'),
      fc.constantFrom('=', ' = ', '\t=  '),
      fc.array(
        fc.oneof(
          fc.constantFrom(
            '10.0.0.1/24',
            'a b',
            `\${HOST}:4433`,
            `\${A:-b, c}`,
            '"quo,ted"',
            '"a \\"b\\" \\\\ \\n\\t"',
            '',
            'x$y',
            '"#"',
          ),
          fc.stringMatching(/^[a-z0-9.:/ ]{0,10}$/),
        ),
        { maxLength: 4 },
      ),
      fc.constantFrom(',', ', ', ' ,  '),
      fc.constantFrom('', '  # trailing', ';x', ' #', '#   two  '),
    )
    .map(([key, equals, values, comma, comment]) => `${key}${equals}${values.join(comma)}${comment}`),
);
const TEXT = fc
  .tuple(fc.array(LINE, { maxLength: 12 }), fc.constantFrom('\n', '\r\n'))
  .map(([lines, end]) => lines.join(end));

describe('canonical text', () => {
  it('says the same as the text it was made from', () => {
    fc.assert(
      fc.property(TEXT, (text) => {
        const before = tree(text);
        fc.pre(before.errors === 0);
        const after = tree(renderTree(before.tree));
        expect(after.errors).toBe(0);
        expect(meaning(after.tree)).toEqual(meaning(before.tree));
      }),
      { seed: 1, numRuns: 3000 },
    );
  });

  it('is its own canonical text', () => {
    fc.assert(
      fc.property(TEXT, (text) => {
        const before = tree(text);
        fc.pre(before.errors === 0);
        const once = renderTree(before.tree);
        expect(renderTree(tree(once).tree)).toBe(once);
      }),
      { seed: 2, numRuns: 3000 },
    );
  });

  it('aligns the equals signs of a section, spells keys canonically and keeps comments in place', () => {
    const text = [
      '; top',
      '',
      '',
      '# of the interface',
      '[INTERFACE]',
      'address=10.0.0.1/24 ,fd00::1/64 # both',
      '  listenport =4433',
      '[peer berlin]',
      'ALLOWEDIPS = 10.1.0.0/16',
      '# end',
      '',
    ].join('\r\n');
    expect(renderTree(tree(text).tree)).toBe(
      [
        '; top',
        '',
        '# of the interface',
        '[Interface]',
        'Address    = 10.0.0.1/24, fd00::1/64  # both',
        'ListenPort = 4433',
        '',
        '[Peer berlin]',
        'AllowedIPs = 10.1.0.0/16',
        '# end',
        '',
      ].join('\n'),
    );
  });

  it('of a text without anything is empty', () => {
    expect(renderTree(tree('\n  \n').tree)).toBe('');
  });
});

describe('settings as text', () => {
  it('read back to the same settings', () => {
    fc.assert(
      fc.property(arbitrarySettings(), (settings) => {
        const text = renderSettings(settings);
        const loaded = parseSettings('/etc/dtunnel/test.conf', text);
        expect(loaded.ok ? loaded.value.settings : loaded.error.items).toEqual(settings);
        const formatted = parseSettings('/etc/dtunnel/test.conf', renderTree(tree(text).tree));
        expect(formatted.ok && formatted.value.settings).toEqual(settings);
      }),
      { seed: 3, numRuns: 200 },
    );
  });
});
