import { describe, expect, it } from 'vitest';
import { live } from './life.ts';

/** Seeds of this run; the long run asks for as many as it likes. */
const SEEDS = Number(process.env['DTUNNEL_SEEDS'] ?? 400);
const FIRST = Number(process.env['DTUNNEL_FIRST_SEED'] ?? 1);

describe('both ends doing things at once', () => {
  it(`comes to one association without loss, for ${SEEDS} seeds`, { timeout: 3_600_000 }, () => {
    const failures: string[] = [];
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const { failure } = live(seed);
      if (failure !== undefined) failures.push(`${seed}: ${failure}`);
    }
    expect(failures).toEqual([]);
  });
});
