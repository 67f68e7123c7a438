import { EXIT } from '../../base/errors.ts';
import type { Io } from '../io.ts';
import { clientFor } from '../targets.ts';

/** `dtunnel events [NAME]`. */
export interface EventsArgs {
  readonly name: string | undefined;
}

/** Prints everything that happens from now on as one JSON document a line, until interrupted or the daemon ends. */
export async function run(args: EventsArgs, io: Io, signal?: AbortSignal): Promise<number> {
  const client = await clientFor(args.name, io);
  for await (const event of client.events(signal)) io.out(`${JSON.stringify(event)}\n`);
  return EXIT.ok;
}
