import { DtunnelError, EXIT } from '../../base/errors.ts';
import type { PeerStatus, StatusDocument } from '../../control/status.ts';
import type { Io } from '../io.ts';
import { lookOf } from '../paint.ts';
import { peerText, tunnelText } from '../status-text.ts';
import { clientOf, pause, runningTunnels } from '../targets.ts';
import type { StatusAnswer } from '../../control/client.ts';

/** `dtunnel status [NAME] [PEER]`. */
export interface StatusArgs {
  readonly name: string | undefined;
  readonly peer: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  /** Wait until everything asked about is up. */
  readonly wait: boolean;
  readonly timeoutMs: number;
}

/** How often a waiting command looks, ms. */
const LOOK_INTERVAL = 100;

/** Shows tunnels and peers. Yields 0 when all are up, 6 when some are, 3 when none is, 8 when waiting was in vain. */
export async function run(args: StatusArgs, io: Io): Promise<number> {
  const { answers, exit } = args.wait ? await waited(args, io) : await looked(args, io);
  if (args.json)
    for (const { raw } of answers) io.out(`${JSON.stringify(raw, undefined, answers.length === 1 ? 2 : undefined)}\n`);
  else if (!args.quiet)
    print(
      answers.map(({ document }) => document),
      args,
      io,
    );
  return exit;
}

interface Seen {
  readonly answers: readonly StatusAnswer[];
  readonly exit: number;
}

async function looked(args: StatusArgs, io: Io): Promise<Seen> {
  const answers = await ask(args, io);
  if (answers.length === 0) throw new DtunnelError('S016', 'no tunnel is running');
  return { answers, exit: exitOf(answers.map(({ document }) => stateOf(document, args.peer))) };
}

async function waited(args: StatusArgs, io: Io): Promise<Seen> {
  const until = Date.now() + args.timeoutMs;
  for (;;) {
    const seen = await looked(args, io).catch((error: unknown): Seen => {
      // Not running yet is what waiting is for.
      if (error instanceof DtunnelError && error.code === 'S016') return { answers: [], exit: EXIT.notRunning };
      throw error;
    });
    if (seen.exit === EXIT.ok) return seen;
    if (Date.now() >= until) return { ...seen, exit: EXIT.timeout };
    await pause(Math.min(LOOK_INTERVAL, Math.max(1, until - Date.now())));
  }
}

async function ask({ name }: StatusArgs, io: Io): Promise<readonly StatusAnswer[]> {
  if (name === undefined) return (await runningTunnels(io)).map(({ answer }) => answer);
  return [await clientOf(name, io).status()];
}

function stateOf(status: StatusDocument, peer: string | undefined): 'up' | 'degraded' | 'down' {
  if (peer === undefined) return status.tunnel.state;
  const { up, state } = peerOf(status, peer);
  if (!up) return 'down';
  return state === 'up' ? 'up' : 'degraded';
}

function exitOf(states: readonly ('up' | 'degraded' | 'down')[]): number {
  if (states.every((state) => state === 'up')) return EXIT.ok;
  return states.every((state) => state === 'down') ? EXIT.notRunning : EXIT.degraded;
}

function print(statuses: readonly StatusDocument[], args: StatusArgs, io: Io): void {
  const look = lookOf(io);
  const { peer } = args;
  const texts = statuses.map((status) =>
    peer === undefined ? tunnelText(status, look) : peerText(status, peerOf(status, peer), look),
  );
  io.out(texts.join('\n'));
}

function peerOf(status: StatusDocument, name: string): PeerStatus {
  const found = status.peers.find((peer) => peer.name === name);
  if (found !== undefined) return found;
  const names = status.peers.map((peer) => peer.name).join(', ');
  throw new DtunnelError(
    'S018',
    `${status.tunnel.name} has no peer ${name}${names === '' ? '' : ` (there are ${names})`}`,
  );
}
