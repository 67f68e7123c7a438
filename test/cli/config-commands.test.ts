import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DtunnelError } from '../../src/base/errors.ts';
import * as check from '../../src/cli/commands/check.ts';
import * as configSchema from '../../src/cli/commands/config-schema.ts';
import * as convert from '../../src/cli/commands/convert.ts';
import * as fingerprint from '../../src/cli/commands/fingerprint.ts';
import * as fmt from '../../src/cli/commands/fmt.ts';
import * as keygen from '../../src/cli/commands/keygen.ts';
import { parseSettings } from '../../src/config/load.ts';
import { parseFingerprint } from '../../src/crypto/fingerprint.ts';
import { recordIo } from '../support/io.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';

const directory = useTemporaryDirectory();

async function makeKey(name: string, changes: Partial<keygen.KeygenArgs> = {}): Promise<string> {
  const { io, out } = recordIo();
  const args = { name, dir: directory.path(), keyType: 'p256', ifMissing: false, json: false, ...changes } as const;
  expect(await keygen.run(args, io)).toBe(0);
  return out();
}

async function failure(action: Promise<unknown>): Promise<DtunnelError> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof DtunnelError) return error;
  throw new Error(`refused with ${String(error)}`);
}

describe('keygen', () => {
  it('prints where the files are and what the other side needs', async () => {
    const out = await makeKey('paris');
    const pin = /Fingerprint = (\S+)/.exec(out)?.[1] ?? '';
    expect(parseFingerprint(pin)).toBeDefined();
    const width = directory.path('paris.crt').length;
    const key = statSync(directory.path('paris.key'));
    expect(out).toContain(`certificate  ${directory.path('paris.crt')}   expires 2036-11-20\n`);
    expect(out).toMatch(new RegExp(`private key  ${directory.path('paris.key').padEnd(width)}   0600 \\S+:\\S+\\n`));
    expect(out).toContain(
      `Paste this into the other side's file:\n\n[Peer]\nName        = paris\nFingerprint = ${pin}\nAllowedIPs  = # ← networks behind paris\n`,
    );
    expect(key.mode & 0o7777).toBe(0o600);
    expect(readFileSync(directory.path('paris.key'), 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    expect(readdirSync(directory.path()).toSorted()).toEqual(['paris.crt', 'paris.key']);
  });

  it.each(['p256', 'p384', 'ed25519', 'rsa2048'] as const)(
    'makes keys of type %s that certificates check out with',
    async (keyType) => {
      await makeKey('a', { keyType });
      writeFileSync(
        directory.path('a.conf'),
        `[Interface]\nAddress = 10.0.0.1/30\nCertificate = a.crt\nPrivateKey = a.key\n`,
      );
      const { io, out } = recordIo();
      expect(await check.run({ files: [directory.path('a.conf')], json: true, quiet: false }, io)).toBe(0);
      expect(JSON.parse(out()).files[0].identity).toBeNull();
    },
  );

  it('makes the directory, passable for the daemon', async () => {
    await makeKey('a', { dir: directory.path('new/deep') });
    expect(statSync(directory.path('new/deep')).mode & 0o777).toBe(0o755);
  });

  it('never overwrites, and leaves half a pair alone', async () => {
    await makeKey('paris');
    const before = readFileSync(directory.path('paris.key'), 'utf8');
    const args = { name: 'paris', dir: directory.path(), keyType: 'p256', ifMissing: false, json: false } as const;
    const error = await failure(keygen.run(args, recordIo().io));
    expect(error).toMatchObject({ code: 'K005' });
    expect(error.message).toBe(`${directory.path('paris.crt')} and ${directory.path('paris.key')} exist already`);
    writeFileSync(directory.path('half.key'), 'precious');
    const half = { ...args, name: 'half' };
    expect((await failure(keygen.run(half, recordIo().io))).code).toBe('K005');
    expect((await failure(keygen.run({ ...half, ifMissing: true }, recordIo().io))).message).toContain('other half');
    expect(readFileSync(directory.path('half.key'), 'utf8')).toBe('precious');
    expect(readFileSync(directory.path('paris.key'), 'utf8')).toBe(before);
    expect(readdirSync(directory.path()).toSorted()).toEqual(['half.key', 'paris.crt', 'paris.key']);
  });

  it('with --if-missing takes the pair that is there, if it is fit for use', async () => {
    const first = await makeKey('paris', { ifMissing: true });
    const again = await makeKey('paris', { ifMissing: true });
    expect(again).toContain('(was there already)');
    expect(/Fingerprint = \S+/.exec(again)?.[0]).toBe(/Fingerprint = \S+/.exec(first)?.[0]);
    const json = JSON.parse(await makeKey('paris', { ifMissing: true, json: true }));
    expect(json).toMatchObject({ schema: 'dtunnel.keygen/1', created: false, keyType: 'p256' });
    expect(JSON.stringify(json)).not.toContain('PRIVATE');
    chmodSync(directory.path('paris.key'), 0o644);
    const args = { name: 'paris', dir: directory.path(), keyType: 'p256', ifMissing: true, json: false } as const;
    expect((await failure(keygen.run(args, recordIo().io))).code).toBe('K002');
  });

  it.each(['', '..', 'a/b', '../a', 'a b', '-a', 'é'])('refuses the name %j', async (name) => {
    const args = { name, dir: directory.path(), keyType: 'p256', ifMissing: false, json: false } as const;
    expect(await failure(keygen.run(args, recordIo().io))).toMatchObject({ code: 'S021', exitCode: 2 });
    expect(readdirSync(directory.path())).toEqual([]);
  });
});

describe('fingerprint', () => {
  const never: fingerprint.FingerprintProbe = () => Promise.reject(new Error('nothing was to be asked'));

  async function printed(args: Partial<fingerprint.FingerprintArgs>, input?: Uint8Array): Promise<string> {
    const { io, out } = recordIo({ input: async () => input ?? new Uint8Array() });
    const all = { target: directory.path('paris.crt'), format: 'colon', json: false, ...args } as const;
    expect(await fingerprint.run(all, io, never)).toBe(0);
    return out();
  }

  it('of a certificate is the same from a file, from input, in PEM and in DER, in each form', async () => {
    const pin = /Fingerprint = (\S+)/.exec(await makeKey('paris'))?.[1] ?? '';
    const pem = readFileSync(directory.path('paris.crt'));
    const der = Buffer.from(pem.toString().replace(/-----.*-----|\n/g, ''), 'base64');
    writeFileSync(directory.path('paris.der'), der);
    expect(await printed({})).toBe(`${pin}\n`);
    expect(await printed({ target: '-' }, pem)).toBe(`${pin}\n`);
    expect(await printed({ target: '-' }, der)).toBe(`${pin}\n`);
    expect(await printed({ target: directory.path('paris.der') })).toBe(`${pin}\n`);
    expect(await printed({ format: 'hex' })).toBe(`${pin.replaceAll(':', '')}\n`);
    expect(parseFingerprint((await printed({ format: 'base64' })).trim())).toBe(pin.replaceAll(':', ''));
    expect(JSON.parse(await printed({ json: true }))).toMatchObject({ schema: 'dtunnel.fingerprint/1', colon: pin });
  });

  it('asks whoever listens at an endpoint', async () => {
    const { io, out } = recordIo();
    const asked: unknown[] = [];
    const pin = parseFingerprint('ab'.repeat(32));
    if (pin === undefined) throw new Error('64 digits are a fingerprint');
    const probe: fingerprint.FingerprintProbe = async (endpoint) => {
      asked.push(endpoint);
      return pin;
    };
    expect(await fingerprint.run({ target: '[2001:db8::1]:4433', format: 'hex', json: false }, io, probe)).toBe(0);
    expect(asked).toEqual([{ host: '2001:db8::1', port: 4433 }]);
    expect(out()).toBe(`${pin}\n`);
  });

  it('of what is no certificate is refused, and a key is called one', async () => {
    await makeKey('paris');
    const ask = (target: string): Promise<DtunnelError> =>
      failure(fingerprint.run({ target, format: 'colon', json: false }, recordIo().io, never));
    expect((await ask(directory.path('paris.key'))).message).toContain('holds a private key, but no certificate');
    expect(await ask(directory.path())).toMatchObject({ code: 'S023' });
    expect((await ask('nothing-here')).hint).toContain('HOST:PORT');
    expect(await ask('-')).toMatchObject({ code: 'K004', exitCode: 78 });
  });
});

describe('check', () => {
  /** Both ends of the documentation, with real keys. */
  async function ends(): Promise<readonly [string, string]> {
    const pins = new Map<string, string>();
    for (const name of ['berlin', 'paris']) pins.set(name, /Fingerprint = (\S+)/.exec(await makeKey(name))?.[1] ?? '');
    for (const [name, other] of [
      ['berlin', 'paris'],
      ['paris', 'berlin'],
    ] as const) {
      const text = readFileSync(`config/examples/${name}.conf`, 'utf8')
        .replaceAll('/etc/dtunnel', directory.path())
        .replace(/Fingerprint = .*/, `Fingerprint = ${pins.get(other)}`);
      writeFileSync(directory.path(`${name}.conf`), text);
    }
    return [directory.path('berlin.conf'), directory.path('paris.conf')];
  }

  async function run(
    files: readonly string[],
    changes: Partial<check.CheckArgs> = {},
  ): Promise<{ status: number; out: string; err: string }> {
    const { io, out, err } = recordIo();
    const status = await check.run({ files, json: false, quiet: false, ...changes }, io);
    return { status, out: out(), err: err() };
  }

  it('of two ends that fit says so in a line each', async () => {
    const [berlin, paris] = await ends();
    expect(await run([berlin, paris])).toEqual({
      status: 0,
      err: '',
      out: [
        `${berlin}: ok  (1 peer, 3 prefixes)`,
        `${paris}: ok   (1 peer, 3 prefixes)`,
        'pair berlin ↔ paris: fingerprints match, prefixes mirror, one side reachable (berlin:4433), MTU auto/auto',
        '',
      ].join('\n'),
    });
    expect(await run([berlin, paris], { quiet: true })).toEqual({ status: 0, out: '', err: '' });
  });

  it('of two ends that do not know each other ends with 78 and says what to write', async () => {
    const [berlin, paris] = await ends();
    const wrong = 'ab:'.repeat(32).slice(0, -1);
    const right = /Fingerprint = (\S+)/.exec(readFileSync(berlin, 'utf8'))?.[1] ?? '';
    writeFileSync(berlin, readFileSync(berlin, 'utf8').replace(right, wrong));
    const { status, out, err } = await run([berlin, paris]);
    expect(status).toBe(78);
    expect(out).not.toContain('pair');
    expect(err).toContain('error[C040]: berlin expects another certificate than paris has');
    expect(err).toContain(`help: set  Fingerprint = ${right}`);
  });

  it('warns in one line each, after the result', async () => {
    const [berlin, paris] = await ends();
    writeFileSync(berlin, readFileSync(berlin, 'utf8').replace('[Peer]', 'ListenAddress = 203.0.113.10\n[Peer]'));
    const { status, err } = await run([berlin, paris]);
    expect(status).toBe(0);
    expect(err).toBe(`warning: ${paris}:11: backup endpoint 198.51.100.7 is not among berlin's ListenAddress values\n`);
  });

  it('of a file whose certificate is on another machine passes, and says what was not checked', async () => {
    const { status, out, err } = await run(['config/examples/berlin.conf']);
    expect(status).toBe(0);
    expect(out).toBe('config/examples/berlin.conf: ok  (1 peer, 3 prefixes)\n');
    expect(err).toBe(
      'warning: config/examples/berlin.conf: cannot read the private key /etc/dtunnel/berlin.key: no such file or directory: not checked\n',
    );
  });

  it('of a key that others can read ends with 78', async () => {
    const [berlin] = await ends();
    chmodSync(directory.path('berlin.key'), 0o640);
    const { status, out, err } = await run([berlin]);
    expect(status).toBe(78);
    expect(out).toBe('');
    expect(err).toContain('error[K002]: the private key');
    expect(err).toContain(`help: chmod 600 ${directory.path('berlin.key')}`);
  });

  it('of a file with mistakes shows them all, and counts them', async () => {
    const { status, out, err } = await run(['test/config/cases/misspelt-key.conf']);
    expect(status).toBe(78);
    expect(out).toBe('');
    expect(err.replaceAll('test/config/cases/', '')).toBe(
      `${readFileSync('test/config/cases/misspelt-key.txt', 'utf8')}\nmisspelt-key.conf: 3 errors\n`,
    );
  });

  it('of a file that is not there ends with 78', async () => {
    const { status, err } = await run([directory.path('none.conf')]);
    expect(status).toBe(78);
    expect(err).toContain(`error[C001]: cannot read ${directory.path('none.conf')}: no such file or directory`);
  });

  it('finds a tunnel by its name', async () => {
    await ends();
    const { io, out } = recordIo({ env: { DTUNNEL_CONFIG_DIR: directory.path() } });
    expect(await check.run({ files: ['berlin'], json: false, quiet: false }, io)).toBe(0);
    expect(out()).toBe(`${directory.path('berlin.conf')}: ok  (1 peer, 3 prefixes)\n`);
  });

  it('is one JSON document for machines', async () => {
    const [berlin, paris] = await ends();
    const { status, out, err } = await run([berlin, paris], { json: true });
    expect(status).toBe(0);
    expect(err).toBe('');
    expect(JSON.parse(out)).toMatchObject({
      schema: 'dtunnel.check/1',
      ok: true,
      files: [{ name: 'berlin', peers: 1, prefixes: 3, diagnostics: [] }, { name: 'paris' }],
      pair: { ok: true, reachable: ['berlin:4433'], mtu: ['auto', 'auto'] },
    });
    const bad = await run(['test/config/cases/misspelt-key.conf'], { json: true });
    expect(bad.status).toBe(78);
    expect(JSON.parse(bad.out).files[0].diagnostics[0]).toEqual({
      severity: 'error',
      code: 'C012',
      file: 'test/config/cases/misspelt-key.conf',
      line: 11,
      column: 1,
      message: "unknown key 'Endpiont' in [Peer berlin]",
      help: null,
      labels: [
        {
          file: 'test/config/cases/misspelt-key.conf',
          line: 11,
          column: 1,
          length: 8,
          text: "did you mean 'Endpoint'?",
        },
      ],
    });
  });
});

describe('fmt', () => {
  const UGLY = '[interface]\naddress=10.0.0.1/30\n# why\nlistenport = 4433\nColour = blue\n';
  const TIDY = '[Interface]\nAddress    = 10.0.0.1/30\n# why\nListenPort = 4433\nColour     = blue\n';

  it('prints canonical text, and writes it only when asked', async () => {
    const file = directory.path('a.conf');
    writeFileSync(file, UGLY);
    const printed = recordIo();
    expect(await fmt.run({ files: [file], write: false, quiet: false }, printed.io)).toBe(0);
    expect(printed.out()).toBe(TIDY);
    expect(readFileSync(file, 'utf8')).toBe(UGLY);
    const written = recordIo();
    expect(await fmt.run({ files: [file], write: true, quiet: false }, written.io)).toBe(0);
    expect(written.out()).toBe('');
    expect(written.err()).toBe(`[~] ${file} formatted\n`);
    expect(readFileSync(file, 'utf8')).toBe(TIDY);
    const again = recordIo();
    expect(await fmt.run({ files: [file], write: true, quiet: false }, again.io)).toBe(0);
    expect(again.err()).toBe('');
  });

  it('does not touch a file with lines it cannot read', async () => {
    const file = directory.path('a.conf');
    writeFileSync(file, '[Interface]\naddress 10.0.0.1/30\n');
    const { io, err } = recordIo();
    expect(await fmt.run({ files: [file], write: true, quiet: false }, io)).toBe(78);
    expect(err()).toContain('error[C003]');
    expect(readFileSync(file, 'utf8')).toBe('[Interface]\naddress 10.0.0.1/30\n');
    expect(await failure(fmt.run({ files: [directory.path('none')], write: false, quiet: false }, io))).toMatchObject({
      code: 'C001',
    });
  });
});

describe('convert', () => {
  const WIREGUARD = `# Home office
[Interface]
Address = 10.0.0.1/24, fd00::1/64
ListenPort = 51820
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
DNS = 10.0.0.53
FwMark = 0
PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -j MASQUERADE
SaveConfig = true

[Peer] # laptop
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey = /UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=
AllowedIPs = 10.0.0.2/32
[Peer]
PublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
AllowedIPs = 0.0.0.0/0
Endpoint = vpn.example.net:51820
PersistentKeepalive = 25
`;

  it('keeps what means the same, drops every key, and says what is left to do', async () => {
    const file = directory.path('wg0.conf');
    writeFileSync(file, WIREGUARD);
    const { io, out, err } = recordIo();
    expect(await convert.run({ file, json: false }, io)).toBe(0);
    expect(out()).toBe(`# Home office
[Interface]
Certificate = /etc/dtunnel/wg0.crt
PrivateKey  = /etc/dtunnel/wg0.key
Address     = 10.0.0.1/24, fd00::1/64
ListenPort  = 51820
# DNS = 10.0.0.53
FwMark      = off
# PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -j MASQUERADE

[Peer]
Fingerprint =  # what dtunnel keygen prints on the other side
AllowedIPs  = 10.0.0.2/32

[Peer]
Fingerprint         =  # what dtunnel keygen prints on the other side
Priority            = 132  # encloses networks of another peer
AllowedIPs          = 0.0.0.0/0
Endpoint            = vpn.example.net:51820
PersistentKeepalive = 25
`);
    expect(err()).toContain('left to do:\n  1. make an identity for this side:  dtunnel keygen wg0\n');
    expect(err()).toContain('DNS = 10.0.0.53');
    expect(err()).toContain('set Fingerprint of the peer at vpn.example.net:51820');
    expect(out() + err()).not.toMatch(/yAnz|xTIB|Uwcs|TrMv/i);
  });

  it('makes a configuration that lacks nothing but the fingerprints', async () => {
    const file = directory.path('wg0.conf');
    writeFileSync(file, WIREGUARD);
    const { io, out } = recordIo();
    await convert.run({ file, json: true }, io);
    const { text, todo } = JSON.parse(out());
    expect(todo).toHaveLength(5);
    let digit = 0;
    const filled = text.replaceAll(/Fingerprint(\s*)= .*/g, () => `Fingerprint = ${`${++digit}`.repeat(64)}`);
    const result = parseSettings('wg0.conf', filled);
    expect(result.ok ? [] : result.error.items.map((item) => item.message)).toEqual([]);
  });
});

describe('config schema', () => {
  it('lists every key for people and for machines', async () => {
    const text = recordIo();
    expect(await configSchema.run({ json: false }, text.io)).toBe(0);
    expect(text.out()).toMatch(/^\[Interface\]\nName {17}tunnel and device name/);
    expect(text.out()).toContain('PersistentKeepalive  keeps NAT mappings open');
    const json = recordIo();
    expect(await configSchema.run({ json: true }, json.io)).toBe(0);
    const { schema, sections } = JSON.parse(json.out());
    expect(schema).toBe('dtunnel.config/1');
    expect(sections[1].keys).toContainEqual({
      name: 'Priority',
      type: '0-65535',
      default: '100',
      required: false,
      list: false,
      hot: true,
      note: null,
      help: 'of peers with the same prefix the lowest that is up carries it',
    });
  });
});
