import { setTimeout as delay } from 'node:timers/promises';
import type { Enclosure } from './enclosure.ts';
import { farSite, type Rig, type Site } from './rig.ts';
import type { TransferAmount, TransferReport } from './tcp-transfer.ts';
import { startTool, type Tool } from './tools.ts';
import type { PingTask } from './traffic.ts';
import type { FlowLap, FlowReport } from './udp-flow.ts';

/** Which Internet Protocol the inner packets speak. */
export type Family = 4 | 6;

/** What became of the datagrams of one direction. */
export interface DirectionReport extends FlowReport {
  /** Sent and never seen, less those the receiver's own socket had no room for. */
  readonly lost: number;
}

/** A two-way flow between the LAN hosts, by the site that sent. */
export interface FlowResult {
  readonly fromBerlin: DirectionReport;
  readonly fromParis: DirectionReport;
}

/** Round trips, milliseconds. */
export interface PingReport {
  readonly sent: number;
  readonly received: number;
  readonly rttMs: readonly number[];
}

/** Sends `amount` by TCP from the LAN host of `from` to the other site's; every byte is compared on arrival. */
export async function transfer(
  rig: Rig,
  from: Site,
  options: {
    readonly family: Family;
    readonly amount: TransferAmount;
    readonly streams?: number;
    readonly port?: number;
  },
): Promise<TransferReport> {
  const to = farSite(rig, from);
  const { port = 5201, streams = 1 } = options;
  const seed = port;
  const receiver = await startTool(rig.enclosure, to.host, { tool: 'receive', port, seed, streams });
  let sender: Tool | undefined;
  try {
    const address = options.family === 4 ? to.host4 : to.host6;
    const { amount } = options;
    sender = await startTool(rig.enclosure, from.host, { tool: 'send', address, port, seed, streams, amount });
    // Whichever fails first is the reason; the other one is then cut off.
    const [, { report }] = await Promise.all([sender.heard('sent'), receiver.heard('transfer-report')]);
    return report;
  } finally {
    await Promise.all([receiver.close(), sender?.close()]);
  }
}

/** A flow of numbered datagrams both ways between the LAN hosts, to do something to the tunnel meanwhile. */
export class TwoWayFlow {
  readonly #berlin: Tool;
  readonly #paris: Tool;

  private constructor(berlin: Tool, paris: Tool) {
    this.#berlin = berlin;
    this.#paris = paris;
  }

  /** Opens both ends; nothing is sent yet. */
  static async open(
    rig: Rig,
    options: { readonly family: Family; readonly rate: number; readonly size: number; readonly port?: number },
  ): Promise<TwoWayFlow> {
    const { port = 5300, rate, size } = options;
    const end = (here: Site): Promise<Tool> => {
      const there = farSite(rig, here);
      const address = (site: Site): string => (options.family === 4 ? site.host4 : site.host6);
      const local = { address: address(here), port };
      const remote = { address: address(there), port };
      return startTool(rig.enclosure, here.host, { tool: 'flow', seed: port, id: port, rate, size, local, remote });
    };
    const [berlin, paris] = await Promise.all([end(rig.berlin), end(rig.paris)]);
    return new TwoWayFlow(berlin, paris);
  }

  /** Both ends send from now on. */
  start(): void {
    this.#berlin.tell({ do: 'start' });
    this.#paris.tell({ do: 'start' });
  }

