import { OUTER_PATHS } from '../../bench/outer-path.ts';
import { OFFLOADS } from '../../src/plane/stats.ts';
import type { Case } from './soak.ts';

/** What may differ between cases, and how many values each has. Offloads have a switch at either end. */
const FACTORS: readonly number[] = [
  OUTER_PATHS.length,
  2, // family
  3, // aead
  2, // ids
  2, // packs
  2, // path MTU
  2, // churn
  2, // lan
  ...OFFLOADS.map(() => 2),
  ...OFFLOADS.map(() => 2),
];

/**
 * Cases in which any two factors meet in all combinations of their values. Greedy and deterministic: every pair that no
 * row has yet begins a candidate, which then takes, factor by factor, the value with the most such pairs; the candidate
 * with the most of them is the next row.
 */
export function pairwiseCases(): readonly Case[] {
  const open = new Set<string>();
  for (const [i, a] of FACTORS.entries()) {
    for (const [j, b] of FACTORS.entries()) {
      if (j <= i) continue;
      for (let x = 0; x < a; x++) for (let y = 0; y < b; y++) open.add(pair(i, x, j, y));
    }
  }
  const rows: (readonly number[])[] = [];
  while (open.size > 0) {
    let best: readonly number[] = [];
    let most = 0;
    for (const first of open) {
      const row = candidate(first, open);
      const gained = [...pairsOf(row)].filter((one) => open.has(one)).length;
      if (gained > most) [best, most] = [row, gained];
    }
    for (const one of pairsOf(best)) open.delete(one);
    rows.push(best);
  }
  return rows.map(toCase);
}

function candidate(first: string, open: ReadonlySet<string>): readonly number[] {
  const [i = 0, x = 0, j = 0, y = 0] = first.split(',').map(Number);
  const row: (number | undefined)[] = FACTORS.map(() => undefined);
  row[i] = x;
  row[j] = y;
  return FACTORS.map((values, factor) => {
    const fixed = row[factor];
    if (fixed !== undefined) return fixed;
    const gains = Array.from({ length: values }, (_, value) => gain(row, factor, value, open));
    // Ties go to the other end in turn, so that what no pair asks for varies too.
    const most = Math.max(...gains);
    const best = factor % 2 === 0 ? gains.indexOf(most) : gains.lastIndexOf(most);
    row[factor] = best;
    return best;
  });
}

function gain(row: readonly (number | undefined)[], factor: number, value: number, open: ReadonlySet<string>): number {
  let count = 0;
  for (const [other, chosen] of row.entries()) {
    if (chosen === undefined || other === factor) continue;
    const key = other < factor ? pair(other, chosen, factor, value) : pair(factor, value, other, chosen);
    if (open.has(key)) count += 1;
  }
  return count;
}

function* pairsOf(row: readonly number[]): Generator<string> {
  for (const [i, x] of row.entries()) for (const [j, y] of row.entries()) if (j > i) yield pair(i, x, j, y);
}

function pair(i: number, x: number, j: number, y: number): string {
  return `${i},${x},${j},${y}`;
}

function toCase(row: readonly number[]): Case {
  const [outer = 0, family, aead = 0, ids, packs, pathMtu, churn, lan, ...switches] = row;
  const mask = (bits: readonly number[]): number => bits.reduce((set, bit, i) => set | (bit << i), 0);
  return {
    outer: OUTER_PATHS[outer] ?? 'pass',
    family: family === 1 ? 6 : 4,
    aead: aead === 0 ? 0 : aead === 1 ? 1 : 2,
    ids: ids === 0,
    packs: packs === 0,
    disableA: mask(switches.slice(0, OFFLOADS.length)),
    disableB: mask(switches.slice(OFFLOADS.length)),
    pathMtu: pathMtu === 1 ? 1326 : 1472,
    lanes: 1,
    churn: churn === 1,
    lan: lan === 1 ? 'cut' : 'whole',
  };
}
