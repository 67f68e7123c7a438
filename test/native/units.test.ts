import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { lacks } from '../support/command.ts';

const FOLDER = fileURLToPath(new URL('../../native/test/', import.meta.url));
/** Building with a sanitizer takes minutes on a busy machine. */
const TIMEOUT = 900_000;

const reason = missing();
if (reason !== undefined) console.log(`the native library's own tests skipped: ${reason}`);

function missing(): string | undefined {
  try {
    execFileSync('make', ['--version'], { stdio: 'ignore' });
    execFileSync('g++', ['-E', '-x', 'c++', '-'], {
      input: '#include <openssl/evp.h>\n',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    return undefined;
  } catch {
    return "needs make, g++ and OpenSSL's headers (apt-get install g++ make libssl-dev)";
  }
}

function make(...args: string[]): string {
  try {
    return execFileSync('nice', ['make', '-s', '-j2', '-C', FOLDER, ...args], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`make ${args.join(' ')} failed:\n${stdout ?? ''}\n${stderr ?? ''}`.slice(-4000));
  }
}

describe.skipIf(reason !== undefined)("the native library's own tests", () => {
  it('pass under the address and undefined-behaviour sanitizers', { timeout: TIMEOUT }, () => {
    expect(make('check', 'SAN=address,undefined')).toMatch(/^\d{2,} passed, 0 failed$/m);
  });

  it('pass under the thread sanitizer where threads share something', { timeout: TIMEOUT }, () => {
    expect(make('check', 'SAN=thread', 'FILTER=thread')).toMatch(/^\d+ passed, 0 failed$/m);
    expect(make('check', 'SAN=thread', 'FILTER=planes')).toMatch(/^\d+ passed, 0 failed$/m);
  });

  const withoutFuzzer = lacks('fuzzing of the native parsers', { 'clang++': 'clang' });
  it.skipIf(withoutFuzzer)('let the fuzzers find nothing in ten seconds each', { timeout: TIMEOUT }, () => {
    const log = make('fuzz', 'SECONDS=10');
    expect(log).not.toMatch(/ERROR|SUMMARY/);
    expect(log.match(/number_of_executed_units: *\d{4,}/g)?.length).toBe(3);
  });
});