  /** What each direction saw since the lap before, by the site that sent. */
  async lap(): Promise<{ readonly fromBerlin: FlowLap; readonly fromParis: FlowLap }> {
    const both = [this.#berlin, this.#paris] as const;
    for (const end of both) end.tell({ do: 'lap' });
    const [berlin, paris] = await Promise.all(both.map((end) => end.heard('lap')));
    if (berlin === undefined || paris === undefined) throw new Error('both ends answer');
    return { fromBerlin: paris.lap, fromParis: berlin.lap };
  }

  /** Both ends stop; what is under way gets `settleMs` to arrive; then the counts. */
  async finish(settleMs = 300): Promise<FlowResult> {
    const both = [this.#berlin, this.#paris] as const;
    for (const end of both) end.tell({ do: 'stop' });
    await Promise.all(both.map((end) => end.heard('stopped')));
    await delay(settleMs);
    for (const end of both) end.tell({ do: 'close' });
    const [berlin, paris] = await Promise.all([this.#berlin.heard('flow-report'), this.#paris.heard('flow-report')]);
    await this.close();
    return { fromBerlin: direction(berlin.report, paris.report), fromParis: direction(paris.report, berlin.report) };
  }

  /** Ends both tools. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#berlin.close(), this.#paris.close()]);
  }
}

/** A TCP flow at a steady rate between the LAN hosts, to do something to the tunnel meanwhile. */
export class SteadyTransfer {
  readonly #receiver: Tool;
  readonly #sender: Tool;

  private constructor(receiver: Tool, sender: Tool) {
    this.#receiver = receiver;
    this.#sender = sender;
  }

  /** Begins at once, from the LAN host of `from` to the other site's. */
  static async open(
    rig: Rig,
    from: Site,
    options: { readonly family: Family; readonly bitsPerSecond: number; readonly port?: number },
  ): Promise<SteadyTransfer> {
    const to = farSite(rig, from);
    const { family, bitsPerSecond, port = 5202 } = options;
    const common = { port, seed: port, streams: 1 };
    const receiver = await startTool(rig.enclosure, to.host, { tool: 'receive', ...common });
    try {
      const address = family === 4 ? to.host4 : to.host6;
      const task = { tool: 'send', ...common, address, amount: { bitsPerSecond } } as const;
      return new SteadyTransfer(receiver, await startTool(rig.enclosure, from.host, task));
    } catch (error) {
      await receiver.close();
      throw error;
    }
  }

  /** Stops sending; yields what arrived once everything has. */
  async finish(): Promise<TransferReport> {
    this.#sender.tell({ do: 'stop' });
    const [, { report }] = await Promise.all([this.#sender.heard('sent'), this.#receiver.heard('transfer-report')]);
    await this.close();
    return report;
  }

  /** Ends both tools. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#sender.close(), this.#receiver.close()]);
  }
}

/** Datagrams lost in both directions together. */
export function lostOf(result: FlowResult): number {
  return result.fromBerlin.lost + result.fromParis.lost;
}

/** The middle one of `values`; undefined when there are none. */
export function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** Pings `address` from `netns`, never fragmented. Answers that do not come are simply missing from the report. */
export async function ping(
  enclosure: Enclosure,
  netns: string,
  address: string,
  options: Partial<Omit<PingTask, 'address' | 'untilAnswered'>> = {},
): Promise<PingReport> {
  const { count = 1, intervalMs = 200, payload = 56, waitMs = 1000 } = options;
  return await pinged(enclosure, netns, { address, count, intervalMs, payload, waitMs, untilAnswered: false });
}

/** Pings until an answer comes; yields its round trip, or undefined after about `withinMs`. */
export async function firstPing(
  enclosure: Enclosure,
  netns: string,
  address: string,
  withinMs: number,
): Promise<number | undefined> {
  const waitMs = 50;
  const count = Math.ceil(withinMs / waitMs);
  const task = { address, count, intervalMs: waitMs, waitMs, payload: 56, untilAnswered: true };
  return (await pinged(enclosure, netns, task)).rttMs[0];
}

async function pinged(enclosure: Enclosure, netns: string, task: PingTask): Promise<PingReport> {
  const tool = await startTool(enclosure, netns, { tool: 'ping', ...task });
  try {
    const { report } = await tool.heard('pinged');
    return { sent: report.sent, received: report.rttMs.length, rttMs: report.rttMs };
  } finally {
    await tool.close();
  }
}

/** What `sender` sent and `receiver` saw of it. */
function direction(sender: FlowReport, receiver: FlowReport): DirectionReport {
  const missing = sender.sent - receiver.received;
  return {
    ...receiver,
    sent: sender.sent,
    sendErrors: sender.sendErrors,
    lost: Math.max(0, missing - receiver.overrun),
  };
}
