import { EXIT } from '../../base/errors.ts';
import { renderPlan } from '../../config/diff.ts';
import type { ReloadReply } from '../../control/protocol.ts';
import { type Io, json } from '../io.ts';
import { lookOf, plain } from '../paint.ts';
import { clientFor } from '../targets.ts';

/** `dtunnel reload [NAME]`. */
export interface ReloadArgs {
  readonly name: string | undefined;
  /** Say what would change; change nothing. */
  readonly plan: boolean;
  /** Go back to the settings before the last reload. */
  readonly revert: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly timeoutMs: number;
}

/** Applies the configuration file to a running tunnel. */
export async function run(args: ReloadArgs, io: Io): Promise<number> {
  const client = await clientFor(args.name, io, args.timeoutMs);
  const reply = await client.reload({ plan: args.plan, revert: args.revert });
  if (args.json) io.out(json({ schema: 'dtunnel.reload/1', tunnel: client.name, ...reply }));
  else if (!args.quiet) io.out(plain(lookOf(io), text(reply, args)));
  return EXIT.ok;
}

function text(reply: ReloadReply, { plan, revert, name }: ReloadArgs): string {
  const changes = reply.changes.map((change) => ({ ...change, peer: change.peer, key: change.key }));
  const lines = changes.length === 0 ? '' : renderPlan({ changes, hitless: changes.every(({ hitless }) => hitless) });
  if (plan) return `${lines}${changes.length === 0 ? 'nothing would change' : 'nothing applied (--plan)'}\n`;
  if (changes.length === 0) return `[~] nothing to change, generation ${reply.generation}\n`;
  const count = `${changes.length} change${changes.length === 1 ? '' : 's'}`;
  const took = `in ${reply.durationMs.toFixed(reply.durationMs < 10 ? 1 : 0)} ms`;
  const lost = `${reply.droppedPackets} packets dropped`;
  const back = revert ? '' : ` (rollback: dtunnel reload${name === undefined ? '' : ` ${name}`} --revert)`;
  return `${lines}[~] ${revert ? 'reverted' : 'applied'} ${count} ${took}, ${lost}, generation ${reply.generation}${back}\n`;
}
