import { existsSync } from 'node:fs';
import { DtunnelError } from '../base/errors.ts';
import { loadSettings } from '../config/load.ts';
import { ControlClient, type StatusAnswer } from '../control/client.ts';
import { isTunnelName, runtimeDir, socketNames } from '../control/paths.ts';
import type { Io } from './io.ts';
import { resolveConfigFile, tunnelName } from './resolve-file.ts';

/** Finding the daemons that a command is about. */

/** The name of the tunnel that a NAME or a path means: what the file says, else the base name. */
export function nameOf(nameOrPath: string, io: Io): string {
  const byName = tunnelName(nameOrPath);
  if (isTunnelName(byName) && socketNames(runtimeDir(io.env)).includes(byName)) return byName;
  const loaded = loadSettings(resolveConfigFile(nameOrPath, io.env), io.files, (name) => io.env[name]);
  return loaded.ok ? loaded.value.settings.interface.name : byName;
}

/** The daemon of `nameOrPath`. Throws `DT_UNKNOWN_TUNNEL` when there is neither a daemon nor a file of that name. */
export function clientOf(nameOrPath: string, io: Io, timeoutMs?: number): ControlClient {
  const name = nameOf(nameOrPath, io);
  const dir = runtimeDir(io.env);
  const known = isTunnelName(name) && socketNames(dir).includes(name);
  if (!known && !existsSync(resolveConfigFile(nameOrPath, io.env))) {
    throw new DtunnelError('S017', `there is no tunnel ${name}: nothing runs by that name and there is no such file`);
  }
  return new ControlClient(name, { dir, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
}

/** The daemon that is meant when no name is given: the only one that runs. */
export async function onlyClient(io: Io, timeoutMs?: number): Promise<ControlClient> {
  const running = await runningTunnels(io, timeoutMs);
  const [only] = running;
  if (only === undefined) throw new DtunnelError('S016', 'no tunnel is running');
  if (running.length > 1) {
    const names = running.map(({ client }) => client.name).join(', ');
    throw new DtunnelError('S021', `several tunnels are running (${names}): name one`);
  }
  return only.client;
}

/** The daemon of `nameOrPath`, or the only one that runs. */
export async function clientFor(nameOrPath: string | undefined, io: Io, timeoutMs?: number): Promise<ControlClient> {
  return nameOrPath === undefined ? onlyClient(io, timeoutMs) : clientOf(nameOrPath, io, timeoutMs);
}

/** A daemon that answered. */
export interface Running {
  readonly client: ControlClient;
  readonly answer: StatusAnswer;
}

/** Every daemon that answers, by name. Sockets nobody serves are passed over; one we may not ask is an error. */
export async function runningTunnels(io: Io, timeoutMs?: number): Promise<readonly Running[]> {
  const dir = runtimeDir(io.env);
  const running: Running[] = [];
  for (const name of socketNames(dir)) {
    const client = new ControlClient(name, { dir, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    try {
      running.push({ client, answer: await client.status() });
    } catch (error) {
      if (!(error instanceof DtunnelError) || error.code !== 'S016') throw error;
    }
  }
  return running;
}

/** The running tunnel that has a peer of this name; `tunnel` decides when several have. */
export async function clientOfPeer(peer: string, tunnel: string | undefined, io: Io): Promise<ControlClient> {
  if (tunnel !== undefined) return clientOf(tunnel, io);
  const running = await runningTunnels(io);
  if (running.length === 0) throw new DtunnelError('S016', 'no tunnel is running');
  const having = running.filter(({ answer }) => answer.document.peers.some(({ name }) => name === peer));
  const [only] = having;
  if (only === undefined) throw new DtunnelError('S018', `no running tunnel has a peer ${peer}`);
  if (having.length > 1) {
    const names = having.map(({ client }) => client.name).join(', ');
    throw new DtunnelError('S021', `several tunnels have a peer ${peer} (${names}): say --tunnel NAME`);
  }
  return only.client;
}

/** Lets `ms` pass. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
