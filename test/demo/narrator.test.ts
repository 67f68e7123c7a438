import { describe, expect, it } from 'vitest';
import { TextNarrator } from '../../src/demo/narrator.ts';

/** What is written when `tell` tells to a stage like this. */
function told(
  stage: { terminal?: boolean; colour?: boolean; unicode?: boolean },
  tell: (n: TextNarrator) => void,
): string {
  let text = '';
  const write = (more: string): void => {
    text += more;
  };
  tell(new TextNarrator({ write, terminal: false, colour: false, unicode: true, ...stage }));
  return text;
}

function oneStep(narrator: TextNarrator): void {
  narrator.begin('dig');
  narrator.done('3 m');
}

describe('TextNarrator', () => {
  it('writes one line a step where lines cannot be redrawn, with results in one column', () => {
    const text = told({}, (n) => {
      oneStep(n);
      n.begin('dig deeper');
      n.done('5 m');
    });
    const [first = '', second = ''] = text.split('\n');
    expect(first.indexOf('3 m')).toBe(second.indexOf('5 m'));
    expect(text).toMatch(/^✓ dig {2,}3 m\n✓ dig deeper {2,}5 m\n$/);
  });

  it('draws over its own line on a terminal', () => {
    const [, drawn, done] = told({ terminal: true }, oneStep).split('\r\x1b[K');
    expect(drawn).toBe('| dig');
    expect(done).toMatch(/^✓ dig {2,}3 m\n$/);
  });

  it('stays within ASCII and without colour where it has to', () => {
    const text = told({ unicode: false }, (n) => {
      oneStep(n);
      n.begin('dig');
      n.failed();
      n.show('ls', 'a\nb\n');
    });
    expect(text).toMatch(/^[\x20-\x7e\n]*$/);
    expect(text).toMatch(/^\+ dig .*\nx dig\n\n {2}\$ ls\n {2}\| a\n {2}\| b\n$/);
  });

  it('marks nothing as failed between steps', () => {
    expect(told({}, (n) => n.failed())).toBe('');
  });

  it('colours marks, results and commands only', () => {
    const text = told({ colour: true }, (n) => {
      oneStep(n);
      n.show('ls', 'a');
    });
    expect(text).toContain('\x1b[32m✓\x1b[0m dig');
    expect(text.endsWith('│\x1b[0m a\n')).toBe(true);
  });
});
