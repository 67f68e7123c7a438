import { DtunnelError, EXIT } from '../../base/errors.ts';
import type { ControlClient } from '../../control/client.ts';
import type { HelloReply, UpgradeReply } from '../../control/protocol.ts';
import { type Io, json } from '../io.ts';
import { lookOf, plain } from '../paint.ts';
import { clientOf, pause } from '../targets.ts';

/** `dtunnel upgrade NAME`. */
export interface UpgradeArgs {
  readonly name: string;
  /** Start afresh where sessions cannot be handed over. */
  readonly restart: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly timeoutMs: number;
}

type HandedOver = Extract<UpgradeReply, { result: 'handed_over' }>;
type Restarting = Extract<UpgradeReply, { result: 'restarting' }>;

/** How often to look whether the new process answers, ms. */
const LOOK_INTERVAL = 20;

/** Replaces the process under a tunnel by the program as it is on disk. */
export async function run(args: UpgradeArgs, io: Io): Promise<number> {
  const client = clientOf(args.name, io, args.timeoutMs);
  const reply = await client.upgrade(args.restart);
  const schema = 'dtunnel.upgrade/1';
  if (reply.result === 'handed_over') {
    if (args.json) io.out(json({ schema, tunnel: client.name, ...reply }));
    else if (!args.quiet) io.out(plain(lookOf(io), handedOverText(reply)));
    return EXIT.ok;
  }
  const began = Date.now();
  const { pid, version } = await startedAfresh(client, reply, args.timeoutMs);
  const durationMs = Date.now() - began;
  if (args.json) {
    io.out(json({ schema, tunnel: client.name, ...reply, result: 'restarted', pid, version, durationMs }));
  } else if (!args.quiet) io.out(plain(lookOf(io), restartedText(reply, pid, durationMs)));
  return EXIT.ok;
}

function handedOverText(reply: HandedOver): string {
  const what = [counted(reply.tunnels, 'tunnel'), counted(reply.peers, 'peer'), counted(reply.sockets, 'socket')].join(
    ', ',
  );
  const took = `in ${reply.gapMs.toFixed(reply.gapMs < 10 ? 1 : 0)} ms`;
  const version = reply.version === reply.previousVersion ? '' : `; ${reply.previousVersion} → ${reply.version}`;
  const lost = `${reply.droppedPackets} packets dropped`;
  return `handed over ${what} ${took}; ${lost}; old pid ${reply.previousPid} → ${reply.pid}${version}\n`;
}

function restartedText(reply: Restarting, pid: number, durationMs: number): string {
  return [
    `restarted instead of handed over: ${reply.reason}`,
    `  ${counted(reply.peers, 'peer')} must shake hands again, and packets were lost for at least ${Math.round(durationMs)} ms`,
    `  old pid ${reply.previousPid} → ${pid}`,
    '',
  ].join('\n');
}

/** Waits until another process than the old one answers. */
async function startedAfresh(
  client: ControlClient,
  { previousPid, reason }: Restarting,
  timeoutMs: number,
): Promise<HelloReply> {
  const until = Date.now() + timeoutMs;
  while (Date.now() < until) {
    const hello = await client.hello().catch((error: unknown) => {
      if (error instanceof DtunnelError && error.code === 'S016') return undefined;
      throw error;
    });
    if (hello !== undefined && hello.pid !== previousPid) return hello;
    await pause(LOOK_INTERVAL);
  }
  throw new DtunnelError('S022', `${client.name} was stopped (${reason}), but did not start again`, {
    hint: `see its log, then  dtunnel up ${client.name}`,
  });
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
