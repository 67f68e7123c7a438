import { writeSync } from 'node:fs';
import { toErrorReply } from '../control/server.ts';
import type { StartReport } from '../control/start-report.ts';
import { Daemon } from './daemon.ts';
import { chooseLogFormat } from './log.ts';
import { LogFile } from './log-file.ts';
import type { BuildInfo, DaemonParts } from './parts.ts';
import { handleSignals } from './signals.ts';

/** How `dtunnel run` was called. */
export interface RunOptions {
  readonly configFile: string;
  readonly parts: DaemonParts;
  readonly build: BuildInfo;
  /** Log lines go to this file instead of standard output. */
  readonly logFile: string | undefined;
  /** Descriptor to tell the start to (`start-report.ts`). */
  readonly reportFd: number | undefined;
  readonly colour: boolean;
}

/** Runs a tunnel until it is told to stop. Yields the exit status; throws DtunnelError when it cannot be started. */
export async function runDaemon(options: RunOptions): Promise<number> {
  const { parts, logFile, reportFd, colour } = options;
  const report = startReporter(reportFd);
  const isJournal = logFile === undefined && (parts.environment['JOURNAL_STREAM'] ?? '') !== '';
  const isTerminal = logFile === undefined && process.stdout.isTTY === true;
  try {
    const daemon = await Daemon.start({
      configFile: options.configFile,
      parts,
      build: options.build,
      pid: process.pid,
      log: {
        write: logFile === undefined ? writeToStdout : new LogFile(logFile).write,
        format: (configured) => chooseLogFormat(configured, { isTerminal, isJournal }),
        colour: colour && isTerminal,
      },
      onChange: (text, done) => {
        if (done === 'made') report({ kind: 'change', text });
      },
    });
    const stopListening = handleSignals(daemon, process);
    report({ kind: 'ready', tunnel: daemon.name, pid: process.pid });
    const status = await daemon.ended;
    stopListening();
    return status;
  } catch (error) {
    report({ kind: 'failed', error: toErrorReply(error).error });
    throw error;
  }
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
