import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Rig, Site } from '../../src/demo/rig.ts';
import { isInstalled } from '../machine.ts';

/**
 * What a peer is compared as. `bare`, no tunnel; `ours`, the product; `limit`, something that no site could use but that
 * shows where a limit lies; `field`, another tunnel.
 */
export type Role = 'bare' | 'ours' | 'limit' | 'field';

/** A way to join the two sites of a rig. */
export interface Peer {
  readonly name: string;
  readonly role: Role;
  /** What is used and how, for the table's foot. */
  readonly about: string;
  /** Why it cannot run here; undefined when it can. */
  missing(): string | undefined;
  version(): string | undefined;
  /** Starts both ends and routes the LANs through them. The caller ends the processes and the rig. */
  start(rig: Rig): Promise<Started>;
}

/** A peer that runs. */
export interface Started {
  /** In the order berlin, paris; empty for the bare path. */
  readonly daemons: readonly ChildProcess[];
  /** The addresses at which the gateways themselves reach each other through it. */
  readonly inner: { readonly berlin: string; readonly paris: string };
}

/** A self-signed P-256 certificate NAME.crt with NAME.key in the work folder; yields its SHA-256 fingerprint. */
export async function selfSigned(rig: Rig, here: Site): Promise<string> {
  const folder = workFolder(rig);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const out = ['-keyout', `${folder}/${here.name}.key`, '-out', `${folder}/${here.name}.crt`];
  const name = ['-subj', `/CN=${here.name}`, '-addext', `subjectAltName=IP:${here.public4}`];
  await rig.enclosure.run(['openssl', 'req', '-x509', ...curve, '-nodes', '-days', '30', ...name, ...out]);
  const print = ['openssl', 'x509', '-in', `${folder}/${here.name}.crt`, '-noout', '-fingerprint', '-sha256'];
  return (await rig.enclosure.run(print)).stdout.trim().split('=').at(-1) ?? '';
}

/** Waits until a device exists and is up or can be put up. */
export async function deviceUp(rig: Rig, here: Site, device: string, withinMs = 5000): Promise<void> {
  const until = performance.now() + withinMs;
  for (;;) {
    const { code } = await rig.enclosure.run(['ip', '-n', here.gateway, 'link', 'show', device], { failureOk: true });
    if (code === 0) break;
    if (performance.now() > until) throw new Error(`${device} did not appear at ${here.name}`);
    await delay(50);
  }
  await delay(200);
}

/** Starts a daemon at the gateway of `here`; its output goes to a file, since an unread pipe would stop a talkative one. */
export function startDaemon(
  rig: Rig,
  here: Site,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess {
  const log = `${workFolder(rig)}/${here.name}-${argv[0]?.split('/').at(-1) ?? 'daemon'}.log`;
  const quoted = ['sh', '-c', 'exec "$@" >"$0" 2>&1', log, ...argv];
  return rig.enclosure.start(quoted, { netns: here.gateway, env, stdio: 'ignore' });
}

/** Writes a file into the work folder; yields its path inside the enclosure. */
export function writeFile(rig: Rig, name: string, text: string, mode = 0o600): string {
  const path = `${workFolder(rig)}/${name}`;
  writeFileSync(rig.enclosure.path(path), `${text}\n`, { mode });
  return path;
}

/** A folder of the enclosure, for keys and configuration: it goes with it. */
export function workFolder(rig: Rig): string {
  const path = '/run/bench';
  mkdirSync(rig.enclosure.path(path), { recursive: true, mode: 0o755 });
  return path;
}

/** Runs ip(8) in the gateway of `here`. */
export async function ip(rig: Rig, here: Site, command: string): Promise<void> {
  await rig.enclosure.run(['ip', '-n', here.gateway, ...command.split(' ')]);
}

/** The queue that the daemon gives its device (src/daemon/host/ip.ts). */
export async function orderedQueue(rig: Rig, here: Site, device: string): Promise<void> {
  const replace = `tc qdisc replace dev ${device} root`;
  const input = `${replace} fq_codel 2>/dev/null || ${replace} noqueue\n`;
  await rig.enclosure.run(['sh', '-eu'], { netns: here.gateway, input });
}

/** A command line as its words; nothing in it may hold a blank. */
export function words(line: string): readonly string[] {
  return line.trim().split(/\s+/);
}

/** An interface address without its prefix length. */
export function bare(interfaceAddress: string): string {
  return interfaceAddress.replace(/\/.*$/, '');
}

/** Why a peer cannot run: the programs that are not installed; undefined when all are. */
export function lacks(...programs: readonly string[]): string | undefined {
  const missing = programs.filter((program) => !isInstalled(program));
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}
