import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { formatFingerprint } from '../../src/crypto/fingerprint.ts';
import type { ConnectionOptions, GroupName, SuiteName } from '../../src/dtls/options.ts';
import { type FiledIdentity, IdentityFiles, isInstalled, Program } from '../support/program.ts';
import { freePort, UdpEngine } from '../support/udp-engine.ts';

/**
 * Against `openssl s_client` and `s_server -dtls1_2` on loopback: mutual self-signed certificates, both roles. OpenSSL
 * trusts our certificate by -CAfile, we trust OpenSSL's by its fingerprint.
 */

const KEY_TYPES = ['p256', 'p384', 'ed25519', 'rsa2048'] as const;
type KeyType = (typeof KEY_TYPES)[number];

const CIPHERS: Readonly<Record<string, Readonly<Record<'ecdsa' | 'rsa', SuiteName>>>> = {
  'AES128-GCM-SHA256': {
    ecdsa: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    rsa: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  },
  'AES256-GCM-SHA384': {
    ecdsa: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    rsa: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  },
  'CHACHA20-POLY1305': {
    ecdsa: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    rsa: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  },
};

const GROUPS: Readonly<Record<string, GroupName>> = { X25519: 'x25519', 'P-256': 'secp256r1', 'P-384': 'secp384r1' };

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
    [1400, 600, 300].map((maxDatagram) => ({ cipher: 'AES128-GCM-SHA256', group: 'X25519', keyType, maxDatagram })),
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

function engineOptions(keyType: KeyType, maxDatagram = 1400, group = 'X25519'): Omit<ConnectionOptions, 'role'> {
  const first = GROUPS[group] ?? 'x25519';
  const peer = pick(theirs, keyType).identity.fingerprint;
  return {
    identity: pick(ours, keyType).identity,
    authorize: (seen) => (seen === peer ? { allowLegacyPeer: false } : undefined),
    expected: formatFingerprint(peer),
    protocols: ['dtunnel/1'],
    connectionId: new Uint8Array(8),
    groups: [first, ...Object.values(GROUPS).filter((other) => other !== first)],
    maxDatagram,
  };
}

/** Arguments that both commands take. OpenSSL's -mtu counts IP and UDP headers. */
function commonArgs(keyType: KeyType, maxDatagram: number, own = pick(theirs, keyType)): string[] {
  const trust = pick(ours, keyType).certificateFile;
  const mtu = ['-mtu', String(maxDatagram + 28)];
  return ['-dtls1_2', '-cert', own.certificateFile, '-key', own.keyFile, '-CAfile', trust, ...mtu];
}

async function serverProgram(args: readonly string[]): Promise<{ program: Program; port: number }> {
  const port = await freePort();
  const program = new Program('openssl', ['s_server', '-accept', String(port), ...args]);
  running.push(program);
  await program.says(/ACCEPT/);
  return { program, port };
}

/** The wanted group first; the curves of certificates must be listed as well (RFC 8422 §5.1.1). */
function groupArgs(group: string): string[] {
  return ['-groups', [group, ...Object.keys(GROUPS).filter((other) => other !== group)].join(':')];
}

