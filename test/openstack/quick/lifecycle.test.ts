import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../../repo/source-files.ts';
import { command, lacks, type Outcome } from '../../support/command.ts';

const SCRIPT = join(ROOT, 'config/heat/scripts/lifecycle.sh');

/** An instance as the script sees it: its own /etc/dtunnel, and a stand-in for dtunnel that notes every call. */
class Instance {
  readonly #root = mkdtempSync(join(tmpdir(), 'dtunnel-lifecycle-'));
  readonly etc = join(this.#root, 'etc');
  readonly #outputs = join(this.#root, 'outputs');

  constructor() {
    mkdirSync(this.#outputs);
  }

  /** Runs one action as the script hook would: inputs in the environment, outputs in files. */
  run(action: string, inputs: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    for (const old of readdirSync(this.#outputs)) rmSync(join(this.#outputs, old));
    return command(SCRIPT, [], {
      env: {
        PATH: `${join(import.meta.dirname, 'stand-in')}:${process.env['PATH']}`,
        STAND_IN: this.#root,
        DTUNNEL_CONFIG_DIR: this.etc,
        heat_outputs_path: join(this.#outputs, 'id'),
        deploy_action: action,
        tunnel_name: 'berlin',
        tunnel_address: '172.31.0.1/30',
        ready_timeout: '1',
        drain_timeout: '1',
        ...inputs,
      },
    });
  }

  /** The outputs of the last run. */
  outputs(): Readonly<Record<string, string>> {
    const names = readdirSync(this.#outputs);
    return Object.fromEntries(names.map((n) => [n.replace('id.', ''), readFileSync(join(this.#outputs, n), 'utf8')]));
  }

  /** What dtunnel was called with. */
  calls(): readonly string[] {
    return readFileSync(join(this.#root, 'calls'), 'utf8').trim().split('\n');
  }

  /** Commands among them that change something. */
  changes(): readonly string[] {
    return this.calls()
      .map((call) => call.split(' ')[0] ?? '')
      .filter((name) => /^(keygen|up|down|reload|drain)$/.test(name));
  }

  config(): string {
    return readFileSync(join(this.etc, 'berlin.conf'), 'utf8');
  }

  misbehave(...how: readonly string[]): void {
    writeFileSync(join(this.#root, 'misbehave'), `${how.join('\n')}\n`);
  }

  remove(): void {
    rmSync(this.#root, { recursive: true });
  }
}

const PEER = {
  peer_name: 'paris',
  peer_fingerprint: 'ab'.repeat(32),
  peer_address: '203.0.113.7',
  remote_subnets: '172.31.0.2/32, 10.2.0.0/16',
};

let instance: Instance;
beforeEach(() => {
  instance = new Instance();
});
afterEach(() => instance.remove());

describe('CREATE', () => {
  it('makes a key that stays here, starts the tunnel and tells its fingerprint', async () => {
    const { status, output } = await instance.run('CREATE', PEER);
    expect(status, output).toBe(0);
    expect(instance.changes()).toEqual(['keygen', 'up']);
    expect(statSync(join(instance.etc, 'berlin.key')).mode & 0o777).toBe(0o600);
    const { fingerprint, ...rest } = instance.outputs();
    expect(fingerprint).toMatch(/^([0-9a-f]{2}:){31}[0-9a-f]{2}$/);
    expect(rest).toEqual({
      tunnel_address: '172.31.0.1/30',
      version: 'dtunnel 0.0.0-stand-in',
      tunnel_state: 'up',
      drain_result: '',
      sessions_left: '',
    });
    const key = readFileSync(join(instance.etc, 'berlin.key'), 'utf8').trim();
    expect(output + JSON.stringify(instance.outputs())).not.toContain(key);
  });

  it('writes every input into the configuration', async () => {
    await instance.run('CREATE', { ...PEER, port: '5000', mtu: '1400', more_peers: '[Peer]\nName = lyon' });
    expect(instance.config().replace(/.*\/etc/gm, (line) => line.replace(instance.etc, '/etc/dtunnel'))).toMatch(
      /^Address {5}= 172\.31\.0\.1\/30\nListenPort {2}= 5000\nCertificate = .*\/berlin\.crt\nPrivateKey {2}= .*\/berlin\.key\nMTU {9}= 1400\n\n\[Peer\]\nName {8}= paris\nFingerprint = (ab){32}\nEndpoint {4}= 203\.0\.113\.7:5000\nAllowedIPs {2}= 172\.31\.0\.2\/32, 10\.2\.0\.0\/16\n\n\[Peer\]\nName = lyon\n/m,
    );
  });

  it.each([
    ['203.0.113.7', '203.0.113.7:4433'],
    ['203.0.113.7:99', '203.0.113.7:99'],
    ['gw.example.net', 'gw.example.net:4433'],
    ['2001:db8::7', '[2001:db8::7]:4433'],
    ['[2001:db8::7]', '[2001:db8::7]:4433'],
    ['[2001:db8::7]:99', '[2001:db8::7]:99'],
  ])('takes %s as endpoint %s', async (address, endpoint) => {
    await instance.run('CREATE', { ...PEER, peer_address: address });
    expect(instance.config()).toContain(`Endpoint    = ${endpoint}\n`);
  });

  it('begins without a peer, whose fingerprint comes with a later update', async () => {
    expect((await instance.run('CREATE')).status).toBe(0);
    expect(instance.config()).not.toContain('[Peer]');
  });

  it('derives an address of its own from its fingerprint when told to', async () => {
    await instance.run('CREATE', { tunnel_address: 'auto' });
    const { fingerprint = '', tunnel_address: address = '' } = instance.outputs();
    const groups = /^fd64:7475:6e00::(\w+):(\w+):(\w+):(\w+)\/128$/.exec(address)?.slice(1) ?? [];
    const digits = groups.map((group) => group.padStart(4, '0')).join('');
    expect(digits).toBe(fingerprint.replaceAll(':', '').slice(0, 16));
    expect(instance.config()).toContain(`Address     = ${address}\n`);
  });

  it('may be repeated: same key, a reload instead of a second start', async () => {
    await instance.run('CREATE', PEER);
    const first = instance.outputs();
    const { status } = await instance.run('CREATE', PEER);
    expect(status).toBe(0);
    expect(instance.outputs()).toEqual(first);
    expect(instance.changes()).toEqual(['keygen', 'up', 'keygen', 'reload']);
  });

  it('waits for the peer only when told to, and says when it did not come', async () => {
    instance.misbehave('never-up');
    expect((await instance.run('CREATE', PEER)).status).toBe(0);
    expect(instance.outputs()['tunnel_state']).toBe('down');
    const { status } = await instance.run('CREATE', { ...PEER, wait_for_peer: 'True' });
    expect(status).toBe(1);
    expect(instance.outputs()['error']).toMatch(/^peer is not up after 1s: .*timed out/);
    expect(instance.calls()).toContain('status berlin paris --wait --timeout 1s');
  });

  it.each([
    ['no key', 'refuse-keygen', /^no key: .*disk full/],
    ['a refused configuration', 'refuse-check', /^configuration refused: .*C031/],
  ])('fails with the reason: %s', async (_, misbehaviour, reason) => {
    instance.misbehave(misbehaviour);
    expect((await instance.run('CREATE', PEER)).status).toBe(1);
    expect(instance.outputs()['error']).toMatch(reason);
    expect(existsSync(join(instance.etc, 'berlin.conf'))).toBe(false);
  });

  it('fails with the reason on an image without dtunnel', async () => {
    const { status } = await instance.run('CREATE', { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' });
    expect(status).toBe(1);
    expect(instance.outputs()).toMatchObject({ error: 'dtunnel is not installed on this image', fingerprint: '' });
  });

  it.each([
    ['peer_name', 'paris\nEndpoint = 198.51.100.66:1'],
    ['remote_subnets', '10.2.0.0/16\n[Interface]'],
    ['tunnel_name', '../../tmp/x'],
    ['tunnel_name', 'sixteen-letters-'],
    ['drain_timeout', '30s'],
  ])('refuses %s = %j', async (input, value) => {
    const { status } = await instance.run('CREATE', { ...PEER, [input]: value });
    expect(status).toBe(1);
    expect(instance.outputs()['error']).toContain(input);
    expect(existsSync(instance.etc)).toBe(false);
  });
});

describe('UPDATE', () => {
  it('reloads the running tunnel', async () => {
    await instance.run('CREATE');
    expect((await instance.run('UPDATE', PEER)).status).toBe(0);
    expect(instance.changes()).toEqual(['keygen', 'up', 'keygen', 'reload']);
    expect(instance.config()).toContain('Name        = paris');
  });

  it('leaves everything as it is when the new configuration is refused', async () => {
    await instance.run('CREATE', PEER);
    const before = instance.config();
    instance.misbehave('refuse-check');
    expect((await instance.run('UPDATE', { ...PEER, mtu: '1300' })).status).toBe(1);
    expect(instance.config()).toBe(before);
    expect(instance.outputs()).toMatchObject({ tunnel_state: 'up', error: expect.stringContaining('C031') });
  });

  it('starts a tunnel that does not run', async () => {
    expect((await instance.run('UPDATE', PEER)).status).toBe(0);
    expect(instance.changes()).toEqual(['keygen', 'up']);
  });
});

describe('SUSPEND and RESUME', () => {
  it('drain and stop, start again, twice each', async () => {
    await instance.run('CREATE', PEER);
    for (const drained of ['drained', 'not_running']) {
      expect((await instance.run('SUSPEND', PEER)).status).toBe(0);
      expect(instance.outputs()).toMatchObject({ drain_result: drained, sessions_left: '0', tunnel_state: 'stopped' });
    }
    for (const _ of ['first', 'second']) {
      expect((await instance.run('RESUME', PEER)).status).toBe(0);
      expect(instance.outputs()).toMatchObject({ tunnel_state: 'up' });
    }
    expect(instance.changes()).toEqual(['keygen', 'up', 'drain', 'down', 'drain', 'up']);
  });

  it('refuses to resume what was never created', async () => {
    expect((await instance.run('RESUME')).status).toBe(1);
    expect(instance.outputs()['error']).toContain('never created');
  });
});

describe('DELETE', () => {
  it('drains, then stops, twice', async () => {
    await instance.run('CREATE', PEER);
    expect((await instance.run('DELETE', PEER)).status).toBe(0);
    expect(instance.outputs()).toMatchObject({ drain_result: 'drained', sessions_left: '0', tunnel_state: 'stopped' });
    expect((await instance.run('DELETE', PEER)).status).toBe(0);
    expect(instance.outputs()).toMatchObject({ drain_result: 'not_running', sessions_left: '0' });
    expect(instance.changes()).toEqual(['keygen', 'up', 'drain', 'down', 'drain']);
  });

  it('says how many sessions the deadline cut, and succeeds', async () => {
    await instance.run('CREATE', PEER);
    instance.misbehave('drain-timeout');
    expect((await instance.run('DELETE', PEER)).status).toBe(0);
    expect(instance.outputs()).toMatchObject({ drain_result: 'timeout', sessions_left: '3', tunnel_state: 'stopped' });
  });

  it('ends a drain that hangs, and succeeds', async () => {
    await instance.run('CREATE', PEER);
    instance.misbehave('hang-drain');
    const started = performance.now();
    expect((await instance.run('DELETE', PEER)).status).toBe(0);
    expect(instance.outputs()).toMatchObject({ drain_result: 'timeout', sessions_left: 'unknown' });
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it.each([
    ['dtunnel is gone', { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }, 'not_running'],
    ['its inputs are nonsense', { tunnel_name: '../x', drain_timeout: 'soon' }, 'failed'],
  ])('succeeds when %s', async (_, inputs, result) => {
    expect((await instance.run('DELETE', inputs)).status).toBe(0);
    expect(instance.outputs()['drain_result']).toBe(result);
    expect(instance.outputs()).not.toHaveProperty('error');
  });
});

it('refuses an unknown action by name', async () => {
  expect((await instance.run('DESTROY')).status).toBe(1);
  expect(instance.outputs()['error']).toContain("'DESTROY'");
});

it.skipIf(lacks('shell lint', { shellcheck: 'shellcheck' }))('passes shellcheck', async () => {
  const { status, output } = await command('shellcheck', [SCRIPT]);
  expect(status, output).toBe(0);
});
