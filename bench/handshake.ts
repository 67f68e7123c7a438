import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Instant } from '../src/base/brand.ts';
import { createSelfSigned, readIdentity } from '../src/crypto/certificate.ts';
import type { Identity } from '../src/crypto/identity.ts';
import { Connection } from '../src/dtls/connection.ts';
import { Listener } from '../src/dtls/listener.ts';
import { machineFacts, versionOf } from './machine.ts';

/**
 * CPU time of full mutual handshakes (P-256 certificates, X25519, AES-128-GCM, cookie), client's and server's share
 * apart, in memory. OpenSSL's libssl does the same in turns with us (bench/openssl_handshake.c), where a compiler and
 * its headers are. Raw results go to bench/results/.
 */

async function identity(name: string): Promise<Identity> {
  const made = await createSelfSigned({ commonName: name, days: 1, keyType: 'p256', now: Date.now() / 1000 });
  const read = readIdentity(made.certificatePem, made.privateKeyPem);
  if (!read.ok) throw new Error(read.error.detail);
  return read.value;
}

const ours = await identity('client');
const theirs = await identity('server');
const NOW = 1000 as Instant;
const ADDRESS = new Uint8Array([192, 0, 2, 1, 1, 2]);
const listener = new Listener();

/** Microseconds of CPU since the process began. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Everything a connection wants sent. */
function drain(connection: Connection): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let effect = connection.poll(); effect !== undefined; effect = connection.poll()) {
    if (effect.kind === 'transmit') datagrams.push(effect.datagram);
  }
  return datagrams;
}

/** One handshake under way. */
interface Run {
  readonly client: Connection;
  server: Connection | undefined;
  /** On their way. */
  toServer: Uint8Array[];
  toClient: Uint8Array[];
}

const authorize = () => ({ allowLegacyPeer: false });

function begin(): Run {
  const client = new Connection({ role: 'client', identity: ours, authorize });
  client.start(NOW);
  return { client, server: undefined, toServer: drain(client), toClient: [] };
}

function serve(run: Run): void {
  for (const datagram of run.toServer) {
    if (run.server !== undefined) {
      run.server.receive(datagram, NOW);
      continue;
    }
    const verdict = listener.receive(ADDRESS, datagram, NOW);
    if (verdict.kind === 'challenge') run.toClient.push(verdict.reply);
    if (verdict.kind === 'accept') {
      run.server = new Connection({ role: 'server', identity: theirs, authorize }, verdict.hello);
      run.server.start(NOW);
    }
  }
  run.toServer = [];
  if (run.server !== undefined) run.toClient.push(...drain(run.server));
}

function follow(run: Run): void {
  for (const datagram of run.toClient) run.client.receive(datagram, NOW);
  run.toClient = [];
  run.toServer = drain(run.client);
}

function isDone({ client, server }: Run): boolean {
  return client.state === 'established' && server?.state === 'established';
}

/**
 * A batch of handshakes side by side; adds both sides' CPU time to `spent`. Asking for the CPU time takes as long as a
 * hash, so it is asked once per step of the batch.
 */
function handshakes(batch: number, spent: { client: number; server: number }): void {
  let at = cpu();
  const lap = (side: 'client' | 'server') => {
    const now = cpu();
    spent[side] += now - at;
    at = now;
  };
  const runs = Array.from({ length: batch }, begin);
  lap('client');
  for (let turns = 0; !runs.every(isDone); turns++) {
    if (turns > 4) throw new Error('the handshakes stand still');
    runs.forEach(serve);
    lap('server');
    runs.forEach(follow);
    lap('client');
  }
}

const BATCH = 50;
const COUNT = 1000;
const ROUNDS = 5;
/** Until the hot functions are compiled. */
const WARM_UP = 2000;
const RESULTS = fileURLToPath(new URL('../../../bench/results', import.meta.url));

/** Microseconds per handshake and side, once. */
function measure(count: number): { client: number; server: number } {
  const spent = { client: 0, server: 0 };
  for (let done = 0; done < count; done += BATCH) handshakes(BATCH, spent);
  return { client: spent.client / count, server: spent.server / count };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const folder = mkdtempSync(join(tmpdir(), 'dtunnel-bench-'));

/** The twin on libssl, or undefined where it cannot be built. */
function buildTwin(): string | undefined {
  const source = fileURLToPath(new URL('../../../bench/openssl_handshake.c', import.meta.url));
  const program = join(folder, 'openssl_handshake');
  return spawnSync('cc', ['-O2', '-o', program, source, '-lssl', '-lcrypto']).status === 0 ? program : undefined;
}

function measureTwin(program: string, count: number): { client: number; server: number } {
  const { stdout } = spawnSync(program, [String(count)], { encoding: 'utf8' });
  return JSON.parse(stdout);
}

/** Rounds of ours and OpenSSL's in turns. */
function run() {
  measure(WARM_UP);
  const twin = buildTwin();
  const rounds = Array.from({ length: ROUNDS }, () => ({
    ours: measure(COUNT),
    openssl: twin === undefined ? undefined : measureTwin(twin, COUNT),
  }));
  rmSync(folder, { recursive: true, force: true });
  const machine = { ...machineFacts(), openssl: versionOf(['openssl', 'version']) };
  return { schema: 'dtunnel.handshakes/1', machine, unit: 'microseconds of CPU per handshake', rounds };
}

const result = run();
mkdirSync(RESULTS, { recursive: true });
const file = join(RESULTS, `handshakes-${result.machine.date.slice(0, 19).replaceAll(':', '')}.json`);
writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
for (const side of ['client', 'server'] as const) {
  const mine = median(result.rounds.map((round) => round.ours[side]));
  const others = result.rounds.flatMap((round) => round.openssl?.[side] ?? []);
  const rate = (us: number) => `${us.toFixed(0)} µs of CPU, ${(1e6 / us).toFixed(0)} handshakes per CPU second`;
  const other =
    others.length === 0
      ? 'OpenSSL not measured (no cc or no libssl headers)'
      : `OpenSSL ${rate(median(others))}; ratio ${(mine / median(others)).toFixed(2)}`;
  process.stdout.write(`${side}: ${rate(mine)}; ${other}\n`);
}
process.stdout.write(`raw results: ${file}\n`);
