import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { addonMissing } from './support/rig.ts';
import { runProgram } from '../../src/plane/host.ts';

const reason = addonMissing();
if (reason !== undefined) console.log(`programs run by the addon skipped: ${reason}`);

const shell = (script: string, input = '') =>
  runProgram({
    file: '/bin/sh',
    args: ['-c', script],
    environment: { WHO: 'dtunnel', NOBODY: undefined },
    input,
    timeoutMs: 20_000,
  });

describe.skipIf(reason !== undefined)('a program run by the addon', () => {
  it('gets arguments, environment and input, and leaves status and outputs', async () => {
    expect(await shell('echo "$WHO"; env | grep -c NOBODY; cat; echo bad >&2; exit 3', 'grüß dich\n')).toEqual({
      status: 3,
      late: false,
      stdout: 'dtunnel\n0\ngrüß dich\n',
      stderr: 'bad\n',
    });
  });

  it('is killed when its time is over', async () => {
    const { status, late } = await runProgram({
      file: '/bin/sleep',
      args: ['30'],
      environment: {},
      input: '',
      timeoutMs: 100,
    });
    expect({ status, late }).toEqual({ status: -1, late: true });
  });

  it('rejects what cannot be started, and arguments that are none', async () => {
    const missing = { file: '/nonexistent/ip', args: [], environment: {}, input: '', timeoutMs: 1000 };
    await expect(runProgram(missing)).rejects.toMatchObject({ code: 'ENOENT', syscall: 'posix_spawn' });
    expect(() => runProgram({ ...missing, args: ['a\0b'] })).toThrow(TypeError);
    expect(() => runProgram({ ...missing, args: [1] as never })).toThrow(TypeError);
    expect(() => runProgram({ ...missing, timeoutMs: -1 })).toThrow(TypeError);
  });

  it('and one that Node runs do not take the end of each other away', async () => {
    const byNode = (): Promise<number | null> =>
      new Promise((resolve) => spawn('/bin/sh', ['-c', 'sleep 0.02; exit 5']).on('close', resolve));
    const both = Array.from({ length: 20 }, async () => {
      const [{ status }, other] = await Promise.all([shell('sleep 0.02; exit 4'), byNode()]);
      return [status, other];
    });
    for (const statuses of await Promise.all(both)) expect(statuses).toEqual([4, 5]);
  });
});
