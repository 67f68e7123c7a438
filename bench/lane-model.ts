/** What was measured with some number of lanes. CPU seconds are per 10⁹ bytes of TCP payload, of one direction. */
export interface LaneCost {
  readonly lanes: number;
  /** All transmitting threads of the sending gateway together, and all receiving threads of the other one. */
  readonly transmit: number;
  readonly receive: number;
  /** The daemon that worked more of the two, with its threads. */
  readonly gateway: number;
}

/** What lanes can do with cores of their own, Gbit/s. */
export interface LaneForecast {
  readonly lanes: number;
  readonly cores: number;
  readonly gbps: number;
  /** What would hold it first: a thread that has a core whole, or the gateway that has all of its cores whole. */
  readonly limit: 'thread' | 'cores';
}

/**
 * What `lanes` lanes would carry in one direction between two gateways of `cores` cores each that do nothing else. With one
 * lane a thread is busy for max(transmit, receive) seconds a GB; with more, the work of all grows by what was measured for
 * them, and beyond that linearly. Nothing else is in it: no link, no memory bandwidth, no NUMA, flows spread evenly.
 */
export function forecast(measured: readonly LaneCost[], lanes: number, cores: number): LaneForecast | undefined {
  const [one] = measured;
  if (one?.lanes !== 1) return undefined;
  const thread = (Math.max(one.transmit, one.receive) * growth(measured, lanes)) / lanes;
  const gateway = (one.gateway * growth(measured, lanes)) / cores;
  return {
    lanes,
    cores,
    gbps: 8 / Math.max(thread, gateway),
    limit: thread >= gateway ? 'thread' : 'cores',
  };
}

/** How many times the work of one lane a GB costs with `lanes`: a line through one lane and the most that were measured. */
export function growth(measured: readonly LaneCost[], lanes: number): number {
  const [one] = measured;
  const most = measured.at(-1);
  if (one === undefined || most === undefined || most.lanes === one.lanes) return 1;
  const slope = (most.gateway / one.gateway - 1) / (most.lanes - one.lanes);
  return Math.max(1, 1 + slope * (lanes - one.lanes));
}