function cipherName({ cipher, keyType }: Case): string {
  return `ECDHE-${keyType === 'rsa2048' ? 'RSA' : 'ECDSA'}-${cipher}`;
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

describe.skipIf(!isInstalled('openssl'))('openssl', () => {
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

  describe('s_server, our client', () => {
    it.each(CASES.filter(({ keyType }) => keyType !== 'ed25519'))(
      '$cipher $group $keyType $maxDatagram',
      async (test) => {
        const { program, port } = await serverProgram([
          ...commonArgs(test.keyType, test.maxDatagram),
          ...['-Verify', '1', '-verify_return_error', '-cipher', cipherName(test), ...groupArgs(test.group), '-listen'],
        ]);
        const engine = await UdpEngine.connect(port, engineOptions(test.keyType, test.maxDatagram, test.group));
        running.push(engine);
        await engine.until('the handshake', () => engine.session !== undefined);
        expectSession(engine, test);
        engine.send('from our client\n');
        await program.says(/from our client/);
        program.type('from s_server\n');
        await engine.until('data', () => engine.text.includes('from s_server\n'));
        expect(Math.max(...engine.sentSizes)).toBeLessThanOrEqual(test.maxDatagram);
        expect(Math.max(...engine.receivedSizes)).toBeLessThanOrEqual(test.maxDatagram);
      },
    );

    // Its choice of suites compares the version with TLS 1.2's, so that Ed25519 certificates never qualify in DTLS.
    it('has no suite for its own Ed25519 certificate, which we report', async () => {
      const { port } = await serverProgram([...commonArgs('ed25519', 1400), '-Verify', '1']);
      const engine = await UdpEngine.connect(port, { ...engineOptions('ed25519'), initialTimeout: FAST });
      running.push(engine);
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({ code: 'peer_alert', seen: 'handshake_failure' });
    });

    it('is told the reason when s_server does not trust us', async () => {
      const args = commonArgs('p256', 1400).map((arg) =>
        arg === pick(ours, 'p256').certificateFile ? stranger.certificateFile : arg,
      );
      const { program, port } = await serverProgram([...args, '-Verify', '1', '-verify_return_error']);
      const engine = await UdpEngine.connect(port, { ...engineOptions('p256'), initialTimeout: FAST });
      running.push(engine);
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({ code: 'peer_alert', by: 'peer', seen: 'unknown_ca' });
      expect(program.output).toMatch(/self-signed certificate|verify error/);
    });

    it('refuses a certificate that is not pinned before any data moves', async () => {
      const { program, port } = await serverProgram([...commonArgs('p256', 1400, stranger), '-Verify', '1']);
      program.type('payload before trust\n');
      const engine = await UdpEngine.connect(port, engineOptions('p256'));
      running.push(engine);
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toEqual({
        code: 'unknown_fingerprint',
        by: 'local',
        alert: 49,
        seen: formatFingerprint(stranger.identity.fingerprint),
        expected: formatFingerprint(pick(theirs, 'p256').identity.fingerprint),
      });
      expect(engine.session).toBeUndefined();
      expect(engine.text).toBe('');
      await program.says(/alert access denied/);
    });

    it('refuses a server that does not ask for our certificate', async () => {
      const { port } = await serverProgram(commonArgs('p256', 1400));
      const engine = await UdpEngine.connect(port, engineOptions('p256'));
      running.push(engine);
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({ code: 'unexpected_message', seen: 'server_hello_done' });
    });

    it('stays up when s_server asks for a renegotiation', async () => {
      const { program, port } = await serverProgram([...commonArgs('p256', 1400), '-Verify', '1']);
      const engine = await UdpEngine.connect(port, engineOptions('p256'));
      running.push(engine);
      await engine.until('the handshake', () => engine.session !== undefined);
      program.type('R\n');
      await engine.until('a HelloRequest', () => (engine.connection?.drops.renegotiation ?? 0) > 0);
      expect(engine.closed?.code ?? 'open').not.toBe('malformed');
      expect(engine.connection?.handshakeState).toBe('established');
    });
  });

  describe('s_client, our server', () => {
    async function meet(args: readonly string[], options: Omit<ConnectionOptions, 'role'>) {
      const engine = await UdpEngine.listen(options);
      running.push(engine);
      const program = new Program('openssl', ['s_client', '-connect', `127.0.0.1:${engine.port}`, ...args]);
      running.push(program);
      return { engine, program };
    }

    it.each(CASES)('$cipher $group $keyType $maxDatagram', async (test) => {
      const { engine, program } = await meet(
        [
          ...commonArgs(test.keyType, test.maxDatagram),
          ...['-verify_return_error', '-cipher', cipherName(test), ...groupArgs(test.group), '-alpn', 'dtunnel/1'],
        ],
        engineOptions(test.keyType, test.maxDatagram, test.group),
      );
      await engine.until('the handshake', () => engine.session !== undefined);
      expectSession(engine, test);
      expect(engine.session?.protocol).toBe('dtunnel/1');
      program.type('from s_client\n');
      await engine.until('data', () => engine.text.includes('from s_client\n'));
      engine.send('from our server\n');
      await program.says(/from our server/);
      await program.says(/Verify return code: 0 \(ok\)/);
      expect(Math.max(...engine.sentSizes)).toBeLessThanOrEqual(test.maxDatagram);
    });

    it('refuses a certificate that is not pinned before any data moves', async () => {
      const { engine, program } = await meet(commonArgs('p256', 1400, stranger), engineOptions('p256'));
      program.type('payload before trust\n');
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({
        code: 'unknown_fingerprint',
        seen: formatFingerprint(stranger.identity.fingerprint),
        expected: formatFingerprint(pick(theirs, 'p256').identity.fingerprint),
      });
      expect(engine.text).toBe('');
      await program.says(/alert access denied/);
    });

    it('refuses a client without certificate before any data moves', async () => {
      const args = ['-dtls1_2', '-CAfile', pick(ours, 'p256').certificateFile];
      const { engine, program } = await meet(args, engineOptions('p256'));
      program.type('payload before trust\n');
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({ code: 'no_certificate', alert: 40 });
      expect(engine.text).toBe('');
      await program.says(/alert handshake failure/);
    });

    it('hears close_notify', async () => {
      const { engine, program } = await meet(commonArgs('p256', 1400), engineOptions('p256'));
      await engine.until('the handshake', () => engine.session !== undefined);
      program.type('Q\n');
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({ code: 'closed', by: 'peer', alert: 0 });
    });

    it.each([
      ['only CBC suites', ['-cipher', 'ECDHE-ECDSA-AES128-SHA256'], 'no_common_suite'],
      ['only a foreign group', ['-groups', 'P-521'], 'no_common_group'],
      ['only SHA-1 signatures', ['-sigalgs', 'ECDSA+SHA1', '-cipher', 'DEFAULT@SECLEVEL=0'], 'no_common_signature'],
    ] as const)('names the reason for %s', async (_what, extra, code) => {
      const { engine, program } = await meet([...commonArgs('p256', 1400), ...extra], engineOptions('p256'));
      await engine.until('the end', () => engine.closed !== undefined);
      expect(engine.closed).toMatchObject({ code, by: 'local', alert: 40 });
      await program.says(/alert handshake failure/);
    });

    it('refuses renegotiation and carries on', async () => {
      const { engine, program } = await meet(commonArgs('p256', 1400), engineOptions('p256'));
      await engine.until('the handshake', () => engine.session !== undefined);
      program.type('R\n');
      await engine.until('a ClientHello', () => (engine.connection?.drops.renegotiation ?? 0) > 0);
      expect(engine.connection?.handshakeState).toBe('established');
    });
  });
});

/** So that waiting for a second retransmission does not take seconds. */
const FAST = 50 as NonNullable<ConnectionOptions['initialTimeout']>;
