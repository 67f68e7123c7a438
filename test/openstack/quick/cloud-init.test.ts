import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSettings } from '../../../src/config/load.ts';
import { ROOT } from '../../repo/source-files.ts';
import { command, lacks } from '../../support/command.ts';

const FOLDER = join(ROOT, 'config/cloud-init');
const USER_DATA = readdirSync(FOLDER).filter((name) => name.startsWith('user-data'));

/** Files that a user-data text writes, by path. */
function writtenFiles(text: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [, path = '', block = ''] of text.matchAll(
    /^ {2}- path: (\S+)\n(?: {4}\w+: .*\n)* {4}content: \|\n((?: {6}.*\n|\n)+)/gm,
  )) {
    files.set(path, block.replaceAll(/^ {6}/gm, ''));
  }
  return files;
}

describe.each(USER_DATA)('%s', (name) => {
  const text = readFileSync(join(FOLDER, name), 'utf8');

  it('writes a configuration that dtunnel accepts', () => {
    const conf = writtenFiles(text).get('/etc/dtunnel/berlin.conf') ?? '';
    const parsed = parseSettings('/etc/dtunnel/berlin.conf', conf);
    expect(parsed).toMatchObject({
      ok: true,
      value: { settings: { interface: { name: 'berlin', listenPort: 4433 } } },
    });
  });

  it('starts the tunnel that it configures, and lets nobody in by password', () => {
    expect(text).toContain('[systemctl, enable, --now, dtunnel@berlin.service]');
    expect(text).toMatch(/^ssh_pwauth: false$/m);
    expect(text).toMatch(/^disable_root: true$/m);
  });

  it('fits the smallest limit of any cloud, 16 KiB, and holds no key', () => {
    expect(Buffer.byteLength(text)).toBeLessThan(16 * 1024);
    expect(text).not.toMatch(/BEGIN [A-Z ]*PRIVATE KEY/);
  });
});

describe.skipIf(lacks('cloud-init files', { 'cloud-init': 'cloud-init' }))('cloud-init itself', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'dtunnel-cloud-init-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it.each(USER_DATA)('accepts %s', async (name) => {
    const { status, output } = await command('cloud-init', ['schema', '--config-file', join(FOLDER, name)]);
    expect(status, output).toBe(0);
  });

  it.each([
    ['ssh_pwauth: false', 'ssh_pwauth: [perhaps]'],
    ["permissions: '0644'", 'permissions: [6, 4, 4]'],
  ])('refuses a mistake: %s', async (good, bad) => {
    const text = readFileSync(join(FOLDER, 'user-data.yaml'), 'utf8');
    expect(text).toContain(good);
    const file = join(folder, 'damaged.yaml');
    writeFileSync(file, text.replace(good, bad));
    const { status } = await command('cloud-init', ['schema', '--config-file', file]);
    expect(status).not.toBe(0);
  });

  it.each(['networkd', 'netplan', 'eni'])('makes both interfaces of network-config for %s', async (kind) => {
    const out = join(folder, kind);
    const args = ['devel', 'net-convert', '--network-data', join(FOLDER, 'network-config.yaml'), '--kind', 'yaml'];
    const { status, output } = await command('cloud-init', [
      ...[...args, '--directory', out, '--distro', 'debian', '--output-kind', kind],
      ...['-m', 'outside,52:54:00:00:00:01', '-m', 'inside,52:54:00:00:00:02'],
    ]);
    expect(status, output).toBe(0);
    const written = readdirSync(out, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const text = written.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8')).join('\n');
    expect(text).toMatch(/outside/);
    expect(text).toContain('10.1.0.1/16');
  });
});

it('explains the same file for every cloud', () => {
  const readme = readFileSync(join(FOLDER, 'README.md'), 'utf8');
  for (const name of readdirSync(FOLDER)) if (name !== 'README.md') expect(readme).toContain(name);
  for (const program of ['aws ec2', 'gcloud compute', 'az vm']) expect(readme).toContain(program);
});
