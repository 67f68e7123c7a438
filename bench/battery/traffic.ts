import { type FlowResult, lostOf, SteadyTransfer, TwoWayFlow } from '../../src/demo/measure.ts';
import type { Rig } from '../../src/demo/rig.ts';
import type { TransferReport } from '../../src/demo/tcp-transfer.ts';
import type { FlowLap } from '../../src/demo/udp-flow.ts';
import type { Totals } from './outcome.ts';

/** What both directions saw in one stretch of time. */
export interface Lap {
  /** In the worse direction. */
  readonly gapMs: number;
  /** When that gap ended, by the kernel's monotonic clock. */
  readonly gapEndedAt: number;
  readonly lost: number;
  readonly lostFrom: { readonly berlin: number; readonly paris: number };
}

/** How much of it there is. */
export interface TrafficOptions {
  /** Numbered datagrams a second, each way. */
  readonly rate?: number;
  readonly size?: number;
  /** A TCP flow beside them; default 2 Mbit/s from Paris. */
  readonly tcp?: boolean;
}

/** Traffic both ways between the LAN hosts: numbered datagrams over IPv4, and a TCP flow over IPv6. */
export class Traffic {
  readonly #flow: TwoWayFlow;
  readonly #tcp: SteadyTransfer | undefined;

  private constructor(flow: TwoWayFlow, tcp: SteadyTransfer | undefined) {
    this.#flow = flow;
    this.#tcp = tcp;
  }

  /** Flows once this resolves. */
  static async open(rig: Rig, options: TrafficOptions = {}): Promise<Traffic> {
    const { rate = 500, size = 200 } = options;
    const flow = await TwoWayFlow.open(rig, { family: 4, rate, size });
    const bitsPerSecond = 2_000_000;
    const tcp =
      options.tcp === false ? undefined : await SteadyTransfer.open(rig, rig.paris, { family: 6, bitsPerSecond });
    flow.start();
    return new Traffic(flow, tcp);
  }

  /** What happened since the lap before. */
  async lap(): Promise<Lap> {
    return lapOf(await this.#flow.lap());
  }

  /** Ends it; yields what became of everything. */
  async finish(): Promise<Totals> {
    const tcp = await this.#tcp?.finish();
    return totalsOf(await this.#flow.finish(1000), tcp);
  }

  /** Ends it whatever happened. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([this.#flow.close(), this.#tcp?.close()]);
  }
}

/** Both directions as one. */
export function lapOf({ fromBerlin, fromParis }: { readonly fromBerlin: FlowLap; readonly fromParis: FlowLap }): Lap {
  const worse = fromBerlin.longestGap.ms > fromParis.longestGap.ms ? fromBerlin : fromParis;
  const [berlin, paris] = [fromBerlin.expected - fromBerlin.received, fromParis.expected - fromParis.received];
  return {
    gapMs: worse.longestGap.ms,
    gapEndedAt: worse.longestGap.endedAt,
    lost: berlin + paris,
    lostFrom: { berlin, paris },
  };
}

/** Both directions as one, with the TCP flow. */
export function totalsOf(result: FlowResult, tcp: TransferReport | undefined): Totals {
  const both = [result.fromBerlin, result.fromParis];
  const sum = (of: (direction: (typeof both)[number]) => number): number => both.reduce((n, d) => n + of(d), 0);
  const worse = (of: (direction: (typeof both)[number]) => number): number => Math.max(...both.map(of));
  return {
    sent: sum((d) => d.sent),
    lost: lostOf(result),
    duplicated: sum((d) => d.duplicated),
    reordered: sum((d) => d.reordered),
    corrupted: sum((d) => d.corrupted),
    delayMs: { p50: worse((d) => d.delayMs.p50), p99: worse((d) => d.delayMs.p99), max: worse((d) => d.delayMs.max) },
    tcp: tcp === undefined ? undefined : { bytes: tcp.bytes, intact: tcp.intact, longestStallMs: tcp.longestStallMs },
  };
}
