import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';

const FOLDER = join(import.meta.dirname, '../../systemd');
const UNIT = join(FOLDER, 'dtunnel@.service');

function systemd(context: TestContext, program: string, args: readonly string[]) {
  const run = spawnSync(program, args, { encoding: 'utf8', timeout: 30_000 });
  if (run.error !== undefined) context.skip(`${program} is not installed (Debian: systemd)`);
  return { status: run.status, output: `${run.stdout}${run.stderr}` };
}

describe('dtunnel@.service', () => {
  it('exposes no more than 1.7 by the measure of systemd itself', (context) => {
    const { status, output } = systemd(context, 'systemd-analyze', [
      'security',
      '--offline=yes',
      '--threshold=17',
      UNIT,
    ]);
    expect(output).toMatch(/Overall exposure level for dtunnel@[^:]*: (0\.\d|1\.[0-7]) OK/);
    expect(status).toBe(0);
  });

  it('holds nothing that systemd does not understand', (context) => {
    const directory = mkdtempSync(join(tmpdir(), 'dtunnel-unit-'));
    const copy = join(directory, 'dtunnel@.service');
    writeFileSync(copy, readFileSync(UNIT, 'utf8').replaceAll('/usr/bin/dtunnel', '/bin/true'));
    const { output } = systemd(context, 'systemd-analyze', ['verify', '--man=no', copy]);
    rmSync(directory, { recursive: true, force: true });
    expect(output.split('\n').filter((line) => line.includes('dtunnel'))).toEqual([]);
  });

  it('gives the drain of SIGTERM more time than it takes, and never restarts into a wrong configuration', () => {
    const text = readFileSync(UNIT, 'utf8');
    const seconds = Number(/^TimeoutStopSec=(\d+)s$/m.exec(text)?.[1]);
    expect(seconds).toBeGreaterThan(6);
    expect(text).toMatch(/^RestartPreventExitStatus=.*\b78\b/m);
    expect(text).toMatch(/^CapabilityBoundingSet=CAP_NET_ADMIN$/m);
  });

  it('waits for the whole control group when it stops, since the main process of an upgraded tunnel is not waited for', () => {
    // `mixed` sends SIGKILL once the main process needs no waiting, and one that was another's child when MAINPID= named
    // it needs none: what a drain had to take down stayed behind. `process` and `none` leave what they do not wait for.
    expect(readFileSync(UNIT, 'utf8').match(/^KillMode=.*$/gm)).toEqual(['KillMode=control-group']);
  });
});

describe('what comes with it', () => {
  it('is a user, and directories nobody else may read keys from', (context) => {
    const root = mkdtempSync(join(tmpdir(), 'dtunnel-root-'));
    mkdirSync(join(root, 'etc'));
    const users = systemd(context, 'systemd-sysusers', [`--root=${root}`, join(FOLDER, 'dtunnel.sysusers')]);
    const directories = systemd(context, 'systemd-tmpfiles', [
      '--create',
      `--root=${root}`,
      join(FOLDER, 'dtunnel.tmpfiles'),
    ]);
    const made = spawnSync('stat', ['-c', '%a %n', 'etc/dtunnel', 'run/dtunnel'], {
      cwd: root,
      encoding: 'utf8',
    }).stdout;
    rmSync(root, { recursive: true, force: true });
    expect(users.status, users.output).toBe(0);
    expect(directories.status, directories.output).toBe(0);
    expect(made).toBe('750 etc/dtunnel\n755 run/dtunnel\n');
  });
});
