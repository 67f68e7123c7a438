import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Where running daemons are found. */

/** Directory of the control sockets; `DTUNNEL_RUNTIME_DIR` overrides it for tests and unprivileged use. */
export function runtimeDir(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const override = env['DTUNNEL_RUNTIME_DIR'];
  return override === undefined || override === '' ? '/run/dtunnel' : override;
}

/** Control socket of tunnel `name`. Names are restricted by the config grammar, so this cannot leave `dir`. */
export function socketPath(name: string, dir = runtimeDir()): string {
  return join(dir, `${name}.sock`);
}

/** Names of all tunnels that have a socket, sorted; a socket may be stale, asking it tells. */
export function socketNames(dir = runtimeDir()): readonly string[] {
  let entries: readonly string[];
  try {
    entries = readdirSync(dir);
  } catch {
    return [];
  }
  return entries
    .filter((entry) => entry.endsWith('.sock'))
    .map((entry) => entry.slice(0, -'.sock'.length))
    .sort();
}

/** Whether `text` can be a tunnel's name (UX: 1 … 15 of these), and so a file name. */
export function isTunnelName(text: string): boolean {
  return /^[A-Za-z0-9_=+.-]{1,15}$/.test(text) && text !== '.' && text !== '..';
}
