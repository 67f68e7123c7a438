import { EXIT } from '../../base/errors.ts';
import type { LogLevel } from '../../control/log-levels.ts';
import { type Io, json } from '../io.ts';
import { clientFor } from '../targets.ts';

/** `dtunnel log-level LEVEL [NAME]`. */
export interface LogLevelArgs {
  readonly level: LogLevel;
  readonly name: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Sets how much a running daemon logs, until its next reload or restart. */
export async function run(args: LogLevelArgs, io: Io): Promise<number> {
  const client = await clientFor(args.name, io);
  const { level, before } = await client.setLogLevel(args.level);
  if (args.json) io.out(json({ schema: 'dtunnel.log-level/1', tunnel: client.name, level, before }));
  else if (!args.quiet) io.out(`[~] ${client.name} logs from ${level} (before: ${before})\n`);
  return EXIT.ok;
}
