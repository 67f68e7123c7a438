import type { MachineFacts } from '../machine.ts';

/** One thing that was done to the link, and what it cost. */
export interface Happening {
  /** What was done, in a word or two. */
  readonly kind: string;
  /** Longest time without an arrival in the worse direction while it went on. */
  readonly gapMs?: number;
  /** How long what is promised took: traffic again, a reload applied, a size found. */
  readonly tookMs?: number;
  /** Datagrams lost meanwhile, both directions. */
  readonly lost?: number;
}

/** What became of all traffic of a scenario, both directions together. */
export interface Totals {
  readonly sent: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly corrupted: number;
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** The TCP flow, every octet compared; undefined: there was none. */
  readonly tcp: { readonly bytes: number; readonly intact: boolean; readonly longestStallMs: number } | undefined;
}

/** What one scenario yielded. */
export interface Outcome {
  readonly scenario: string;
  readonly seed: number;
  readonly happenings: readonly Happening[];
  readonly totals: Totals | undefined;
  /** Packets of inner addresses that a sniffer on the outer path saw in the clear; undefined: nobody looked. */
  readonly inTheClear?: number;
  /** What did not go as it must, in words. */
  readonly failures: readonly string[];
  /** Why it was not run. */
  readonly skipped?: string;
  /** What was run, and what else the machine had to do when it began. */
  readonly commit: string;
  readonly load: string;
}

/** A run of the battery: what the raw file holds. */
export interface BatteryRun {
  readonly schema: 'dtunnel.battery/1';
  readonly machine: MachineFacts;
  readonly outcomes: readonly Outcome[];
}

/** What a scenario must not exceed. Left out: not judged. */
export interface Floor {
  /** Datagrams lost over the whole scenario. */
  readonly lost?: number;
  readonly reordered?: number;
  /** Every gap. */
  readonly gapMs?: number;
  /** 99 of 100 gaps. */
  readonly gapP99Ms?: number;
  /** Every `tookMs`. */
  readonly tookMs?: number;
}

/** Why `outcome` falls short of `floor`; empty: it holds. What arrives twice or damaged is never allowed. */
export function shortcomings(outcome: Outcome, floor: Floor): readonly string[] {
  if (outcome.skipped !== undefined) return [];
  const { totals, happenings } = outcome;
  const found = [...outcome.failures];
  const above = (what: string, value: number | undefined, limit: number | undefined): void => {
    if (value !== undefined && limit !== undefined && value > limit) {
      found.push(`${what}: ${round(value)}, at most ${limit}`);
    }
  };
  const gaps = valuesOf(happenings, 'gapMs');
  const took = valuesOf(happenings, 'tookMs');
  if (happenings.length === 0) found.push('nothing was done');
  above('lost', totals?.lost, floor.lost);
  above('duplicated', totals?.duplicated, 0);
  above('reordered', totals?.reordered, floor.reordered);
  above('damaged', totals?.corrupted, 0);
  above('in the clear', outcome.inTheClear, 0);
  above('longest gap, ms', quantile(gaps, 1), floor.gapMs);
  above('99th percentile of gaps, ms', quantile(gaps, 0.99), floor.gapP99Ms);
  above('longest time, ms', quantile(took, 1), floor.tookMs);
  if (totals?.tcp?.intact === false) found.push('TCP: damaged, or nothing came');
  if (totals !== undefined && totals.sent === 0) found.push('no traffic');
  return found;
}

/** The values of one figure, in ascending order. */
export function valuesOf(happenings: readonly Happening[], figure: 'gapMs' | 'tookMs' | 'lost'): readonly number[] {
  return happenings.flatMap((one) => one[figure] ?? []).sort((a, b) => a - b);
}

/** The value below which `share` of the ascending `values` lie; undefined when there are none. */
export function quantile(values: readonly number[], share: number): number | undefined {
  return values[Math.min(values.length - 1, Math.floor(values.length * share))];
}

/** As people read it: three digits are enough. */
export function round(value: number): string {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(2);
}
