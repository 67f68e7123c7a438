import type { Report } from './diagnostic.ts';
import { LineLexer } from './lexer.ts';
import { maskKeyMaterial } from './secrets.ts';
import type { SourceFile } from './source.ts';
import type { Line, SectionLine, SettingLine, Tree } from './tree.ts';

/**
 * The tree of `source`. Lines are independent of each other, so that one mistake is reported once and hides nothing
 * else; a line with a mistake is `unreadable` in the tree.
 */
export function parseTree(source: SourceFile, report: Report): Tree {
  const lines: Line[] = [];
  let inKeyBlock = false;
  for (let number = 1; number <= source.lines.length; number++) {
    const text = source.lines[number - 1] ?? '';
    // A pasted PEM block is one mistake, not thirty, and none of its lines may be shown.
    if (inKeyBlock) {
      inKeyBlock = !text.includes('-----END');
      continue;
    }
    inKeyBlock = /-----BEGIN [A-Z0-9 ]+-----/.test(text) && !text.includes('-----END') && !/^\s*[#;]/.test(text);
    const line = parseLine(source, number, report);
    lines.push(line ?? { kind: 'unreadable', header: text.trimStart().startsWith('[') });
  }
  return { lines };
}

function parseLine(source: SourceFile, number: number, report: Report): Line | undefined {
  const control = CONTROL.exec(source.lines[number - 1] ?? '');
  const lexer = new LineLexer(source, number, report);
  if (control !== null) {
    report.error('C002', lexer.span(control.index, control.index + 1), 'a control character has no place here', {
      label: `code ${control[0].charCodeAt(0)}`,
      help: 'the file must be plain UTF-8 text; retype the line',
    });
    return undefined;
  }
  if (lexer.done) return { kind: 'blank' };
  const comment = lexer.comment();
  if (comment !== undefined) return { kind: 'comment', comment };
  return lexer.peek() === '[' ? parseSection(lexer, report) : parseSetting(lexer, report);
}

function parseSection(lexer: LineLexer, report: Report): SectionLine | undefined {
  const open = lexer.here();
  lexer.take();
  const title = lexer.until(' \t]#;');
  const name = lexer.until(']#;');
  if (name.stop !== ']') {
    report.error('C003', open, 'the section header is never closed', {
      label: "no ']' follows",
      help: 'sections are [Interface] and [Peer], or [Peer NAME]',
    });
    return undefined;
  }
  const close = lexer.here();
  lexer.take();
  const comment = lexer.comment();
  if (!lexer.done) {
    report.error('C003', lexer.here(), 'text behind a section header', {
      label: 'not expected',
      help: 'put settings on lines of their own',
    });
    return undefined;
  }
  return {
    kind: 'section',
    span: { ...open, length: close.column + 1 - open.column },
    title,
    name: name.text === '' ? undefined : name,
    comment,
  };
}

function parseSetting(lexer: LineLexer, report: Report): SettingLine | undefined {
  const key = lexer.until('=#;');
  if (key.stop !== '=' || key.text === '') {
    report.error('C003', key.span, key.text === '' ? 'a setting without a key' : "expected 'Key = value'", {
      label: key.text === '' ? 'the key is missing' : "no '=' follows",
      help: 'a line is a [Section], a Key = value, or a # comment',
    });
    return undefined;
  }
  lexer.take();
  const pieces = lexer.pieces();
  if (pieces === undefined) return undefined;
  return {
    kind: 'setting',
    key: { text: maskKeyMaterial(key.text), span: key.span },
    pieces,
    comment: lexer.comment(),
  };
}

/** Control characters but the tab: a lone CR, NUL, and what drives terminals. */
const CONTROL = /[^\P{Cc}\t]/u;
