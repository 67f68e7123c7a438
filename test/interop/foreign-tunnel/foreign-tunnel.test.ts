import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { certificateFromPem } from '../../../src/crypto/certificate.ts';
import { fingerprintOf, formatFingerprint } from '../../../src/crypto/fingerprint.ts';
import { type Credential, Credentials } from '../peers/credentials.ts';
import { type Running, type Site, Sites, TRAFFIC } from './sites.ts';

// A site without a line of our code (libssl and the kernel's TUN device) at the far end of a real tunnel: any DTLS 1.2
// library can be the other end. Traffic of our daemon goes through its native data plane.

const program = fileURLToPath(new URL('../../../.cache/interop-peers/foreign_tunnel', import.meta.url));
const daemon = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));

const unable = build();
if (unable !== undefined) console.warn(`the foreign tunnel is left out: ${unable}`);
const noDaemon = existsSync(daemon) ? undefined : 'the daemon is not built (npm run build)';
if (noDaemon !== undefined) console.warn(`the foreign tunnel is tried against itself only: ${noDaemon}`);

const credentials = new Credentials();
afterAll(() => credentials.remove());

/** Smaller than the 1400 octets of the foreign end's datagrams less the record's 37. */
const INNER_MTU = 1300;

describe.skipIf(unable !== undefined)('the foreign end of a tunnel', () => {
  let sites: Sites;
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'dtunnel-foreign-'));
    sites = await Sites.open();
  });

  afterEach(async () => {
    await sites.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('carries traffic to another of its kind', async () => {
    const [a, b] = [credentials.of('P-256', 'a'), credentials.of('P-256', 'b')];
    const server = await startForeign(sites, sites.far, 'server', sites.far.outer, b, a);
    const client = await startForeign(sites, sites.near, 'client', sites.far.outer, a, b);
    await Promise.all([server.line(/"established"/), client.line(/"established"/)]);
    await exchange(sites);
    await client.stop();
    await server.line(/"closedByPeer":true/);
  });

  describe.skipIf(noDaemon !== undefined)('and our daemon', () => {
    it.each(['client', 'server'] as const)('carry IP traffic both ways, the foreign end being the %s', async (role) => {
      const [a, b] = [credentials.of('P-256', 'a'), credentials.of('P-256', 'b')];
      const name = `f${process.pid.toString(36)}${role.at(0)}`;
      const file = configure(sites, folder, name, role, a, b);
      const up = async (): Promise<void> => {
        const { status, output } = await sites.run(sites.near, [process.execPath, daemon, 'up', file]);
        expect(output).not.toContain('error');
        expect(status).toBe(0);
      };
      const target = role === 'client' ? sites.near.outer : sites.far.outer;
      const foreign = await startForeign(sites, sites.far, role, target, b, a);
      try {
        await up();
        await foreign.line(/"established"/, 20_000);
        await exchange(sites);
        const status = await sites.run(sites.near, [process.execPath, daemon, 'status', name, '--json']);
        const [peer] = JSON.parse(status.stdout).peers;
        expect(peer).toMatchObject({ name: 'foreign', state: 'up' });
        // The kernel's counters and the plane's agree that the traffic went through the tunnel.
        expect(peer.transfer.receivePackets).toBeGreaterThan(500);
        expect(peer.transfer.transmitPackets).toBeGreaterThan(500);
      } finally {
        const { status } = await sites.run(sites.near, [process.execPath, daemon, 'down', name]);
        expect(status).toBe(0);
      }
      // Going down is said, not left to be found out.
      const last = await foreign.line(/\{"sent":\d+.*\}/);
      const counted = JSON.parse(last[0]);
      expect(counted).toMatchObject({ closedByPeer: true });
      expect(Math.min(counted.sent, counted.received)).toBeGreaterThan(500);
    });
  });
});

/** Ping, TCP and UDP from each site to the other. */
async function exchange(sites: Sites): Promise<void> {
  for (const [here, there] of [
    [sites.near, sites.far],
    [sites.far, sites.near],
  ] as const) {
    const ping = await sites.run(here, ['ping', '-n', '-c', '5', '-i', '0.05', '-W', '5', there.inner]);
    expect(ping.output).toContain(' 0% packet loss');
    // As large as the inner MTU allows (20 octets IPv4, 8 ICMP), and never in pieces.
    const full = [
      'ping',
      '-n',
      '-c',
      '3',
      '-i',
      '0.05',
      '-W',
      '5',
      '-M',
      'do',
      '-s',
      String(INNER_MTU - 28),
      there.inner,
    ];
    expect((await sites.run(here, full)).output).toContain(' 0% packet loss');
    await sites.serve(there, PORT);
    const tcp = await sites.run(here, [process.execPath, TRAFFIC, 'tcp', there.inner, String(PORT), '1000000']);
    expect(JSON.parse(tcp.stdout)).toMatchObject({ count: 1_000_000, same: true });
    const udp = await sites.run(here, [process.execPath, TRAFFIC, 'udp', there.inner, String(PORT), '200', '1200']);
    expect(JSON.parse(udp.stdout)).toEqual({ count: 200, missing: 0, wrong: 0 });
  }
}

async function startForeign(
  sites: Sites,
  site: Site,
  role: 'client' | 'server',
  address: string,
  own: Credential,
  peer: Credential,
): Promise<Running> {
  const device = 'foreign';
  const line = [program, role, address, String(OUTER_PORT), own.certificate, own.key, peer.certificate, device, '60'];
  const running = sites.start(site, line);
  await running.line(/"device"/);
  await sites.address(site, device, INNER_MTU);
  return running;
}

/** A configuration file for our end, which calls when the foreign end listens. */
function configure(
  sites: Sites,
  folder: string,
  name: string,
  foreignRole: 'client' | 'server',
  own: Credential,
  peer: Credential,
): string {
  const der = certificateFromPem(readFileSync(peer.certificate, 'utf8'));
  if (der === undefined) throw new Error('the certificate does not parse');
  const file = join(folder, `${name}.conf`);
  const calling = foreignRole === 'server' ? [`Endpoint = ${sites.far.outer}:${OUTER_PORT}`] : [];
  const lines = [
    '[Interface]',
    `Name = ${name}`,
    `Address = ${sites.near.inner}/24`,
    ...(foreignRole === 'client' ? [`ListenPort = ${OUTER_PORT}`] : []),
    `Certificate = ${own.certificate}`,
    `PrivateKey = ${own.key}`,
    `MTU = ${INNER_MTU}`,
    'Metrics = off',
    '[Peer]',
    'Name = foreign',
    `Fingerprint = ${formatFingerprint(fingerprintOf(der))}`,
    `AllowedIPs = ${sites.far.inner}/32`,
    ...calling,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** Builds the program; yields why it cannot be built or run here. */
function build(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/net/tun')) return 'no /dev/net/tun';
  if (spawnSync('ip', ['-V']).status !== 0) return 'no iproute2';
  if (!existsSync('/usr/include/openssl/ssl.h')) return 'libssl-dev is not installed';
  mkdirSync(join(program, '..'), { recursive: true });
  const source = fileURLToPath(new URL('foreign_tunnel.c', import.meta.url));
  const flags = ['-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror', '-o', program, source, '-lssl', '-lcrypto'];
  const made = spawnSync('cc', flags, { encoding: 'utf8', timeout: 60_000 });
  return made.status === 0 ? undefined : `does not compile: ${made.stderr}`;
}

const PORT = 7007;
const OUTER_PORT = 4433;
