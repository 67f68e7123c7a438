import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtProgram } from '../../../src/demo/built.ts';
import { type Enclosure, openEnclosure } from '../../../src/demo/enclosure.ts';
import { UNABLE } from '../../e2e/support.ts';
import { ROOT } from '../../repo/source-files.ts';

const SCRIPT = join(ROOT, 'config/heat/scripts/lifecycle.sh');

const PEER = {
  peer_name: 'paris',
  peer_fingerprint: 'ab'.repeat(32),
  peer_address: '192.0.2.7',
  remote_subnets: '172.31.0.2/32, 10.2.0.0/16',
};

/** Every step twice, since an agent may repeat what it did not see the end of. */
describe.skipIf(UNABLE !== undefined)('the life cycle of a real daemon', () => {
  let instance: Enclosure;
  let pid = 0;

  beforeAll(async () => {
    instance = await openEnclosure({ needsTun: true });
    mkdirSync(instance.path('/run/bin'));
    const program = `#!/bin/sh\nexec ${process.execPath} ${builtProgram('main.js')} "$@"\n`;
    writeFileSync(instance.path('/run/bin/dtunnel'), program, { mode: 0o755 });
  });
  afterAll(() => instance?.close());

  /** Runs a step; yields its outputs, which it prints when no hook collects them. */
  async function step(
    action: string,
    inputs: Readonly<Record<string, string>> = {},
  ): Promise<Readonly<Record<string, string>>> {
    const { stdout } = await instance.run([SCRIPT], {
      timeoutMs: 60_000,
      env: {
        PATH: `/run/bin:${process.env['PATH']}`,
        DTUNNEL_CONFIG_DIR: '/run/etc',
        deploy_action: action,
        tunnel_name: 'berlin',
        tunnel_address: '172.31.0.1/30',
        ready_timeout: '20',
        drain_timeout: '2',
        ...inputs,
      },
    });
    return Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => /^(\w+)=(.*)$/.exec(line)?.slice(1) ?? []),
    );
  }

  /** What the daemon itself says. */
  async function status(): Promise<{
    readonly tunnel: { readonly pid: number };
    readonly peers: readonly { readonly name: string }[];
  }> {
    const argv = [process.execPath, builtProgram('main.js'), 'status', 'berlin', '--json'];
    return JSON.parse((await instance.run(argv, { failureOk: true })).stdout);
  }

  it('CREATE makes a key and a tunnel that listens', async () => {
    const first = await step('CREATE');
    expect(first['fingerprint']).toMatch(/^([0-9a-f]{2}:){31}[0-9a-f]{2}$/);
    expect(first['version']).toMatch(/^dtunnel \d/);
    pid = (await status()).tunnel.pid;
    expect(await step('CREATE')).toEqual(first);
    expect((await status()).tunnel.pid).toBe(pid);
  });

  it('UPDATE brings a peer to the same process', async () => {
    const first = await step('UPDATE', PEER);
    expect(first['tunnel_state']).toBe('down');
    expect(await step('UPDATE', PEER)).toEqual(first);
    expect(await status()).toMatchObject({ tunnel: { pid }, peers: [{ name: 'paris' }] });
  });

  it('UPDATE changes nothing when the configuration is refused', async () => {
    await expect(step('UPDATE', { ...PEER, remote_subnets: '10.2.0.0/99' })).rejects.toThrow(
      /configuration refused: error\[C/,
    );
    expect(await status()).toMatchObject({ tunnel: { pid }, peers: [{ name: 'paris' }] });
  });

  it('SUSPEND drains and stops', async () => {
    const stopped = { sessions_left: '0', tunnel_state: 'stopped' };
    expect(await step('SUSPEND', PEER)).toMatchObject({ ...stopped, drain_result: 'drained' });
    expect(await step('SUSPEND', PEER)).toMatchObject({ ...stopped, drain_result: 'not_running' });
  });

  it('RESUME starts what was there', async () => {
    const first = await step('RESUME', PEER);
    expect(await step('RESUME', PEER)).toEqual(first);
    expect(await status()).toMatchObject({ peers: [{ name: 'paris' }] });
  });

  it('DELETE drains and leaves nothing behind', async () => {
    expect(await step('DELETE', PEER)).toMatchObject({ drain_result: 'drained', sessions_left: '0' });
    expect(await step('DELETE', PEER)).toMatchObject({ drain_result: 'not_running' });
    const { stdout } = await instance.run(['ip', '-brief', 'link']);
    expect(stdout).not.toContain('dt-berlin');
  });
});
