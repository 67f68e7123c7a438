import { EXIT } from '../../base/errors.ts';
import { span } from '../../base/format.ts';
import { type Io, json } from '../io.ts';
import { clientOf } from '../targets.ts';
import { gone } from './down.ts';

/** `dtunnel drain NAME`. */
export interface DrainArgs {
  readonly name: string;
  readonly json: boolean;
  readonly quiet: boolean;
  /** The daemon is gone after this at the latest. */
  readonly timeoutMs: number;
}

/** The daemon answers within its limit; this much longer is waited for the answer, ms. */
const GRACE = 5_000;

/** Tells the peers to fail over, waits until nothing is left, and stops. Yields 8 when the time was not enough. */
export async function run(args: DrainArgs, io: Io): Promise<number> {
  const client = clientOf(args.name, io);
  const { result, sessionsLeft, durationMs } = await client.drain(args.timeoutMs);
  await gone(client, GRACE);
  if (args.json) {
    // Names as deployments report them: outputs of a life-cycle action.
    io.out(
      json({
        schema: 'dtunnel.drain/1',
        tunnel: client.name,
        drain_result: result,
        sessions_left: sessionsLeft,
        durationMs,
      }),
    );
  } else if (!args.quiet) {
    const how =
      result === 'drained' ? 'drained' : `stopped with ${sessionsLeft} session${sessionsLeft === 1 ? '' : 's'} left`;
    io.out(`[-] ${client.name} ${how} after ${span(durationMs / 1000)}\n`);
  }
  return result === 'drained' ? EXIT.ok : EXIT.timeout;
}
