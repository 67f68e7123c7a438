import { EXIT } from '../../base/errors.ts';
import type { Io } from '../io.ts';
import { clientFor } from '../targets.ts';

/** `dtunnel metrics [NAME]`. */
export interface MetricsArgs {
  readonly name: string | undefined;
}

/** Prints all metrics of a daemon, whether it listens for scrapers or not. */
export async function run(args: MetricsArgs, io: Io): Promise<number> {
  io.out(await (await clientFor(args.name, io)).metrics());
  return EXIT.ok;
}
