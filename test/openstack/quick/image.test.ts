import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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

describe.skipIf(process.getuid?.() !== 0)('what build-image.sh asks of diskimage-builder', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'dtunnel-image-'));
    // Programs that are only looked for, and the builder itself, which tells what it was asked.
    const others = ['debootstrap', 'sudo', 'qemu-img', 'kpartx', 'mkfs.vfat', 'sgdisk', 'qemu-debootstrap'];
    for (const tool of others) writeFileSync(join(root, tool), '#!/bin/sh\n', { mode: 0o755 });
    const names = ['ARCH', 'ELEMENTS_PATH', 'DIB_LOCAL_IMAGE', 'DIB_CLOUD_IMAGES', 'TMPDIR', 'DIB_NO_TMPFS'];
    writeFileSync(
      join(root, 'disk-image-create'),
      `#!/bin/bash
echo "asked $*" >> asked
for name in ${names.join(' ')} DTUNNEL_DEB; do echo "$name=\${!name:-}" >> asked; done
echo '2026-01-01 00:00:00.000 | dib-run-parts Thu Jan 1 00:00:00 2026 Running /tmp/dib/hooks/install.d/50-dtunnel'
[ ! -e fail ] || { echo 'no space left on device' >&2; exit 1; }
while [ $# -gt 0 ]; do case $1 in -t) types=$2 ;; -o) name=$2 ;; esac; shift; done
for type in \${types//,/ }; do echo image > "$name.$type"; done
`,
      { mode: 0o755 },
    );
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** A package with nothing in it. */
  async function packageFor(architecture: string): Promise<string> {
    const tree = join(root, 'tree');
    mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
    const fields = [
      'Package: dtunnel',
      'Version: 1',
      `Architecture: ${architecture}`,
      'Maintainer: x',
      'Description: x',
    ];
    writeFileSync(join(tree, 'DEBIAN/control'), `${fields.join('\n')}\n`);
    const file = join(root, `dtunnel_1_${architecture}.deb`);
    const { status, output } = await command('dpkg-deb', ['--build', tree, file]);
    expect(status, output).toBe(0);
    return file;
  }

  async function build(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Outcome> {
    return command('bash', [BUILD, ...args], { cwd: root, env: { PATH: `${root}:${process.env['PATH']}`, ...env } });
  }

  function asked(): string {
    return readFileSync(join(root, 'asked'), 'utf8');
  }

  it('is a Debian image with our elements, unless the environment says otherwise', async () => {
    const { status, stdout, output } = await build([], { DTUNNEL_DEB: await packageFor('amd64') });
    expect(status, output).toBe(0);
    expect(asked()).toContain('asked -a amd64 -t qcow2 -o dtunnel debian-minimal vm dtunnel-heat-agent dtunnel\n');
    expect(asked()).toContain(`ELEMENTS_PATH=${join(ROOT, 'config/dib/elements')}\n`);
    expect(stdout).toContain('build-image:   install.d/50-dtunnel\n');
    expect(stdout).toMatch(/made dtunnel\.qcow2/);
  });

  it('follows every variable of the manual', async () => {
    const image = join(root, 'base.qcow2');
    writeFileSync(image, '');
    const { status, output } = await build(['-o', 'gate', '-t', 'qcow2,tar', '--', '-x'], {
      ARCH: 'amd64',
      BASE_ELEMENTS: 'ubuntu vm',
      AGENT_ELEMENTS: '',
      DEPLOYMENT_BASE_ELEMENTS: 'dtunnel more',
      DEPLOYMENT_TOOL: 'dtunnel-hook-puppet',
      ELEMENTS_PATH: '/srv/elements',
      DIB_LOCAL_IMAGE: image,
      DIB_CLOUD_IMAGES: 'http://images.example.net',
      TMPDIR: root,
      DTUNNEL_DEB: await packageFor('amd64'),
    });
    expect(status, output).toBe(0);
    expect(asked()).toContain('asked -a amd64 -t qcow2,tar -o gate -x ubuntu vm dtunnel more dtunnel-hook-puppet\n');
    expect(asked()).toContain(`ELEMENTS_PATH=${join(ROOT, 'config/dib/elements')}:/srv/elements\n`);
    expect(asked()).toContain(`DIB_LOCAL_IMAGE=${image}\nDIB_CLOUD_IMAGES=http://images.example.net\n`);
    // The folder that was asked for is the one that is used: no file system in memory is mounted over it.
    expect(asked()).toContain(`TMPDIR=${root}\nDIB_NO_TMPFS=1\n`);
  });

  it('makes nothing with the package of another architecture', async () => {
    const { status, stderr } = await build([], { DTUNNEL_DEB: await packageFor('arm64') });
    expect(status).toBe(1);
    expect(stderr).toMatch(/dtunnel_1_arm64\.deb is not for amd64/);
  });

  it('shows the reason when the builder fails', async () => {
    writeFileSync(join(root, 'fail'), '');
    const { status, stderr } = await build([], { DTUNNEL_DEB: await packageFor('amd64') });
    expect(status).toBe(1);
    expect(stderr).toContain('no space left on device');
    expect(stderr).toContain('all of it in dtunnel.log');
  });
});

describe.skipIf(lacks('shell lint', { shellcheck: 'shellcheck' }))('shell scripts', () => {
  const scripts = filesBelow('config', ['']).filter(({ text }) => /^#!\/bin\/(ba)?sh\n|^# shellcheck shell/.test(text));
  it.each(scripts.map(({ path }) => path))('%s passes shellcheck', async (path) => {
    const { status, output } = await command('shellcheck', ['-x', '-P', 'SCRIPTDIR', join(ROOT, path)]);
    expect(status, output).toBe(0);
  });
});
