import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesBelow, ROOT } from './source-files.ts';

const typescript = filesBelow('src', ['.ts']);
const native = filesBelow('native', ['.h', '.cc']);

describe('the tree', () => {
  it('holds no file that grew past what fits in a head', () => {
    for (const file of [...typescript, ...native]) {
      expect(file.text.split('\n').length, file.path).toBeLessThanOrEqual(600);
    }
  });

  it('documents every exported name of TypeScript', () => {
    const bare: string[] = [];
    for (const file of typescript) {
      const lines = file.text.split('\n');
      lines.forEach((line, i) => {
        const match = /^export (?:async )?(?:abstract )?(?:function\*?|class|interface|type|const) (\w+)/.exec(line);
        if (match === null) return;
        let above = i - 1;
        // A comment covers a block of constants that belong together.
        while (/^(\/\/|export const .*;$)/.test(lines[above] ?? '')) above--;
        const documented = lines[above]?.trim().endsWith('*/') ?? false;
        const overload = lines[above]?.startsWith(`export function ${match[1]}`) ?? false;
        if (!documented && !overload) bare.push(`${file.path}:${i + 1} ${match[1]}`);
      });
    }
    expect(bare).toEqual([]);
  });

  it('keeps napi.h at the border', () => {
    for (const file of native) {
      if (!file.path.startsWith('native/addon/')) expect(file.text, file.path).not.toMatch(/#include\s+[<"]napi\.h/);
    }
  });

  it('names only paths and ports that exist wherever it is checked out', () => {
    const everything = [
      ...filesBelow('src', ['']),
      ...filesBelow('native', ['']),
      ...filesBelow('config', ['']),
      ...filesBelow('systemd', ['']),
      ...filesBelow('test', ['.ts', '.sh', '.c', '.cc', '.md']),
      ...filesBelow('bench', ['.ts', '.md', '.c', '.cc', '.sh']),
    ];
    const homes = new RegExp(`(^|[\\s'"=(])/(${['wo' + 'rk', 'fa' + 'rm'].join('|')})/`, 'm');
    for (const file of everything) expect(homes.exec(file.text)?.[0], file.path).toBeUndefined();
  });

  it('has the top level a newcomer looks for', () => {
    for (const name of ['README.md', 'ARCHITECTURE.md', 'LICENSE', 'package.json', 'tsconfig.json', '.ci/run']) {
      expect(existsSync(join(ROOT, name)), name).toBe(true);
    }
  });

  it('pins what it depends on in the lock file', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    for (const name of Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBeTypeOf('string');
    }
  });
});
