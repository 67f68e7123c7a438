import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { ms } from '../base/brand.ts';
import { parseAddress } from '../net/address.ts';
import { type EchoReport, icmpEcho } from '../plane/host.ts';
import type { Impairment } from './impairment.ts';
import { Pattern } from './pattern.ts';
import { Relay, type RelayCounts, type RelayOptions } from './relay.ts';
import { receiveTransfer, sendTransfer, type TransferAmount, type TransferReport } from './tcp-transfer.ts';
import { type FlowLap, type FlowOptions, type FlowReport, UdpFlow } from './udp-flow.ts';

/**
 * The traffic tools as a program of its own, to be started inside a network namespace:
 *
 *     node traffic.js '{"tool":"flow", …}'
 *
 * One JSON object says what to do. It answers with one JSON object a line, `{"event": …}`, takes commands as JSON lines,
 * and ends when its standard input does, so that nothing of it outlives its caller.
 */
export type Task =
  | ({ readonly tool: 'flow'; readonly seed: number } & FlowOptions)
  | { readonly tool: 'receive'; readonly port: number; readonly seed: number; readonly streams: number }
  | {
      readonly tool: 'send';
      readonly address: string;
      readonly port: number;
      readonly seed: number;
      readonly streams: number;
      readonly amount: TransferAmount;
    }
  | ({ readonly tool: 'relay' } & RelayOptions)
  | ({ readonly tool: 'ping' } & PingTask);

/** Whom to ping and how. */
export interface PingTask {
  readonly address: string;
  readonly count: number;
  readonly intervalMs: number;
  /** To wait for an answer after the last request. */
  readonly waitMs: number;
  /** ICMP payload, octets. */
  readonly payload: number;
  /** Again and again, `count` times at most, until an answer comes. */
  readonly untilAnswered: boolean;
}

/** What a tool says, by its `event`. */
export type Word =
  | { readonly event: 'ready' }
  | { readonly event: 'stopped'; readonly sent: number }
  | { readonly event: 'lap'; readonly lap: FlowLap }
  | { readonly event: 'flow-report'; readonly report: FlowReport }
  | { readonly event: 'transfer-report'; readonly report: TransferReport }
  | { readonly event: 'sent' }
  | { readonly event: 'pinged'; readonly report: EchoReport }
  | { readonly event: 'counts'; readonly counts: RelayCounts }
  | { readonly event: 'failed'; readonly message: string };

/** What a running tool may be told. */
export type Command =
  | { readonly do: 'start' | 'lap' | 'stop' | 'close' | 'counts' }
  | { readonly do: 'impair'; readonly toTarget: Impairment; readonly toClient: Impairment }
  | { readonly do: 'rebind'; readonly address?: string };

function say(word: Word): void {
  process.stdout.write(`${JSON.stringify(word)}\n`);
}

/** Calls `perform` for every command; the process ends with its input. */
function obey(perform: (command: Command) => void): void {
  createInterface({ input: process.stdin })
    .on('line', (line) => perform(JSON.parse(line)))
    .on('close', () => process.exit());
}

async function flow(task: Extract<Task, { tool: 'flow' }>): Promise<void> {
  const end = await UdpFlow.open(task, new Pattern(task.seed));
  obey((command) => {
    if (command.do === 'start') end.start();
    else if (command.do === 'lap') say({ event: 'lap', lap: end.lap() });
    else if (command.do === 'stop') say({ event: 'stopped', sent: end.stop() });
    else if (command.do === 'close') say({ event: 'flow-report', report: end.close() });
  });
  say({ event: 'ready' });
}

async function relay(task: Extract<Task, { tool: 'relay' }>): Promise<void> {
  const running = await Relay.open(task);
  obey((command) => {
    if (command.do === 'impair') running.impair(command.toTarget, command.toClient);
    else if (command.do === 'rebind') running.rebind(command.address);
    say({ event: 'counts', counts: running.counts() });
  });
  say({ event: 'ready' });
}

async function receive(task: Extract<Task, { tool: 'receive' }>): Promise<void> {
  obey(() => undefined);
  const report = await receiveTransfer(task, () => say({ event: 'ready' }));
  say({ event: 'transfer-report', report });
}

async function send(task: Extract<Task, { tool: 'send' }>): Promise<void> {
  const stopped = new AbortController();
  obey((command) => {
    if (command.do === 'stop') stopped.abort();
  });
  say({ event: 'ready' });
  await sendTransfer(task, stopped.signal);
  say({ event: 'sent' });
}

async function ping(task: Extract<Task, { tool: 'ping' }>): Promise<void> {
  const address = parseAddress(task.address);
  if (address === undefined) throw new Error(`${task.address} is no address`);
  obey(() => undefined);
  say({ event: 'ready' });
  const { count, payload, untilAnswered } = task;
  const timing = { interval: ms(task.intervalMs), timeout: ms(task.waitMs), bytes: payload, dontFragment: true };
  if (!untilAnswered) {
    say({ event: 'pinged', report: await icmpEcho(address, { count, ...timing }) });
    return;
  }
  for (let sent = 1; ; sent++) {
    const report = await icmpEcho(address, { count: 1, ...timing });
    if (report.rttMs.length > 0 || sent >= count) {
      say({ event: 'pinged', report: { ...report, sent } });
      return;
    }
    if (report.errno !== 0) await delay(task.waitMs); // Refused at once (no route yet): not a reason to spin.
  }
}

async function main(task: Task): Promise<void> {
  switch (task.tool) {
    case 'flow':
      return await flow(task);
    case 'relay':
      return await relay(task);
    case 'receive':
      return await receive(task);
    case 'send':
      return await send(task);
    case 'ping':
      return await ping(task);
  }
}

main(JSON.parse(process.argv[2] ?? 'null')).catch((error: unknown) => {
  say({ event: 'failed', message: error instanceof Error ? error.message : String(error) });
  process.exit(1);
});
