import { EXIT } from '../../base/errors.ts';
import { prettyLine, toLogRecord } from '../../control/log-line.ts';
import type { Io } from '../io.ts';
import { clientFor } from '../targets.ts';

/** `dtunnel logs [NAME]`. */
export interface LogsArgs {
  readonly name: string | undefined;
  readonly follow: boolean;
  readonly json: boolean;
}

/** Shows the recent log lines of a daemon, and with `follow` those that come. */
export async function run(args: LogsArgs, io: Io, signal?: AbortSignal): Promise<number> {
  const client = await clientFor(args.name, io);
  for await (const line of client.log(args.follow, signal)) {
    const record = toLogRecord(line);
    if (args.json || record === undefined) io.out(`${JSON.stringify(line)}\n`);
    else io.out(`${prettyLine(record, { colour: io.colour.out })}\n`);
  }
  return EXIT.ok;
}
