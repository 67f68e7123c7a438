import { readFileSync } from 'node:fs';

/** What is installed: from package.json beside the program, so that there is one place that knows. */
export interface BuildInfo {
  readonly version: string;
  /** Git commit of a release; `unknown` in a checkout. */
  readonly commit: string;
}

/** The version of this installation. */
export function buildInfo(): BuildInfo {
  // Two folders up from src/cli as well as from dist/cli.
  const root = new URL('../../', import.meta.url);
  const manifest: unknown = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));
  return { version: field(manifest, 'version') ?? '0', commit: stamp(new URL('COMMIT', root)) };
}

/** Releases carry the commit they were made from; a checkout has git to ask. */
function stamp(file: URL): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

function field(manifest: unknown, name: string): string | undefined {
  if (typeof manifest !== 'object' || manifest === null) return undefined;
  const value: unknown = Reflect.get(manifest, name);
  return typeof value === 'string' ? value : undefined;
}
