import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { formatFingerprint } from '../../src/crypto/fingerprint.ts';
import type { ConnectionOptions, GroupName, SuiteName } from '../../src/dtls/options.ts';
import { type FiledIdentity, IdentityFiles, isInstalled, Program } from '../support/program.ts';
import { freePort, UdpEngine } from '../support/udp-engine.ts';

/**
 * Against `gnutls-cli` and `gnutls-serv --udp` on loopback: mutual self-signed certificates, both roles. GnuTLS trusts
 * our certificate by --x509cafile, we trust GnuTLS's by its fingerprint.
 */

const KEY_TYPES = ['p256', 'p384', 'ed25519', 'rsa2048'] as const;
type KeyType = (typeof KEY_TYPES)[number];

const CIPHERS: Readonly<Record<string, Readonly<Record<'ecdsa' | 'rsa', SuiteName>>>> = {
  'AES-128-GCM': {
    ecdsa: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    rsa: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  },
  'AES-256-GCM': {
    ecdsa: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    rsa: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  },
  'CHACHA20-POLY1305': {
    ecdsa: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    rsa: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  },
};

const GROUPS: Readonly<Record<string, GroupName>> = {
  X25519: 'x25519',
  SECP256R1: 'secp256r1',
  SECP384R1: 'secp384r1',
};

/** One meeting: which cipher, group, key type and largest datagram. */
interface Case {
  readonly cipher: string;
  readonly group: string;
  readonly keyType: KeyType;
  readonly maxDatagram: number;
}

/** Every cipher with every group, ECDSA and RSA; and every key type with every datagram size. */
const CASES: readonly Case[] = [
  ...Object.keys(CIPHERS).flatMap((cipher) =>
    Object.keys(GROUPS).flatMap((group) =>
      (['p256', 'rsa2048'] as const).map((keyType) => ({ cipher, group, keyType, maxDatagram: 1400 })),
    ),
  ),
  ...KEY_TYPES.flatMap((keyType) =>
    [1400, 600, 300].map((maxDatagram) => ({ cipher: 'AES-128-GCM', group: 'X25519', keyType, maxDatagram })),
  ),
];

const files = new IdentityFiles();
const running: { stop(): Promise<void> }[] = [];
const ours = new Map<KeyType, FiledIdentity>();
const theirs = new Map<KeyType, FiledIdentity>();
let stranger: FiledIdentity;

function pick(from: Map<KeyType, FiledIdentity>, keyType: KeyType): FiledIdentity {
  const found = from.get(keyType);
  if (found === undefined) throw new Error(`no identity for ${keyType}`);
  return found;
}

function engineOptions(keyType: KeyType, maxDatagram = 1400): Omit<ConnectionOptions, 'role'> {
  const peer = pick(theirs, keyType).identity.fingerprint;
  return {
    identity: pick(ours, keyType).identity,
    authorize: (seen) => (seen === peer ? { allowLegacyPeer: false } : undefined),
    expected: formatFingerprint(peer),
    protocols: ['dtunnel/1'],
    connectionId: new Uint8Array(8),
    maxDatagram,
  };
}

function priority(cipher = 'AES-128-GCM', group = 'X25519', extra = ''): string {
  return `NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+${cipher}:-GROUP-ALL:+GROUP-${group}${extra}`;
}

/** Arguments that both commands take. GnuTLS's --mtu is the size of a datagram. */
function commonArgs(keyType: KeyType, maxDatagram: number, priorities: string, own = pick(theirs, keyType)): string[] {
  const certificate = ['--x509certfile', own.certificateFile, '--x509keyfile', own.keyFile];
  return ['--udp', '--mtu', String(maxDatagram), '--priority', priorities, ...certificate];
}

async function serverProgram(args: readonly string[]): Promise<{ program: Program; port: number }> {
  const port = await freePort();
  const program = new Program('gnutls-serv', ['--port', String(port), '--echo', ...args]);
  running.push(program);
  await program.says(/listening on IPv4/);
  return { program, port };
}

function expectSession(engine: UdpEngine, { cipher, group, keyType }: Case): void {
  expect(engine.session).toMatchObject({
    peer: pick(theirs, keyType).identity.fingerprint,
    suite: CIPHERS[cipher]?.[keyType === 'rsa2048' ? 'rsa' : 'ecdsa'],
    group: GROUPS[group],
    extendedMasterSecret: true,
    connectionIds: false,
  });
}

