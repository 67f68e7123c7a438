import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesBelow, ROOT } from '../../repo/source-files.ts';
import { command, lacks, type Outcome, which } from '../../support/command.ts';

const BUILD = join(ROOT, 'config/dib/build-image.sh');

describe('build-image.sh', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'dtunnel-image-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function build(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    return command('bash', [BUILD, ...args], { cwd: root, env });
  }

  it.each([
    [['--frob'], {}, /unknown option --frob/],
    [['-o'], {}, /-o needs a name/],
    [[], { ARCH: 'sparc' }, /ARCH is sparc/],
    [[], { BASE_ELEMENTS: '' }, /BASE_ELEMENTS is empty/],
    [[], { DIB_LOCAL_IMAGE: '/nonexistent.qcow2' }, /no file \/nonexistent\.qcow2/],
  ])('refuses %j with %j', async (args, env, reason) => {
    const { status, stderr } = await build(args, env);
    expect(status).toBe(1);
    expect(stderr).toMatch(reason);
  });

  it('names everything that is missing at once, with the packages that have it', async () => {
    // A folder with the tools of any Debian, and none of those that make images.
    for (const tool of ['bash', 'dirname', 'dpkg', 'sed', 'id', 'env'])
      symlinkSync(which(tool) ?? '', join(root, tool));
    writeFileSync(
      join(root, 'bare.sh'),
      `PATH=${root}; set -- -t qcow2 --upload\n. <(sed 's,:/usr/sbin:/sbin,,' ${BUILD})`,
    );
    const { status, stderr } = await command('/bin/bash', [join(root, 'bare.sh')], { env: { PATH: root } });
    expect(status).toBe(1);
    for (const debian of ['python3-diskimage-builder', 'debootstrap', 'qemu-utils', 'python3-openstackclient']) {
      expect(stderr).toContain(debian);
    }
  });

  it('explains its environment', async () => {
    const { status, stdout } = await build(['--help']);
    expect(status).toBe(0);
    const contract = ['ARCH', 'BASE_ELEMENTS', 'AGENT_ELEMENTS', 'DEPLOYMENT_BASE_ELEMENTS', 'DEPLOYMENT_TOOL'];
    for (const name of [...contract, 'ELEMENTS_PATH', 'DIB_LOCAL_IMAGE', 'DIB_CLOUD_IMAGES', 'TMPDIR', 'DTUNNEL_DEB']) {
      expect(stdout).toContain(name);
    }
  });
});

describe.skipIf(lacks('shell lint', { shellcheck: 'shellcheck' }))('shell scripts', () => {
  const scripts = filesBelow('config', ['']).filter(({ text }) => /^#!\/bin\/(ba)?sh\n|^# shellcheck shell/.test(text));
  it.each(scripts.map(({ path }) => path))('%s passes shellcheck', async (path) => {
    const { status, output } = await command('shellcheck', ['-x', '-P', 'SCRIPTDIR', join(ROOT, path)]);
    expect(status, output).toBe(0);
  });
});
