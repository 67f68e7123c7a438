import { writeSync } from 'node:fs';
import type { LogLevel } from '../control/log-levels.ts';
import { toErrorReply } from '../control/server.ts';
import type { StartReport } from '../control/start-report.ts';
import { Daemon } from './daemon.ts';
import { chooseLogFormat } from './log.ts';
import { LogFile } from './log-file.ts';
import type { BuildInfo, DaemonParts } from './parts.ts';
import { handleSignals, holdSignals } from './signals.ts';
import { inheritedChannel, takeOver } from './upgrade/takeover.ts';

/** How `dtunnel run` was called. */
export interface RunOptions {
  readonly configFile: string;
  readonly parts: DaemonParts;
  readonly build: BuildInfo;
  /** Log lines go to this file instead of standard output. */
  readonly logFile: string | undefined;
  /** Descriptor to tell the start to (`start-report.ts`). */
  readonly reportFd: number | undefined;
  /** Descriptor of the channel to the daemon that this one takes over from (`handover.ts`). */
  readonly handoverFd: number | undefined;
  readonly colour: boolean;
  /** Log from here on instead of what the file says, until the first reload. */
  readonly level: LogLevel | undefined;
}

/** Runs a tunnel until it is told to stop. Yields the exit status; throws DtunnelError when it cannot be started. */
export async function runDaemon(options: RunOptions): Promise<number> {
  const report = startReporter(options.reportFd);
  // A start that is interrupted is finished first and then taken back in order.
  const held = holdSignals(process);
  try {
    const daemon = await start(options, report);
    const stopListening = handleSignals(daemon, process);
    if (held.release()) void daemon.stop();
    report({ kind: 'ready', tunnel: daemon.name, pid: process.pid });
    const status = await Promise.race([daemon.ended, crashed(daemon)]);
    stopListening();
    return status;
  } catch (error) {
    report({ kind: 'failed', error: toErrorReply(error).error });
    throw error;
  } finally {
    held.release();
  }
}

async function start(options: RunOptions, report: (line: StartReport) => void): Promise<Daemon> {
  const { parts, logFile, colour, configFile, build, handoverFd } = options;
  const takeover =
    handoverFd === undefined
      ? undefined
      : await takeOver(inheritedChannel(handoverFd), configFile, build.version, parts);
  const isJournal = logFile === undefined && (parts.environment['JOURNAL_STREAM'] ?? '') !== '';
  const isTerminal = logFile === undefined && process.stdout.isTTY === true;
  return Daemon.start({
    level: options.level,
    configFile,
    parts,
    build,
    pid: process.pid,
    takeover,
    log: {
      write: logFile === undefined ? writeToStdout : new LogFile(logFile).write,
      format: (configured) => chooseLogFormat(configured, { isTerminal, isJournal }),
      colour: colour && isTerminal,
    },
    onChange: (text, done) => {
      if (done === 'made') report({ kind: 'change', text });
    },
  });
}

/**
 * Resolves with 1 when a bug has surfaced: the process must end, and at once. Routes stay as they are, so that nothing
 * leaves in the clear until the next start takes them over.
 */
function crashed(daemon: Daemon): Promise<number> {
  return new Promise((resolve) => {
    process.on('uncaughtException', (error) => {
      daemon.logCrash(error);
      resolve(1);
    });
  });
}

function writeToStdout(line: string): void {
  try {
    writeSync(1, line);
  } catch (error) {
    // A reader that left (EPIPE) or is slow (EAGAIN): the tunnel is worth more than its log.
    if (!(error instanceof Error)) throw error;
  }
}

/** Tells whoever started us; who does not listen any more is not told. */
function startReporter(fd: number | undefined): (line: StartReport) => void {
  if (fd === undefined) return () => undefined;
  return (line) => {
    try {
      writeSync(fd, `${JSON.stringify(line)}\n`);
    } catch {
      // The command was interrupted; the daemon was not.
    }
  };
}
