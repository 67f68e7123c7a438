import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../../repo/source-files.ts';
import { BootedSystem } from '../../support/boot/system.ts';
import { command } from '../../support/command.ts';
import { Figures } from '../cloud/figures.ts';

/** Where run.sh has put dtunnel.qcow2 and dtunnel.tar. */
const IMAGE = process.env['DTUNNEL_IMAGE'] ?? join(ROOT, 'build/image');
/** The folder must be on disk, as a virtual disk would be. */
const work = mkdtempSync('/var/tmp/dtunnel-image-');
const base = join(work, 'base');

const figures = new Figures('image');

/** Two sites as the walk-through of config/cloud-init has them. */
const SITES = {
  berlin: { outer: '198.18.0.11', inner: '172.31.0.1', far: 'paris' },
  paris: { outer: '198.18.0.12', inner: '172.31.0.2', far: 'berlin' },
} as const;
type Site = keyof typeof SITES;

beforeAll(async () => {
  mkdirSync(base);
  await must('tar', ['-C', base, '-xf', join(IMAGE, 'dtunnel.tar'), '--numeric-owner'], 600_000);
});
afterAll(async () => {
  figures.write();
  await command('sh', ['-c', `umount ${work}/*/root 2> /dev/null; true`]);
  rmSync(work, { recursive: true, force: true });
});

describe('the image', () => {
  it('is a sound qcow2 of at most 500 MB', async () => {
    const file = join(IMAGE, 'dtunnel.qcow2');
    await must('qemu-img', ['check', file]);
    const { size } = statSync(file);
    figures.note('qcow2, MB', size / 1e6);
    expect(size).toBeLessThanOrEqual(500e6);
  });

  it('holds nothing that two instances would share', async () => {
    expect(statSync(join(base, 'etc/machine-id')).size).toBe(0);
    const { stdout } = await command('sh', [
      '-c',
      `cd ${base}; ls etc/ssh/ssh_host_* etc/dtunnel/* var/lib/cloud/instance 2> /dev/null`,
    ]);
    expect(stdout).toBe('');
  });

  it('has one kernel, the small one', async () => {
    const { stdout } = await command('sh', ['-c', `ls ${base}/boot | grep vmlinuz`]);
    expect(stdout).toMatch(/^vmlinuz-\S+-cloud-amd64\n$/);
  });

  it('lets nobody in by password, and root not at all by itself', async () => {
    const { stdout } = await command('chroot', [
      base,
      'sh',
      '-c',
      'cat /etc/cloud/cloud.cfg.d/50-dtunnel.cfg; getent shadow root',
    ]);
    expect(stdout).toContain('disable_root: true');
    expect(stdout).toContain('ssh_pwauth: false');
    expect(stdout).toMatch(/^root:[*!]/m);
  });
});