describe.skipIf(!isInstalled('gnutls-cli') || !isInstalled('gnutls-serv'))('gnutls', () => {
  beforeAll(async () => {
    for (const keyType of KEY_TYPES) {
      ours.set(keyType, await files.make(`ours-${keyType}`, keyType));
      theirs.set(keyType, await files.make(`theirs-${keyType}`, keyType));
    }
    stranger = await files.make('stranger', 'p256');
  });
  afterEach(async () => {
    for (const item of running.splice(0).reverse()) await item.stop();
  });
  afterAll(() => files.remove());

  describe('gnutls-serv, our client', () => {
    const demanding = (keyType: KeyType) => [
      '--require-client-cert',
      '--verify-client-cert',
      '--x509cafile',
      pick(ours, keyType).certificateFile,
    ];

    it.each(CASES)('$cipher $group $keyType $maxDatagram', async (test) => {
      const { port } = await serverProgram([
        ...commonArgs(test.keyType, test.maxDatagram, priority(test.cipher, test.group)),
        ...demanding(test.keyType),
      ]);
      const engine = await UdpEngine.connect(port, engineOptions(test.keyType, test.maxDatagram));
      running.push(engine);
      await engine.until('the handshake', () => engine.session !== undefined);
      expectSession(engine, test);
      engine.send('echo this\n');
      await engine.until('the echo', () => engine.text.includes('echo this\n'));
      expect(Math.max(...engine.sentSizes)).toBeLessThanOrEqual(test.maxDatagram);
      expect(Math.max(...engine.receivedSizes)).toBeLessThanOrEqual(test.maxDatagram);
    });

    it('refuses a certificate that is not pinned before any data moves', async () => {
      const { port } = await serverProgram([...commonArgs('p256', 1400, priority(), stranger), ...demanding('p256')]);
      const engine = await UdpEngine.connect(port, engineOptions('p256'));
      running.push(engine);
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({
        code: 'unknown_fingerprint',
        seen: formatFingerprint(stranger.identity.fingerprint),
        expected: formatFingerprint(pick(theirs, 'p256').identity.fingerprint),
      });
      expect(engine.session).toBeUndefined();
      expect(engine.text).toBe('');
    });

    it.each([
      ['without cookies', ['--nocookie'], ''],
      ['that insists on safe renegotiation', [], ':%SAFE_RENEGOTIATION'],
    ] as const)('meets a server %s', async (_what, extra, priorities) => {
      const { port } = await serverProgram([
        ...commonArgs('p256', 1400, priority('AES-128-GCM', 'X25519', priorities)),
        ...demanding('p256'),
        ...extra,
      ]);
      const engine = await UdpEngine.connect(port, engineOptions('p256'));
      running.push(engine);
      await engine.until('the handshake', () => engine.session !== undefined);
    });

    it('refuses a server without extended_master_secret unless that peer may', async () => {
      const { port } = await serverProgram([
        ...commonArgs('p256', 1400, priority('AES-128-GCM', 'X25519', ':%NO_SESSION_HASH')),
        ...demanding('p256'),
      ]);
      const strict = await UdpEngine.connect(port, engineOptions('p256'));
      running.push(strict);
      await strict.until('the end', () => strict.closed !== undefined);
      expect(strict.closed).toMatchObject({ code: 'no_extended_master_secret' });
      const lenient = await UdpEngine.connect(port, {
        ...engineOptions('p256'),
        authorize: () => ({ allowLegacyPeer: true }),
      });
      running.push(lenient);
      await lenient.until('the handshake', () => lenient.session !== undefined);
      expect(lenient.session?.extendedMasterSecret).toBe(false);
    });
  });

  describe('gnutls-cli, our server', () => {
    async function meet(args: readonly string[], options: Omit<ConnectionOptions, 'role'>) {
      const engine = await UdpEngine.listen(options);
      running.push(engine);
      const program = new Program('gnutls-cli', ['--port', String(engine.port), ...args, '127.0.0.1']);
      running.push(program);
      return { engine, program };
    }
    const trusting = (keyType: KeyType) => [
      '--x509cafile',
      pick(ours, keyType).certificateFile,
      '--verify-hostname',
      `ours-${keyType}`,
    ];

    it.each(CASES)('$cipher $group $keyType $maxDatagram', async (test) => {
      const { engine, program } = await meet(
        [
          ...commonArgs(test.keyType, test.maxDatagram, priority(test.cipher, test.group)),
          ...trusting(test.keyType),
          ...['--alpn', 'dtunnel/1'],
        ],
        engineOptions(test.keyType, test.maxDatagram),
      );
      await engine.until('the handshake', () => engine.session !== undefined);
      expectSession(engine, test);
      expect(engine.session?.protocol).toBe('dtunnel/1');
      await program.says(/Handshake was completed/);
      program.type('from gnutls-cli\n');
      await engine.until('data', () => engine.text.includes('from gnutls-cli\n'));
      engine.send('from our server\n');
      await program.says(/from our server/);
      expect(program.output).toMatch(/Status: The certificate is trusted/);
      expect(Math.max(...engine.sentSizes)).toBeLessThanOrEqual(test.maxDatagram);
    });

    it('refuses a certificate that is not pinned before any data moves', async () => {
      const args = [...commonArgs('p256', 1400, priority(), stranger), ...trusting('p256')];
      const { engine, program } = await meet(args, engineOptions('p256'));
      program.type('payload before trust\n');
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({
        code: 'unknown_fingerprint',
        seen: formatFingerprint(stranger.identity.fingerprint),
      });
      expect(engine.text).toBe('');
      await program.says(/Access was denied/);
    });

    it('refuses a client without certificate before any data moves', async () => {
      const args = ['--udp', '--priority', priority(), ...trusting('p256')];
      const { engine, program } = await meet(args, engineOptions('p256'));
      program.type('payload before trust\n');
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({ code: 'no_certificate' });
      expect(engine.text).toBe('');
      await program.says(/Handshake failed/);
    });

    it('meets a client that insists on safe renegotiation', async () => {
      const priorities = priority('AES-128-GCM', 'X25519', ':%SAFE_RENEGOTIATION');
      const { engine } = await meet(
        [...commonArgs('p256', 1400, priorities), ...trusting('p256')],
        engineOptions('p256'),
      );
      await engine.until('the handshake', () => engine.session !== undefined);
    });

    it('leaves record_size_limit unanswered and carries on (RFC 8449 §4)', async () => {
      const { engine, program } = await meet(
        [...commonArgs('p256', 1400, priority()), ...trusting('p256'), '--recordsize', '512'],
        engineOptions('p256'),
      );
      await engine.until('the handshake', () => engine.session !== undefined);
      await program.says(/Handshake was completed/);
    });
  });
});
