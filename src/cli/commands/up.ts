import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { DtunnelError, ERRORS, type ErrorCode, EXIT } from '../../base/errors.ts';
import { loadSettings } from '../../config/load.ts';
import type { Settings } from '../../config/settings.ts';
import { ControlClient } from '../../control/client.ts';
import { runtimeDir, socketPath } from '../../control/paths.ts';
import { isServed } from '../../control/server.ts';
import { type StartReport, startReport } from '../../control/start-report.ts';
import type { StatusDocument } from '../../control/status.ts';
import { renderWarningLines } from '../diagnostics.ts';
import { span } from '../../base/format.ts';
import { type Io, json } from '../io.ts';
import { lookOf, plain } from '../paint.ts';
import { resolveConfigFile } from '../resolve-file.ts';
import { upLine } from '../status-text.ts';
import { pause } from '../targets.ts';

/** `dtunnel up NAME`. */
export interface UpArgs {
  readonly name: string;
  /** Return when a peer is up; off: as soon as the daemon is ready. Undefined: wait if this side calls anybody. */
  readonly wait: boolean | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Log more than the file says. */
  readonly verbose: boolean;
  readonly timeoutMs: number;
}

/** How often to look whether a peer is up, ms. */
const LOOK_INTERVAL = 20;

/** Reasons that waiting longer does not mend: somebody has to correct a file. */
const REFUSALS: ReadonlySet<string> = new Set([
  'unknown_fingerprint',
  'no_certificate',
  'bad_certificate',
  'peer_alert',
]);

/** Starts a tunnel in the background and tells what that changed. Whatever fails is undone before this returns. */
export async function run(args: UpArgs, io: Io, signal: AbortSignal): Promise<number> {
  const began = Date.now();
  const file = resolve(io.cwd, resolveConfigFile(args.name, io.env));
  const settings = settingsOf(file, args, io);
  const { name } = settings.interface;
  const dir = runtimeDir(io.env);
  if (await isServed(socketPath(name, dir))) throw new DtunnelError('S015', `${name} is running already`);
  const changes: string[] = [];
  const onLine = (line: StartReport): void => {
    if (line.kind !== 'change') return;
    changes.push(line.text);
    if (!args.json && !args.quiet) io.out(`[+] ${line.text}\n`);
  };
  await start([file, ...(args.verbose ? ['-v'] : [])], logPath(name, dir), io, signal, onLine);
  if (signal.aborted) {
    io.err('interrupted: everything was undone\n');
    return EXIT.failure;
  }
  const client = new ControlClient(name, { dir });
  const wait = args.wait ?? settings.peers.some((peer) => peer.enabled && peer.endpoints.length > 0);
  const status = wait ? await firstPeerUp(client, began + args.timeoutMs, signal) : (await client.status()).document;
  if (signal.aborted) {
    io.err(`interrupted: ${name} goes on in the background (dtunnel down ${name})\n`);
    return EXIT.failure;
  }
  return report(status, { args, changes, wait, seconds: (Date.now() - began) / 1000 }, io);
}

function settingsOf(file: string, args: UpArgs, io: Io): Settings {
  const loaded = loadSettings(file, io.files, (name) => io.env[name]);
  if (!loaded.ok)
    throw new DtunnelError('S030', `${file} was not accepted; nothing was started`, { details: loaded.error });
  if (!args.quiet) io.err(renderWarningLines(loaded.value.warnings, io.colour.err));
  return loaded.value.settings;
}

function logPath(name: string, dir: string): string {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw new DtunnelError('S023', `cannot make ${dir}: ${error instanceof Error ? error.message : String(error)}`, {
      hint: 'run as root, or set DTUNNEL_RUNTIME_DIR to a directory of yours',
    });
  }
  return join(dir, `${name}.log`);
}

/** Starts the daemon and resolves when it is ready; throws its own error, or what it printed when it ended without one. */
async function start(
  args: readonly string[],
  log: string,
  io: Io,
  signal: AbortSignal,
  onLine: (line: StartReport) => void,
): Promise<void> {
  const output = openLog(log);
  const main = fileURLToPath(new URL('../../main.js', import.meta.url));
  const child = spawn(process.execPath, [main, 'run', ...args, '--log-file', log, '--report-fd', '3'], {
    detached: true,
    cwd: io.cwd,
    env: detachedEnvironment(io.env),
    stdio: ['ignore', output, output, 'pipe'],
  });
  closeSync(output);
  // The daemon finishes its start and takes it back in order; it ends before this command does.
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const interrupt = (): void => {
    if (child.pid !== undefined) child.kill('SIGTERM');
  };
  signal.addEventListener('abort', interrupt);
  try {
    await ready(child, log, onLine);
    if (signal.aborted) await ended;
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
  child.unref();
}

/** Without what a service manager meant for its own child: the daemon is nobody's service. */
function detachedEnvironment(env: Io['env']): Io['env'] {
  const { NOTIFY_SOCKET: _n, WATCHDOG_USEC: _u, WATCHDOG_PID: _p, JOURNAL_STREAM: _j, ...rest } = env;
  return rest;
}

function openLog(path: string): number {
  try {
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
    return openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o640);
  } catch (error) {
    const isDenied = error instanceof Error && 'code' in error && error.code === 'EACCES';
    throw new DtunnelError(isDenied ? 'S024' : 'S023', `cannot write ${path}: ${String(error)}`, { cause: error });
  }
}

