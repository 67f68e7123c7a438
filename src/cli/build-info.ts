import { readFileSync } from 'node:fs';

/** What is installed: from package.json beside the program, so that there is one place that knows. */
export interface BuildInfo {
  readonly version: string;
  /** Git commit, when the release was stamped with one. */
  readonly commit: string;
}

/** The version of this installation. */
export function buildInfo(): BuildInfo {
  // Two folders up from src/cli as well as from dist/cli.
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return { version: field(manifest, 'version') ?? '0', commit: field(manifest, 'commit') ?? 'unknown' };
}

function field(manifest: unknown, name: string): string | undefined {
  if (typeof manifest !== 'object' || manifest === null) return undefined;
  const value: unknown = Reflect.get(manifest, name);
  return typeof value === 'string' ? value : undefined;
}
