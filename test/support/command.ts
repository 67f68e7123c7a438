import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a foreign program left behind: everything it wrote, and its exit status (124 when the time limit ended it). */
export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both streams as they came. */
  readonly output: string;
}

/** How to run a program; the environment is exactly `env` on top of the test's own. */
export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string | Uint8Array;
  readonly timeoutMs?: number;
}

/** Runs a program to its end, or for `timeoutMs` (60 s), after which its whole process group is killed. Never throws. */
export function command(program: string, args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    let stdout = '';
    let stderr = '';
    let output = '';
    let expired = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      output += text;
    });
    child.stdin.on('error', () => {});
    child.stdin.end(options.stdin ?? '');
    const timer = setTimeout(() => {
      expired = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, options.timeoutMs ?? 60_000);
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ status: 127, stdout, stderr: error.message, output: error.message });
    });
    child.on('close', (status) => {
      clearTimeout(timer);
      resolve({ status: expired ? 124 : (status ?? 128), stdout, stderr, output });
    });
  });
}

/** The path of a program on PATH or in the system's sbin folders; undefined when it is not installed. */
export function which(program: string): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return undefined;
}

/** True, after printing why, when one of `programs` (name to Debian package) is not installed: for `describe.skipIf`. */
export function lacks(what: string, programs: Readonly<Record<string, string>>): boolean {
  const missing = Object.entries(programs).filter(([program]) => which(program) === undefined);
  if (missing.length === 0) return false;
  console.warn(`skipped: ${what}: not installed: ${missing.map(([, debian]) => debian).join(', ')}`);
  return true;
}
