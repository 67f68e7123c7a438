import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';

/** A directory of its own for each test of the calling file, removed afterwards. */
export function useTemporaryDirectory(): { readonly path: (name?: string) => string } {
  let directory = '';
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'dtunnel-test-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  return { path: (name = '') => (name === '' ? directory : join(directory, name)) };
}
