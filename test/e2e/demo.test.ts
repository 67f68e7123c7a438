import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { builtProgram } from '../../src/demo/built.ts';
import { command } from '../support/command.ts';
import { UNABLE } from './support.ts';

const DEMO = [builtProgram('main.js'), 'demo'];

/** In the environment of every process that these demos start, so that a test can tell that none is left. */
const MARK = `DTUNNEL_DEMO_TEST=${process.pid}`;
const ENVIRONMENT = { [MARK.split('=')[0] ?? '']: String(process.pid) };

/** What a demo of this test still runs, anywhere on the machine. */
function demoProcesses(): readonly string[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      const environment = readFileSync(`/proc/${name}/environ`, 'latin1').split('\0');
      const [program = ''] = environment.includes(MARK)
        ? readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0')
        : [];
      return program === '' ? [] : [`${name} ${program}`];
    } catch {
      return []; // No process, or one that ended meanwhile.
    }
  });
}

describe.skipIf(UNABLE !== undefined)('dtunnel demo', () => {
  it('as root: links two sites, loses nothing, stays up if asked to, cleans up', async () => {
    const links = spawnSync('ip', ['-o', 'link'], { encoding: 'utf8' }).stdout;
    const child = spawn(process.execPath, [...DEMO, '--json', '--keep'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...ENVIRONMENT },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    await new Promise<void>((resolve) => {
      child.once('close', () => resolve());
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
        if (stderr.includes('tcpdump')) resolve();
      });
    });
    // It stays up, and whoever wants to can go in and look.
    const into = /sh \S+\/into paris-lan/.exec(stderr)?.[0] ?? 'false';
    const looked = await command('sh', [
      '-c',
      `${into} ping -c 1 -W 1 10.1.0.2 && ${into.replace('-lan', '')} dtunnel status`,
    ]);
    expect(looked.stdout).toMatch(/1 received[\s\S]*● berlin {2}up/);
    child.kill('SIGINT');
    const status = await new Promise((resolve) => child.once('close', resolve));
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      schema: 'dtunnel.demo/1',
      ok: true,
      asRoot: true,
      tcp: { intact: true },
      rekey: { lost: 0, duplicated: 0 },
      reload: { lost: 0, duplicated: 0 },
      badPath: { intact: true },
    });
    expect(status).toBe(0);
    expect(report.firstPingSeconds).toBeLessThan(15); // The goal of 5 s is for a machine that does nothing else.
    expect(report.tcp.bitsPerSecond).toBeGreaterThan(50e6);
    expect(report.badPath.medianRttMs).toBeGreaterThanOrEqual(20);
    expect(spawnSync('ip', ['-o', 'link'], { encoding: 'utf8' }).stdout).toBe(links);
    expect(demoProcesses()).toEqual([]);
  });

  it('as an ordinary user: in a user namespace, with the text for people', async () => {
    // A copy of the device that everybody may open, seen only by this process and what it starts.
    const folder = mkdtempSync(join(tmpdir(), 'dtunnel-demo-'));
    chmodSync(folder, 0o755);
    // The Node that runs this may lie where only root looks, in root's npm cache say.
    copyFileSync(process.execPath, join(folder, 'node'));
    const script = [
      `mknod ${folder}/tun c 10 200 && chmod 666 ${folder}/tun && mount --bind ${folder}/tun /dev/net/tun`,
      'exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$@"',
    ].join(' && ');
    try {
      const done = await command('unshare', ['--mount', 'sh', '-c', script, 'sh', join(folder, 'node'), ...DEMO], {
        timeoutMs: 60_000,
        env: { ...ENVIRONMENT, HOME: '/', NO_COLOR: '1', LC_ALL: 'C.UTF-8' },
      });
      expect(done.stderr).toBe('');
      expect(done.stdout).toMatch(
        /demo: first ping [\d.]+ s after start · .*bit\/s · rekey 0 lost · reload 0 lost · cleaned up/,
      );
      expect(done.stdout).toMatch(/dtunnel status/);
      expect(done.stdout).toMatch(/dtunnel_peer_up/);
      expect(done.status).toBe(0);
      expect(demoProcesses()).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('cleans up and says so when interrupted by %s', async (signal, status) => {
    const child = spawn(process.execPath, DEMO, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...ENVIRONMENT },
    });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await delay(1500); // In the midst of it, wherever that is.
    child.kill(signal);
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect([code, text]).toEqual([status, 'demo: interrupted, cleaned up\n']);
    expect(demoProcesses()).toEqual([]);
  });

  it('leaves nothing when it is killed outright', async () => {
    const child = spawn(process.execPath, DEMO, { stdio: 'ignore', env: { ...process.env, ...ENVIRONMENT } });
    await delay(2500);
    expect(demoProcesses()).not.toEqual([]);
    child.kill('SIGKILL');
    for (let tries = 0; tries < 100 && demoProcesses().length > 0; tries++) await delay(50);
    expect(demoProcesses()).toEqual([]);
    expect(readdirSync('/run').filter((name) => name === 'sites')).toEqual([]);
  });

  it('says what to do when the TUN device may not be opened', async () => {
    const deny = 'mount -t tmpfs tmpfs /dev/net && mknod -m 600 /dev/net/tun c 10 200';
    const script = `${deny} && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`;
    const done = await command('unshare', ['--mount', 'sh', '-c', script, 'sh', process.execPath, ...DEMO], {
      timeoutMs: 20_000,
    });
    expect(done.status).toBe(77);
    expect(done.stderr).toMatch(/\/dev\/net\/tun: EACCES/);
    expect(done.stderr).toMatch(/chmod 0666|as root/);
  });
});