function ready(child: ChildProcess, log: string, onLine: (line: StartReport) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const pipe = child.stdio[3];
    if (pipe === null || pipe === undefined || !isReadable(pipe)) {
      reject(new DtunnelError('S001', 'no pipe to the daemon'));
      return;
    }
    const lines = createInterface({ input: pipe });
    lines.on('line', (text) => {
      const line = startReport.safeParse(parsed(text)).data;
      if (line === undefined) return;
      onLine(line);
      if (line.kind === 'failed') reject(failureOf(line.error));
      if (line.kind !== 'ready') return;
      // From here on the daemon is on its own: closing our end lets this process finish.
      pipe.destroy();
      resolve();
    });
    child.once('error', (error) =>
      reject(new DtunnelError('S023', `cannot start ${process.execPath}: ${error.message}`)),
    );
    child.once('exit', (status, signal) => {
      // `close` of the pipe may be later than the exit: what it said counts more than how it ended.
      setTimeout(() => reject(endedEarly(status, signal, log)), 100);
    });
  });
}

function isReadable(stream: unknown): stream is Readable {
  return typeof stream === 'object' && stream !== null && 'read' in stream && 'destroy' in stream;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function failureOf(error: Extract<StartReport, { kind: 'failed' }>['error']): DtunnelError {
  const code: ErrorCode = isErrorCode(error.code) ? error.code : 'S001';
  return new DtunnelError(code, error.message, { hint: error.hint, details: error.details });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

function endedEarly(status: number | null, signal: NodeJS.Signals | null, log: string): DtunnelError {
  const how = signal === null ? `with status ${status}` : `by ${signal}`;
  let tail = '';
  try {
    tail = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
  } catch {
    // Nothing was written.
  }
  return new DtunnelError('S001', `the daemon ended ${how} before it was ready${tail === '' ? '' : `:\n${tail}`}`);
}

async function firstPeerUp(client: ControlClient, until: number, signal: AbortSignal): Promise<StatusDocument> {
  for (;;) {
    const { document } = await client.status();
    const refused = document.peers.some((peer) => !peer.up && REFUSALS.has(peer.lastFailure?.reason ?? ''));
    const isUp = document.peers.some((peer) => peer.up);
    if (isUp || refused || signal.aborted || Date.now() >= until) return document;
    await pause(LOOK_INTERVAL);
  }
}

interface Outcome {
  readonly args: UpArgs;
  readonly changes: readonly string[];
  readonly wait: boolean;
  readonly seconds: number;
}

function report(status: StatusDocument, { args, changes, wait, seconds }: Outcome, io: Io): number {
  const up = status.peers.find((peer) => peer.up);
  const refused = status.peers.find((peer) => REFUSALS.has(peer.lastFailure?.reason ?? ''));
  const exit = !wait || up !== undefined ? EXIT.ok : refused !== undefined ? EXIT.refused : EXIT.timeout;
  if (args.json) {
    io.out(json({ schema: 'dtunnel.up/1', tunnel: status.tunnel.name, changes, seconds, exit, status }));
    return exit;
  }
  const look = lookOf(io);
  if (up !== undefined) {
    if (!args.quiet) io.out(upLine(status, up, seconds, look));
    return exit;
  }
  const { name, listening } = status.tunnel;
  if (!wait) {
    const ports = [...new Set(listening.map(({ port }) => port))].join(' ');
    if (!args.quiet) io.out(plain(look, `● ${name} ready in ${span(seconds)}   listening ${ports}\n`));
    return exit;
  }
  const why = status.health.filter((note) => note.code === 'peer-down').map((note) => `  ${note.peer}: ${note.text}\n`);
  const error = refused === undefined ? ERRORS.S022 : ERRORS.H001;
  const code = refused === undefined ? 'S022' : 'H001';
  io.err(
    plain(
      look,
      `error[${code}]: ${name} is running, but no peer is up after ${span(seconds)}\n${why.join('')}  = help: ${error.hint}; dtunnel doctor ${name}; dtunnel down ${name}\n`,
    ),
  );
  return exit;
}
