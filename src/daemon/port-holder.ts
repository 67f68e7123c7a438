import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process that holds a port. */
export interface PortHolder {
  readonly pid: number;
  readonly name: string;
}

/** Who holds UDP or TCP `port` in this network namespace; undefined when nobody does or it cannot be seen. */
export function findPortHolder(protocol: 'udp' | 'tcp', port: number): PortHolder | undefined {
  const inodes = new Set(
    [4, 6].flatMap((version) => inodesOf(`/proc/net/${protocol}${version === 6 ? '6' : ''}`, port)),
  );
  if (inodes.size === 0) return undefined;
  for (const pid of readdirSafe('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of readdirSafe(`/proc/${pid}/fd`)) {
      const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined && inodes.has(inode)) return { pid: Number(pid), name: nameOf(pid) };
    }
  }
  return undefined;
}

/** Sockets bound to `port` in a table of proc(5): the local port is hexadecimal, the inode the tenth column. */
function inodesOf(table: string, port: number): readonly string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return textOf(table)
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(`:${hex}`) === true)
    .flatMap((columns) => columns[9] ?? []);
}

function nameOf(pid: string): string {
  return textOf(`/proc/${pid}/comm`).trim();
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readdirSafe(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
