import { afterEach, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../src/cli/args.ts';

afterEach(() => vi.restoreAllMocks());

/** What a command line prints on standard output, and its exit status. */
async function outcome(...argv: readonly string[]): Promise<{ readonly status: number; readonly out: string }> {
  let out = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    out += String(chunk);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
  const status = await runCli(argv);
  return { status, out };
}

describe('arguments that are given several times', () => {
  it('are all taken where a command takes several files', async () => {
    const check = await outcome('check', '--json', 'config/examples/berlin.conf', 'config/examples/paris.conf');
    expect(JSON.parse(check.out)).toMatchObject({ ok: true, files: [{ name: 'berlin' }, { name: 'paris' }] });
    const fmt = await outcome('fmt', 'config/examples/berlin.conf', 'config/examples/paris.conf');
    expect(fmt.out.match(/^\[Interface\]$/gm)).toHaveLength(2);
  });

  it('count by their last value where an option takes one', async () => {
    const first = await outcome('fingerprint', 'test/nothing', '--format', 'hex', '--format', 'base64');
    expect(first.status).toBe(1);
    const timeout = await outcome('down', 'zz-no-such', '--timeout', 'nonsense', '--timeout', '1s');
    expect(timeout.status).toBe(4);
  });
});
