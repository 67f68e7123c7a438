import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { GroupName, SuiteName } from '../../../src/dtls/options.ts';

/** A program of this folder: a DTLS 1.2 end on somebody else's library. `-new` are later releases of the same. */
export type PeerName = 'openssl' | 'gnutls' | 'mbedtls' | 'wolfssl' | 'botan' | 'mbedtls-new' | 'wolfssl-new';

/** What a peer is told to do: the common command line, see README.md. */
export interface PeerTask {
  readonly role: 'client' | 'server';
  /** Where a client calls; a server listens on a port of its own choice. */
  readonly port?: number;
  readonly certificate: string;
  readonly key: string;
  readonly peerCertificate: string;
  readonly suite: SuiteName;
  readonly group: GroupName;
  readonly mtu: number;
  /** Hex of the id that records to the peer shall carry; undefined: it does not offer the extension. */
  readonly cid?: string | undefined;
  readonly alpn?: string;
  readonly messages?: number;
  readonly sizes?: readonly number[];
  readonly timerMs?: number;
  readonly timeoutMs?: number;
  /** No extended_master_secret and no renegotiation_info. */
  readonly legacy?: boolean;
}

const reportSchema = z.object({
  role: z.enum(['client', 'server']).optional(),
  library: z.string().default(''),
  status: z.number(),
  suite: z.string().nullable().default(null),
  group: z.string().nullable().default(null),
  extendedMasterSecret: z.boolean().nullable().default(null),
  renegotiationInfo: z.boolean().nullable().default(null),
  alpn: z.string().nullable().default(null),
  cidIn: z.boolean().default(false),
  cidOut: z.boolean().default(false),
  mtu: z.number().nullable().default(null),
  peerCertificate: z.string().nullable().default(null),
  echoed: z.number().default(0),
  strays: z.number().default(0),
  closedByPeer: z.boolean().default(false),
  error: z.string().nullable().default(null),
});

/** What a peer says at its end; `status` is its exit status, null members are what its library does not tell. */
export type PeerReport = z.infer<typeof reportSchema>;

/** A running peer. It ends by itself within its `timeoutMs`; `stop` ends a server whose client is done. */
export interface PeerRun {
  /** The port that a server listens on. */
  readonly port: Promise<number>;
  readonly report: Promise<PeerReport>;
  stop(): void;
}

const folder = fileURLToPath(new URL('.', import.meta.url));
const binaries = fileURLToPath(new URL('../../../.cache/interop-peers/', import.meta.url));

/** Builds what can be built, and yields why each of the others is missing. */
export function buildPeers(): { readonly built: readonly PeerName[]; readonly missing: ReadonlyMap<PeerName, string> } {
  const made = spawnSync('nice', ['make', '-k', '-j2', '-C', folder, 'peers'], { encoding: 'utf8', timeout: 170_000 });
  const built: PeerName[] = [];
  const missing = new Map<PeerName, string>();
  for (const name of ALL_PEERS) {
    const skipped = new RegExp(`^skipped ${name}: (.*)$`, 'm').exec(made.stdout ?? '');
    if (skipped !== null) missing.set(name, skipped[1] ?? '');
    else if (existsSync(`${binaries}${name}`)) built.push(name);
    else
      missing.set(name, `does not compile: ${(made.stderr ?? String(made.error)).split('\n').slice(0, 3).join(' ')}`);
  }
  return { built, missing };
}

/** Every peer there is a source for. */
export const ALL_PEERS: readonly PeerName[] = [
  'openssl',
  'gnutls',
  'mbedtls',
  'wolfssl',
  'botan',
  'mbedtls-new',
  'wolfssl-new',
];

/** Starts a peer on 127.0.0.1. */
export function startPeer(name: PeerName, task: PeerTask): PeerRun {
  const child = spawn(`${binaries}${name}`, argumentsOf(task), { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  const reader = createInterface({ input: child.stdout });
  const ended = endOf(child);
  const port = new Promise<number>((resolve, reject) => {
    reader.on('line', (line) => {
      lines.push(line);
      const listening = /^\{"listening":(\d+)\}$/.exec(line);
      if (listening !== null) resolve(Number(listening[1]));
    });
    void ended.then((how) => reject(new Error(`${name} ended before it listened (${how}): ${complaint}`)));
  });
  // Whoever does not ask for the port must not be told that there is none.
  port.catch(() => undefined);
  const report = ended.then((how) => {
    const last = lines.findLast((line) => line.includes('"status"'));
    if (last === undefined) throw new Error(`${name} ${task.role} left no report (${how}): ${complaint}`);
    return reportSchema.parse(JSON.parse(last));
  });
  report.catch(() => undefined);
  return { port, report, stop: () => void child.kill('SIGTERM') };
}

async function endOf(child: ChildProcess): Promise<string> {
  return await new Promise((resolve) => {
    child.on('error', (error) => resolve(String(error)));
    // `close` comes after the last line was read.
    child.on('close', (code, signal) => resolve(signal === null ? `status ${code}` : `signal ${signal}`));
  });
}

function argumentsOf(task: PeerTask): string[] {
  const list = [task.role, '--address', '127.0.0.1', '--port', String(task.port ?? 0)];
  list.push('--cert', task.certificate, '--key', task.key, '--peer-cert', task.peerCertificate);
  list.push('--suite', task.suite, '--group', task.group, '--mtu', String(task.mtu));
  if (task.cid !== undefined) list.push('--cid', task.cid);
  else list.push('--no-cid');
  if (task.alpn !== undefined) list.push('--alpn', task.alpn);
  if (task.messages !== undefined) list.push('--messages', String(task.messages));
  if (task.sizes !== undefined) list.push('--sizes', task.sizes.join(','));
  if (task.timerMs !== undefined) list.push('--timer', String(task.timerMs));
  if (task.timeoutMs !== undefined) list.push('--timeout', String(task.timeoutMs));
  if (task.legacy === true) list.push('--legacy');
  return list;
}
