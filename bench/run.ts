import type { MachineFacts } from './machine.ts';
import type { Figures } from './measurements.ts';

/** One test of one peer in one round. */
export interface Outcome {
  readonly peer: string;
  readonly path: string;
  readonly round: number;
  readonly test: string;
  readonly figures: Figures;
  readonly failure?: string;
}

/** CPU microseconds of one full handshake, client's and server's share apart. */
export interface HandshakeCost {
  readonly client: number;
  readonly server: number;
}

/** Medians of rounds taken in turns (handshake.ts); without OpenSSL's where it could not be built. */
export interface HandshakeCosts {
  readonly ours: HandshakeCost;
  readonly openssl: HandshakeCost | undefined;
}

/** A whole run: what is written to the raw file. */
export interface Run {
  readonly schema: 'dtunnel.bench/1';
  readonly machine: MachineFacts;
  readonly versions: Readonly<Record<string, string>>;
  readonly about: Readonly<Record<string, string>>;
  /** Peers that did not take part, with the reason. */
  readonly absent: readonly string[];
  readonly offloads: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Whether default socket buffers were raised for the run. */
  readonly tuned: boolean;
  /** Whether what was measured ran at the highest scheduling weight. */
  readonly priority: boolean;
  readonly outcomes: readonly Outcome[];
  readonly handshakes?: HandshakeCosts | undefined;
}

/** Rounds in which `test` was measured. */
export function roundsOf(run: Run, test: string): number {
  return new Set(run.outcomes.filter((outcome) => outcome.test === test).map(({ round }) => round)).size;
}

/** Median with the extremes. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The spread of `figure` in `test` of `peer` over the rounds; undefined when it was never measured. */
export function spread(run: Run, peer: string, path: string, test: string, figure: string): Spread | undefined {
  const values = run.outcomes
    .filter((o) => o.peer === peer && o.path === path && o.test === test)
    .flatMap((o) => (o.figures[figure] === undefined ? [] : [o.figures[figure]]))
    .sort((a, b) => a - b);
  const [min] = values;
  const max = values.at(-1);
  if (min === undefined || max === undefined) return undefined;
  return { median: median(values), min, max };
}

/** The middle of `values`, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[(sorted.length >> 1) - 1] ?? Number.NaN) + upper) / 2;
}
