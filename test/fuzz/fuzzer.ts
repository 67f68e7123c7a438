import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SeededRandom } from '../support/seeded-random.ts';
import { Coverage } from './coverage.ts';
import { mutateBlindly } from './mutate.ts';
import type { Target } from './target.ts';

/** An input that broke a law, written to test/fuzz/failures so that it can become a case of the corpus. */
export class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure';
}

/** What a run did. */
export interface FuzzFigures {
  readonly executions: number;
  readonly seconds: number;
  /** Share of the target's sources that ran; undefined when it was not measured. */
  readonly coverage: number | undefined;
  readonly corpus: number;
}

/** Every input in the corpus of a target: what once broke it or reached something new. */
export function corpusOf(target: Target): Uint8Array[] {
  const folder = `${here}corpus/${target.name}`;
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).sort();
  return names.map((name) => new Uint8Array(readFileSync(`${folder}/${name}`)));
}

/** Runs the seeds, the corpus and `target.executions` mutants of them: the same each time. */
export function fuzzBounded(target: Target): FuzzFigures {
  const began = performance.now();
  const pool = [...target.seeds, ...corpusOf(target)];
  const random = new SeededRandom(1);
  for (const input of pool) attempt(target, input);
  for (let i = 0; i < target.executions; i++) attempt(target, mutant(target, pool, random));
  return figures(target.executions + pool.length, began, undefined, pool.length);
}

/**
 * Runs mutants for `seconds`, led by coverage: a mutant that reaches something new joins the corpus on disk and is mutated
 * in turn. `seed` makes it another run.
 */
export function fuzzGuided(target: Target, seconds: number, seed: number): FuzzFigures {
  const began = performance.now();
  const random = new SeededRandom(seed);
  const coverage = new Coverage(target.covers);
  const pool = [...target.seeds, ...corpusOf(target)];
  let executions = pool.length;
  for (const input of pool) attempt(target, input);
  coverage.take();
  while (performance.now() - began < seconds * 1000) {
    const batch = Array.from({ length: BATCH }, () => mutant(target, pool, random));
    for (const input of batch) attempt(target, input);
    executions += batch.length;
    // The counters are read once a batch, since reading costs more than running; the culprit is found by running again.
    if (coverage.take() > 0) pool.push(...keepFresh(target, pool, batch));
  }
  return figures(executions, began, coverage.ratio, pool.length);
}

/** Those of a batch that reach what nothing in the pool does, run alone; written to the corpus. */
function keepFresh(target: Target, pool: readonly Uint8Array[], batch: readonly Uint8Array[]): Uint8Array[] {
  const alone = new Coverage(target.covers);
  alone.take();
  for (const input of pool) attempt(target, input);
  alone.take();
  const kept: Uint8Array[] = [];
  for (const input of batch) {
    attempt(target, input);
    if (alone.take() === 0) continue;
    kept.push(input);
    save('corpus', target, input);
  }
  return kept;
}

function mutant(target: Target, pool: readonly Uint8Array[], random: SeededRandom): Uint8Array {
  const input = pool[random.below(pool.length)] ?? new Uint8Array(0);
  const other = pool[random.below(pool.length)] ?? new Uint8Array(0);
  const knows = target.mutate !== undefined && random.chance(0.5);
  return knows && target.mutate !== undefined ? target.mutate(input, random) : mutateBlindly(input, other, random);
}

function attempt(target: Target, input: Uint8Array): void {
  try {
    target.run(input);
  } catch (error) {
    const path = save('failures', target, input);
    throw new FuzzFailure(`${target.name}: ${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function save(kind: 'corpus' | 'failures', target: Target, input: Uint8Array): string {
  const folder = `${here}${kind}/${target.name}`;
  mkdirSync(folder, { recursive: true });
  const path = `${folder}/${createHash('sha256').update(input).digest('hex').slice(0, 16)}`;
  writeFileSync(path, input);
  return path;
}

function figures(executions: number, began: number, coverage: number | undefined, corpus: number): FuzzFigures {
  return { executions, seconds: (performance.now() - began) / 1000, coverage, corpus };
}

const here = fileURLToPath(new URL('.', import.meta.url));

const BATCH = 128;
