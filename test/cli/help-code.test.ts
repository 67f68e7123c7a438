import { describe, expect, it } from 'vitest';
import { DtunnelError, ERRORS } from '../../src/base/errors.ts';
import { ALL_CODES, explanationOf, run } from '../../src/cli/commands/help-code.ts';
import { recordIo } from '../support/io.ts';

async function help(code: string | undefined, json = false): Promise<string> {
  const { io, out } = recordIo();
  expect(await run({ code, json }, io)).toBe(0);
  return out();
}

describe('help CODE', () => {
  it.each(ALL_CODES)('%s is explained with an example', (code) => {
    const explanation = explanationOf(code);
    expect(explanation?.title).toMatch(/^\S.{3,70}\S$/);
    expect(explanation?.text).toMatch(/^\S.*\.$/s);
    expect(explanation?.example).toMatch(/\S/);
    for (const line of explanation?.example.split('\n') ?? []) expect(line.length).toBeLessThanOrEqual(110);
  });

  it('shows a page that fits a terminal', async () => {
    expect(await help('c031')).toBe(
      [
        'C031  two peers claim the same addresses',
        '',
        'A packet goes to one peer. Where prefixes of two peers overlap, it has to be',
        'said who comes first: the peer with the lower Priority carries the traffic,',
        'the other is its standby. That holds for a block inside another as well.',
        '',
        `What to do: ${ERRORS.C031.hint}`,
        '',
        '    [Peer berlin-1]',
        '    AllowedIPs = 10.1.0.0/16',
        '    Priority   = 10',
        '',
        '    [Peer berlin-2]',
        '    AllowedIPs = 10.1.0.0/16',
        '    Priority   = 20      # takes over when berlin-1 is down',
        '',
        '(DT_CONFIG_OVERLAP, exit status 78)',
        '',
      ].join('\n'),
    );
  });

  it('takes the name of a code too', async () => {
    expect(await help('DT_KEY_PERMISSIONS')).toContain('K002  others can read or replace the private key');
  });

  it('lists every code without one', async () => {
    const lines = (await help(undefined)).trimEnd().split('\n');
    expect(lines.map((line) => line.slice(0, 4))).toEqual(ALL_CODES);
    expect(JSON.parse(await help(undefined, true)).codes).toHaveLength(ALL_CODES.length);
  });

  it('refuses a code that does not exist', async () => {
    const error: unknown = await run({ code: 'X999', json: false }, recordIo().io).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DtunnelError);
    expect(error).toMatchObject({ code: 'S021', exitCode: 2 });
  });
});
