import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { plots } from '../../bench/plot.ts';
import { details, newestRun, summary, withBlock } from '../../bench/readme.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RESULTS = join(ROOT, 'bench/results');

/** Figures are never typed: what is written is what the newest raw results say (`npm run bench` writes it). */
describe('measured figures', () => {
  const newest = newestRun(RESULTS);
  if (newest === undefined) throw new Error('no results are kept');

  it.each([
    ['README.md', summary(newest)],
    ['bench/README.md', details(newest)],
  ])('in %s are those of the newest raw results', (file, block) => {
    const text = readFileSync(join(ROOT, file), 'utf8');
    expect(text).toBe(withBlock(text, block));
    expect(text).toContain(block.trim());
  });

  it.each(Object.entries(plots(newest.run)))('in %s are those of the newest raw results', (file, svg) => {
    expect(readFileSync(join(RESULTS, file), 'utf8')).toBe(svg);
  });
});
