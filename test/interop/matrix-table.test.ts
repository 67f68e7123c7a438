import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { withTable } from './matrix-table.ts';

// Documents that show the matrix. DTUNNEL_UPDATE=1 writes the current table into them.

it.each(['README.md', '../../README.md'])('the table in %s is what the matrix covers', (name) => {
  const path = new URL(name, import.meta.url);
  const document = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const current = withTable(document);
  if (current === undefined) {
    expect(name, 'test/interop/README.md must have the markers').not.toBe('README.md');
    return;
  }
  if (process.env['DTUNNEL_UPDATE'] === '1') writeFileSync(path, current);
  else expect(document).toBe(current);
});
