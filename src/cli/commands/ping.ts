import { EXIT } from '../../base/errors.ts';
import { milliseconds } from '../../base/format.ts';
import { type Io, json } from '../io.ts';
import { clientOfPeer, pause } from '../targets.ts';

/** `dtunnel ping PEER`. */
export interface PingArgs {
  readonly peer: string;
  readonly tunnel: string | undefined;
  readonly count: number;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Per probe. */
  readonly timeoutMs: number;
}

/** Between two probes, ms. */
const INTERVAL = 1_000;

/** Probes a peer through the tunnel: authenticated, no inner host needed. Yields 8 when nothing came back. */
export async function run(args: PingArgs, io: Io, signal?: AbortSignal): Promise<number> {
  const client = await clientOfPeer(args.peer, args.tunnel, io);
  const answers: number[] = [];
  let sent = 0;
  for (; sent < args.count && signal?.aborted !== true; sent += 1) {
    if (sent > 0) await pause(INTERVAL);
    const { rttMs, endpoint, mtuBytes } = await client.ping(args.peer, args.timeoutMs);
    if (rttMs !== undefined) answers.push(rttMs);
    if (args.json || args.quiet) continue;
    const outcome = rttMs === undefined ? 'no answer' : `rtt ${milliseconds(rttMs / 1000)}`;
    io.out(`${args.peer} via ${endpoint ?? '?'}: ${outcome}  inner mtu ${mtuBytes ?? '?'}\n`);
  }
  if (args.json)
    io.out(json({ schema: 'dtunnel.ping/1', peer: args.peer, sent, answered: answers.length, rttMs: answers }));
  else if (!args.quiet && args.count > 1) io.out(`${sent} sent, ${answers.length} answered\n`);
  return answers.length === 0 ? EXIT.timeout : EXIT.ok;
}
