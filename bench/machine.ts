import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** CPU seconds and memory of some processes with all their descendants. */
export interface Usage {
  readonly cpuSeconds: number;
  /** Resident set of each process named in the question, with descendants, MiB. */
  readonly rssMiB: readonly number[];
}

/** What the processes `pids` (as seen here) and everything below them have used so far. */
export function usageOf(pids: readonly number[]): Usage {
  const table = processTable();
  let ticks = 0;
  const rssMiB = pids.map((pid) => {
    const tree = descendants(pid, table);
    for (const one of tree) ticks += table.get(one)?.ticks ?? 0;
    return tree.reduce((sum, one) => sum + (table.get(one)?.rssPages ?? 0), 0) * (PAGE / 2 ** 20);
  });
  return { cpuSeconds: ticks / TICKS_PER_SECOND, rssMiB };
}

/** CPU seconds that threads of `pid` and its descendants have used so far, by the threads' names. */
export function threadSeconds(pid: number): ReadonlyMap<string, number> {
  const seconds = new Map<string, number>();
  for (const one of descendants(pid, processTable())) {
    for (const thread of readdirSync(`/proc/${one}/task`)) {
      try {
        const text = readFileSync(`/proc/${one}/task/${thread}/stat`, 'latin1');
        const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
        const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
        const ticks = Number(fields[11]) + Number(fields[12]);
        seconds.set(name, (seconds.get(name) ?? 0) + ticks / TICKS_PER_SECOND);
      } catch {
        // It ended between the listing and the reading.
      }
    }
  }
  return seconds;
}

/** Busy CPU seconds of the whole machine since boot. */
export function machineBusySeconds(): number {
  const fields = readFileSync('/proc/stat', 'latin1').split('\n')[0]?.trim().split(/\s+/).slice(1, 9).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** What the figures depend on, for the raw file and the head of the table. */
export interface MachineFacts {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly load: string;
}

/** This machine. */
export function machineFacts(): MachineFacts {
  const all = cpus();
  return {
    date: new Date().toISOString(),
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    load: readFileSync('/proc/loadavg', 'latin1').split(' ').slice(0, 3).join(' '),
  };
}

/** The first line that `argv` prints with a digit in it: a version; undefined when it cannot be run. */
export function versionOf(argv: readonly [string, ...string[]]): string | undefined {
  const [program, ...rest] = argv;
  const done = spawnSync(program, rest, { encoding: 'utf8', timeout: 5000, env: ENVIRONMENT });
  if (done.error !== undefined) return undefined;
  return `${done.stdout}\n${done.stderr}`
    .split('\n')
    .find((line) => /\d/.test(line))
    ?.trim();
}

/** Whether `program` is on the path (that of root included). */
export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v "${program}"`], { stdio: 'ignore', env: ENVIRONMENT }).status === 0;
}

/**
 * Gives sockets that set no size of their own the buffers a busy gateway is given, for every peer alike, and yields
 * what puts the old values back. Does nothing where they cannot be set (not root).
 */
export function tuneSocketBuffers(): { readonly applied: boolean; restore(): void } {
  const saved: (readonly [string, string])[] = [];
  const restore = (): void => {
    for (const [path, value] of saved) writeFileSync(path, value);
  };
  try {
    for (const name of ['rmem_max', 'wmem_max', 'rmem_default', 'wmem_default']) {
      const path = `/proc/sys/net/core/${name}`;
      const old = readFileSync(path, 'latin1').trim();
      if (Number(old) >= SOCKET_BUFFER) continue;
      writeFileSync(path, String(SOCKET_BUFFER));
      saved.push([path, old]);
    }
    return { applied: true, restore };
  } catch {
    restore();
    return { applied: false, restore: () => undefined };
  }
}

interface ProcessRow {
  readonly parent: number;
  readonly ticks: number;
  readonly rssPages: number;
}

/** proc(5) `stat`: the name is in parentheses and may hold anything, so fields are counted from its end. */
function processTable(): Map<number, ProcessRow> {
  const table = new Map<number, ProcessRow>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const text = readFileSync(`/proc/${name}/stat`, 'latin1');
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      // Children that were waited for count as the parent's (cutime, cstime).
      const ticks = [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0);
      table.set(Number(name), { parent: Number(fields[1]), ticks, rssPages: Number(fields[21]) });
    } catch {
      // It ended between the listing and the reading.
    }
  }
  return table;
}

function descendants(root: number, table: ReadonlyMap<number, ProcessRow>): readonly number[] {
  const found = [root];
  for (let i = 0; i < found.length; i++) {
    for (const [pid, row] of table) if (row.parent === found[i]) found.push(pid);
  }
  return found;
}

const ENVIRONMENT = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
/** sysconf(_SC_CLK_TCK) and _SC_PAGESIZE of every Linux this runs on (x86-64, arm64 with 4 KiB pages). */
const TICKS_PER_SECOND = 100;
const PAGE = 4096;
const SOCKET_BUFFER = 4 << 20;
