import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../repo/source-files.ts';
import { BootedSystem } from '../support/boot/system.ts';
import { command, lacks } from '../support/command.ts';

const BUILD = join(ROOT, 'config/release/build.sh');
/** A bootstrapped Debian is kept between runs. */
const CACHE = join(ROOT, '.cache/release');
const VERSION: string = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version;

const tools = {
  'dpkg-deb': 'dpkg',
  debootstrap: 'debootstrap',
  'aarch64-linux-gnu-g++': 'g++-aarch64-linux-gnu',
  'qemu-aarch64-static': 'qemu-user-static',
  xz: 'xz-utils',
};

describe.skipIf(lacks('release artefacts', tools) || process.getuid?.() !== 0)('a release', () => {
  const work = mkdtempSync(join(tmpdir(), 'dtunnel-release-'));
  /** Made here, unless they were made before: half an hour saved for who works on the package's scripts. */
  const given = process.env['DTUNNEL_RELEASE'];
  const first = given === undefined ? join(work, 'first') : resolve(given);
  const amd64 = join(first, `dtunnel_${VERSION}_amd64.deb`);

  beforeAll(async () => {
    if (given !== undefined) return;
    const { status, output } = await command(BUILD, [], { env: { DTUNNEL_RELEASE_OUT: first }, timeoutMs: 1_500_000 });
    expect(status, output).toBe(0);
    // Both programs started under their own runtime, arm64 by emulation.
    expect(output).toMatch(/addon of x64 under Node v24/);
    expect(output).toMatch(/addon of arm64 under Node v24/);
  });
  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it('is a tarball, two Debian packages and their hashes', async () => {
    const names = [`dtunnel-${VERSION}-linux.tar.xz`, `dtunnel_${VERSION}_amd64.deb`, `dtunnel_${VERSION}_arm64.deb`];
    expect(readdirSync(first).toSorted()).toEqual(['SHA256SUMS', ...names].toSorted());
    const { status, output } = await command('sha256sum', ['--check', 'SHA256SUMS'], { cwd: first });
    expect(status, output).toBe(0);
  });

  it.skipIf(given !== undefined)('is the same octet by octet when it is built again, elsewhere and later', async () => {
    const again = join(work, 'again');
    const { status, output } = await command(BUILD, [], {
      env: {
        DTUNNEL_RELEASE_OUT: again,
        TMPDIR: mkdtempSync(join(work, 'elsewhere-')),
        TZ: 'Asia/Tokyo',
        LC_ALL: 'C.UTF-8',
      },
      timeoutMs: 1_500_000,
    });
    expect(status, output).toBe(0);
    expect(readFileSync(join(again, 'SHA256SUMS'), 'utf8')).toBe(readFileSync(join(first, 'SHA256SUMS'), 'utf8'));
  });

  it('runs from the unpacked tarball on the Node of this machine', async () => {
    const folder = join(work, 'tarball');
    mkdirSync(folder);
    await command('tar', ['-xf', join(first, `dtunnel-${VERSION}-linux.tar.xz`), '-C', folder, '--strip-components=1']);
    const { status, stdout, output } = await command(process.execPath, [
      join(folder, 'dist/main.js'),
      'version',
      '--verify',
    ]);
    expect(status, output).toBe(0);
    expect(stdout).toContain(VERSION);
  });

  it('belongs to root, and nobody else may write to it', async () => {
    const { stdout } = await command('dpkg-deb', ['--contents', amd64]);
    const lines = stdout.trim().split('\n');
    expect(lines.length).toBeGreaterThan(100);
    for (const line of lines) expect(line).toMatch(/^[dl-]rw.r.[-x]r.[-x] root\/root |^lrwxrwxrwx root\/root /);
    expect(lines.filter((line) => /\.(ts|map)$|\/test\//.test(line))).toEqual([]);
  });

  describe('installed in a clean Debian', () => {
    const root = join(work, 'root');
    let system: BootedSystem | undefined;

    beforeAll(async () => {
      const base = join(CACHE, 'debian-bookworm.tar');
      if (!existsSync(base)) {
        const made = join(work, 'base');
        const include = '--include=systemd,systemd-sysv,dbus,iproute2,iputils-ping,libstdc++6';
        const done = await command('debootstrap', ['--variant=minbase', include, 'bookworm', made], {
          timeoutMs: 1_200_000,
        });
        expect(done.status, done.output.slice(-2000)).toBe(0);
        mkdirSync(CACHE, { recursive: true });
        await command('tar', ['-C', made, '-cf', base, '.'], { timeoutMs: 300_000 });
        rmSync(made, { recursive: true, force: true });
      }
      mkdirSync(root);
      await command('tar', ['-C', root, '-xf', base], { timeoutMs: 300_000 });
      await command('cp', [amd64, join(root, 'dtunnel.deb')]);
      const { status, output } = await command('chroot', [root, 'dpkg', '--install', '/dtunnel.deb'], {
        timeoutMs: 300_000,
      });
      expect(status, output).toBe(0);
      rmSync(join(root, 'dtunnel.deb'));
    });
    afterAll(() => system?.destroy());

    it('has its user, its directories and nothing running', async () => {
      const { stdout } = await command('chroot', [
        root,
        'sh',
        '-c',
        'id dtunnel; stat -c "%a %U:%G" /etc/dtunnel; ls /etc/systemd/system/multi-user.target.wants',
      ]);
      expect(stdout).toMatch(/^uid=\d+\(dtunnel\) gid=\d+\(dtunnel\)/);
      expect(stdout).toContain('750 root:dtunnel\n');
      expect(stdout).not.toContain('dtunnel@');
    });

    it('starts at boot under its own user, with one privilege', async () => {
      const configure = `
        dtunnel keygen berlin > /dev/null
        cat > /etc/dtunnel/berlin.conf <<'END'
[Interface]
Address     = 172.31.0.1/30
ListenPort  = 4433
Certificate = /etc/dtunnel/berlin.crt
PrivateKey  = /etc/dtunnel/berlin.key
END
        systemctl enable dtunnel@berlin.service`;
      const { status, output } = await command('chroot', [root, 'sh', '-euc', configure]);
      expect(status, output).toBe(0);
      system = BootedSystem.boot(root, `dtunnel-release-${process.pid}`);
      await system.started();
      expect(await system.must(['systemctl', 'is-active', 'dtunnel@berlin.service'])).toBe('active\n');
      const pid = (await system.must(['systemctl', 'show', '--value', '--property=MainPID', 'dtunnel@berlin'])).trim();
      const process_ = await system.must(['cat', `/proc/${pid}/status`]);
      const uid = (await system.must(['id', '-u', 'dtunnel'])).trim();
      expect(process_).toMatch(new RegExp(`^Uid:\\s+${uid}\\s+${uid}`, 'm'));
      // CAP_NET_ADMIN is bit 12.
      expect(process_).toMatch(/^CapEff:\s+0000000000001000$/m);
      expect(process_).toMatch(/^CapBnd:\s+0000000000001000$/m);
      expect(await system.must(['readlink', `/proc/${pid}/exe`])).toBe('/usr/lib/dtunnel/bin/node\n');
      expect(await system.must(['ip', '-brief', 'address', 'show', 'dt-berlin'])).toContain('172.31.0.1/30');
    });

    it('takes its key as a credential that only root can read', async () => {
      if (system === undefined) throw new Error('not booted');
      const configure = `
        dtunnel keygen paris --dir /root > /dev/null
        cp /root/paris.crt /etc/dtunnel/
        chown root:root /root/paris.key
        mkdir /etc/systemd/system/dtunnel@paris.service.d
        printf '[Service]\nLoadCredential=key:/root/paris.key\n' > /etc/systemd/system/dtunnel@paris.service.d/key.conf
        cat > /etc/dtunnel/paris.conf <<END
[Interface]
Address     = 172.31.1.2/30
Certificate = /etc/dtunnel/paris.crt
PrivateKey  = credential:key
Metrics     = off

[Peer]
Name        = berlin
Fingerprint = $(dtunnel fingerprint /etc/dtunnel/berlin.crt)
Endpoint    = 127.0.0.1:4433
AllowedIPs  = 10.1.0.0/16
END
        cat >> /etc/dtunnel/berlin.conf <<END

[Peer]
Name        = paris
Fingerprint = $(dtunnel fingerprint /root/paris.crt)
AllowedIPs  = 10.2.0.0/16
END
        systemctl daemon-reload
        systemctl enable --now dtunnel@paris.service || { journalctl --no-pager --unit=dtunnel@paris; exit 1; }`;
      await system.must(['sh', '-euc', configure]);
      expect(await system.must(['stat', '-c', '%a %U', '/root/paris.key'])).toBe('600 root\n');
    });

    it('reloads, and is linked', async () => {
      if (system === undefined) throw new Error('not booted');
      await system.must(['systemctl', 'reload', 'dtunnel@berlin']);
      await system.must(['dtunnel', 'status', 'berlin', 'paris', '--wait', '--timeout', '30s']);
    });

    it('goes over to the next release when its package is installed', async () => {
      if (system === undefined) throw new Error('not booted');
      await next(`${VERSION}+next`);
      const before = await processes();
      const handshake = await lastHandshake();
      const said = await system.must(['dpkg', '--install', '/next.deb'], 300_000);
      for (const name of ['berlin', 'paris']) expect(said).toContain(`dtunnel: ${name}: handed over 1 tunnel`);
      const after = await processes();
      for (const name of ['berlin', 'paris']) {
        expect(after.get(name)?.pid, name).not.toBe(before.get(name)?.pid);
        expect(after.get(name)?.program, name).toBe('/usr/lib/dtunnel/bin/node\n');
      }
      await system.must(['dtunnel', 'status', 'berlin', 'paris', '--wait', '--timeout', '30s']);
      // The sessions are those of before; the new process counts from another start, hence the second.
      expect(Math.abs(Date.parse(await lastHandshake()) - Date.parse(handshake))).toBeLessThan(1000);
    });

    it('goes on with the old release where the next one refuses its file', async () => {
      if (system === undefined) throw new Error('not booted');
      const before = await processes();
      await system.must(['sh', '-c', 'echo Frob = yes >> /etc/dtunnel/paris.conf']);
      const said = await system.run(['dpkg', '--install', '/next.deb'], 300_000);
      expect(said.status, said.output).toBe(0);
      expect(said.output).toContain('paris still runs the old release');
      const after = await processes();
      expect(after.get('paris')?.pid).toBe(before.get('paris')?.pid);
      expect(after.get('berlin')?.pid).not.toBe(before.get('berlin')?.pid);
    });

    it('drains when it is stopped', async () => {
      if (system === undefined) throw new Error('not booted');
      await system.must(['systemctl', 'stop', 'dtunnel@berlin']);
      // What a process said last may be on its way to the journal yet.
      const journal = () => system?.must(['journalctl', '--unit=dtunnel@berlin', '--output=cat']);
      await expect.poll(journal, { timeout: 10_000 }).toContain('daemon.drain');
      expect((await system.run(['ip', 'link', 'show', 'dt-berlin'])).status).not.toBe(0);
      const result = await system.must(['systemctl', 'show', '--value', '--property=Result', 'dtunnel@berlin']);
      expect(result).toBe('success\n');
    });

    it('goes with everything but the keys and configurations', async () => {
      if (system === undefined) throw new Error('not booted');
      const { status, output } = await system.run(['dpkg', '--purge', 'dtunnel'], 120_000);
      expect(status, output).toBe(0);
      const find = 'find /etc /lib/ /usr /var /run -path /run/systemd -prune -o -name "*dtunnel*" -print';
      // The folder of an administrator's own drop-in is as much his as his keys.
      const kept = ['/etc/dtunnel', '/etc/systemd/system/dtunnel@paris.service.d'];
      expect((await system.must(['sh', '-c', find])).trim().split('\n').toSorted()).toEqual(kept);
      const names = ['berlin.conf', 'berlin.crt', 'berlin.key', 'paris.conf', 'paris.crt'];
      expect(readdirSync(join(root, 'etc/dtunnel')).toSorted()).toEqual(names);
      expect((await system.run(['sh', '-c', 'readlink /proc/[0-9]*/exe'])).stdout).not.toContain('node');
    });

    /** When Berlin and Paris last agreed on keys. */
    async function lastHandshake(): Promise<string> {
      const { peers }: { peers: readonly { readonly handshake?: { readonly at: string } }[] } = JSON.parse(
        (await system?.must(['dtunnel', 'status', 'berlin', '--json'])) ?? '',
      );
      const at = peers[0]?.handshake?.at;
      if (at === undefined) throw new Error('berlin and paris are not linked');
      return at;
    }

    /** Puts the same package under a later version into the system. */
    async function next(version: string): Promise<void> {
      const script = `dpkg-deb --raw-extract "$1" "$2/next"
        sed -i "s/^Version: .*/Version: $3/" "$2/next/DEBIAN/control"
        dpkg-deb -Znone --build "$2/next" "$4/next.deb"`;
      const { status, output } = await command('sh', ['-euc', script, 'sh', amd64, work, version, root], {
        timeoutMs: 300_000,
      });
      expect(status, output).toBe(0);
    }

    /** The processes of both tunnels and the program each runs, which is a deleted one after an upgrade without it. */
    async function processes(): Promise<ReadonlyMap<string, { readonly pid: string; readonly program: string }>> {
      const found = new Map<string, { readonly pid: string; readonly program: string }>();
      for (const name of ['berlin', 'paris']) {
        const show = ['systemctl', 'show', '--value', '--property=MainPID', `dtunnel@${name}`];
        const pid = (await system?.must(show))?.trim() ?? '';
        found.set(name, { pid, program: (await system?.must(['readlink', `/proc/${pid}/exe`])) ?? '' });
      }
      return found;
    }
  });
});
