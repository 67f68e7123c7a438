import { resolve } from 'node:path';
import { buildInfo } from '../build-info.ts';
import type { Io } from '../io.ts';
import { resolveConfigFile } from '../resolve-file.ts';

/** `dtunnel run FILE`. */
export interface RunArgs {
  readonly file: string;
  readonly logFile: string | undefined;
  /** Set by `up`: where it wants to be told how the start goes. */
  readonly reportFd: number | undefined;
  /** Set by a daemon that hands over: where it is spoken to. */
  readonly handoverFd: number | undefined;
  /** Log more than the file says. */
  readonly verbose: boolean;
}

/** Runs a tunnel in the foreground, as service managers and containers want it. Yields its exit status. */
export async function run(args: RunArgs, io: Io): Promise<number> {
  // Only this command needs the daemon; all others start faster without it.
  const [{ runDaemon }, { systemParts }] = await Promise.all([
    import('../../daemon/run.ts'),
    import('../../daemon/system-parts.ts'),
  ]);
  return runDaemon({
    configFile: resolve(io.cwd, resolveConfigFile(args.file, io.env)),
    parts: systemParts(io.env),
    build: buildInfo(),
    logFile: args.logFile,
    reportFd: args.reportFd,
    handoverFd: args.handoverFd,
    level: args.verbose ? 'debug' : undefined,
    colour: io.colour.out,
  });
}