describe('two instances, one link, from user-data alone', () => {
  const booted: Partial<Record<Site, BootedSystem>> = {};
  let began = 0;
  let linked = 0;

  beforeAll(async () => {
    const keys = { berlin: await keyPair('berlin'), paris: await keyPair('paris') };
    for (const site of ['berlin', 'paris'] as const) await prepare(site, userData(site, keys));
    began = performance.now();
    for (const site of ['berlin', 'paris'] as const) booted[site] = await boot(site);
    const berlin = system('berlin');
    for (let left = 600; left > 0; left -= 1) {
      if ((await berlin.run(['ping', '-c', '1', '-W', '1', SITES.paris.inner])).status === 0) break;
    }
    linked = performance.now();
  });
  afterAll(async () => {
    for (const site of Object.values(booted)) await site?.destroy();
  });

  function system(site: Site): BootedSystem {
    const found = booted[site];
    if (found === undefined) throw new Error(`${site} was not booted`);
    return found;
  }

  it('passes its first packet', async () => {
    const answer = await system('paris').run(['ping', '-c', '3', SITES.berlin.inner]);
    const why = await system('berlin').run([
      'sh',
      '-c',
      'cat /var/log/cloud-init-output.log; journalctl --no-pager -u "dtunnel@*"; ip address',
    ]);
    expect(answer.status, `${answer.output}${why.output}${system('berlin').console.slice(-2000)}`).toBe(0);
    figures.note('power on to first packet, s', (linked - began) / 1000);
  });

  it('has booted without a complaint', async () => {
    for (const site of ['berlin', 'paris'] as const) {
      await system(site).started();
      expect(await system(site).must(['cloud-init', 'status', '--wait'])).toContain('status: done');
      const failed = await system(site).must(['systemctl', 'list-units', '--state=failed', '--plain', '--no-legend']);
      const why =
        failed === ''
          ? ''
          : await system(site).must(['journalctl', '--no-pager', '--unit', failed.split(' ')[0] ?? '']);
      expect(failed, why).toBe('');
    }
  });

  it('runs the tunnel under its own user and the agents of Heat beside it', async () => {
    const user = await system('berlin').must(['systemctl', 'show', '--value', '--property=User', 'dtunnel@berlin']);
    expect(user).toBe('dtunnel\n');
    expect(await system('berlin').must(['systemctl', 'is-active', 'dtunnel@berlin', 'os-collect-config'])).toBe(
      'active\nactive\n',
    );
  });

  it('forwards', async () => {
    expect(
      await system('berlin').must(['cat', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding']),
    ).toBe('1\n1\n');
  });

  it('gave each its own identity', async () => {
    const identity = async (site: Site) =>
      (await system(site).must(['sh', '-c', 'cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub'])).trim();
    const [a, b] = [await identity('berlin'), await identity('paris')];
    expect(a).toMatch(/^[0-9a-f]{32}\nssh-ed25519 /);
    expect(a.split('\n')[0]).not.toBe(b.split('\n')[0]);
    expect(a.split('\n')[1]).not.toBe(b.split('\n')[1]);
  });

  it('drains when it is shut down, and tells the other side', async () => {
    await system('paris').shutDown();
    const log = await system('berlin').must(['journalctl', '--output=cat', '--unit=dtunnel@berlin']);
    expect(log).toMatch(/peer\.(degraded|closed).*(draining|closed)/);
  });
});

describe('the walk from two files to a link, as config/cloud-init/README.md has it', () => {
  const booted: BootedSystem[] = [];
  afterAll(async () => {
    for (const site of booted) await site.destroy();
  });

  /** Starts an instance with user-data.yaml, which the reader has changed for his site; yields the fingerprint it shows. */
  async function start(site: Site, name: string, peer: string): Promise<{ system: BootedSystem; fingerprint: string }> {
    const shipped = readFileSync(join(ROOT, 'config/cloud-init/user-data.yaml'), 'utf8');
    const data = shipped
      .replaceAll(/\bberlin\b/g, site)
      .replace(/Address {5}= .*/, `Address     = ${SITES[site].inner}/30`)
      .replace(/ {6}# 2\. The far end[\s\S]*?AllowedIPs .*\n/, peer.replaceAll(/^/gm, '      ').trimEnd().concat('\n'));
    await prepare(site, data, name);
    const system = await boot(site, name);
    booted.push(system);
    await system.started();
    await system.must(['cloud-init', 'status', '--wait']);
    const shown = new RegExp(`^dtunnel ${site} fingerprint (([0-9a-f]{2}:){31}[0-9a-f]{2})\\r?$`, 'm').exec(
      system.console,
    );
    expect(shown, system.console).not.toBeNull();
    return { system, fingerprint: shown?.[1] ?? '' };
  }

  it('works step by step, with keys that no desk has seen', async () => {
    const berlin = await start('berlin', 'first', '');
    const called = `[Peer]
Name        = berlin
Fingerprint = ${berlin.fingerprint}
Endpoint    = ${SITES.berlin.outer}:4433
AllowedIPs  = 172.31.0.1/32, 10.1.0.0/16
`;
    const paris = await start('paris', 'second', called);
    const refused = await paris.system.run(['dtunnel', 'doctor', 'paris']);
    expect(refused.output).toMatch(/rejected us|refused|does not know/);

    const section = `
[Peer]
Name        = paris
Fingerprint = ${paris.fingerprint}
AllowedIPs  = 172.31.0.2/32, 10.2.0.0/16
`;
    await berlin.system.must(['sh', '-c', 'printf "%s" "$1" >> /etc/dtunnel/berlin.conf', 'sh', section]);
    await berlin.system.must(['dtunnel', 'reload', 'berlin']);
    await berlin.system.must(['dtunnel', 'status', 'berlin', '--wait', '--timeout', '60s'], 90_000);
    await paris.system.must(['ping', '-c', '3', SITES.berlin.inner]);
  });
});

/** Boots what `prepare` has made, with a cable to the cloud's bridge. */
async function boot(site: Site, name: string = site): Promise<BootedSystem> {
  const system = BootedSystem.boot(join(work, name, 'root'), `dt-${name}-${process.pid}`, 'eth0');
  await system.plug('cloud', `vm-${name}`, 'eth0');
  return system;
}

interface KeyPair {
  readonly certificate: string;
  readonly key: string;
  readonly fingerprint: string;
}

/** A key pair made beforehand, by the dtunnel of the image. */
async function keyPair(site: Site): Promise<KeyPair> {
  const script = `rm -rf /tmp/keys; mkdir /tmp/keys; dtunnel keygen ${site} --dir /tmp/keys > /dev/null
    dtunnel fingerprint /tmp/keys/${site}.crt; cat /tmp/keys/${site}.crt /tmp/keys/${site}.key; rm -rf /tmp/keys`;
  const { stdout, status, output } = await command('chroot', [base, 'sh', '-euc', script], {
    env: { NODE_EXTRA_CA_CERTS: '' },
  });
  if (status !== 0) throw new Error(output);
  const [fingerprint = '', ...pem] = stdout.split('\n');
  const [certificate = '', key = ''] = pem.join('\n').split(/(?<=END CERTIFICATE-----\n)/);
  return { fingerprint, certificate, key };
}

/** The shipped user-data with the values of a site. */
function userData(site: Site, keys: Readonly<Record<Site, KeyPair>>): string {
  const { inner, far } = SITES[site];
  const indent = (pem: string) => pem.trim().replaceAll('\n', '\n      ');
  return readFileSync(join(ROOT, 'config/cloud-init/user-data.premade-key.yaml'), 'utf8')
    .replaceAll(/\b(berlin|paris)\b/g, (name) => (name === 'berlin' ? site : far))
    .replace(`(${site}.crt)`, indent(keys[site].certificate))
    .replace(`(${site}.key)`, indent(keys[site].key))
    .replace(/Address {5}= .*/, `Address     = ${inner}/30`)
    .replace(/Fingerprint = .*/, `Fingerprint = ${keys[far].fingerprint}`)
    .replace(/Endpoint {4}= .*/, `Endpoint    = ${SITES[far].outer}:4433`)
    .replace(/AllowedIPs {2}= .*/, `AllowedIPs  = ${SITES[far].inner}/32, 10.2.0.0/16`);
}

/** A disk for an instance, a layer over the image, with a seed as a cloud without metadata service would give it. */
async function prepare(site: Site, data: string, name: string = site): Promise<void> {
  const folder = join(work, name);
  for (const part of ['upper', 'layer', 'root']) mkdirSync(join(folder, part), { recursive: true });
  const layers = `lowerdir=${base},upperdir=${join(folder, 'upper')},workdir=${join(folder, 'layer')}`;
  await must('mount', ['-t', 'overlay', '-o', layers, 'disk', join(folder, 'root')]);
  // Its root is a folder and no file system with a label.
  writeFileSync(join(folder, 'root/etc/fstab'), '');
  const seed = join(folder, 'root/var/lib/cloud/seed/nocloud');
  mkdirSync(seed, { recursive: true });
  writeFileSync(join(seed, 'user-data'), data);
  writeFileSync(join(seed, 'meta-data'), `instance-id: ${site}-1\nlocal-hostname: ${site}\n`);
  const network = `version: 2\nethernets:\n  eth0:\n    addresses: [${SITES[site].outer}/24]\n    dhcp4: false\n    dhcp6: false\n`;
  writeFileSync(join(seed, 'network-config'), network);
}

async function must(program: string, args: readonly string[], timeoutMs = 60_000): Promise<string> {
  const { status, stdout, output } = await command(program, args, { timeoutMs });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${output}`);
  return stdout;
}
