import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Meeting, meet } from './at-once.ts';

/** Seeds of this run; the long run asks for as many as it likes and keeps what came of them. */
const SEEDS = Number(process.env['DTUNNEL_SEEDS'] ?? 200);
const FIRST = Number(process.env['DTUNNEL_FIRST_SEED'] ?? 1);
const REPORT = process.env['DTUNNEL_MEETINGS'];

describe('both ends act at the same time', () => {
  it(`come together again and stay, for ${SEEDS} seeds`, { timeout: 3_600_000 }, () => {
    const meetings: Meeting[] = [];
    const failures: string[] = [];
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const meeting = meet(seed);
      meetings.push(meeting);
      const { acts, failure, tookMs } = meeting;
      const why = failure ?? (Number.isFinite(tookMs) ? undefined : 'no packet came through');
      if (why !== undefined) failures.push(`${seed}: ${acts.berlin} and ${acts.paris}: ${why}`);
    }
    if (REPORT !== undefined) {
      mkdirSync(dirname(REPORT), { recursive: true });
      writeFileSync(REPORT, `${JSON.stringify(meetings)}\n`);
    }
    expect(failures).toEqual([]);
  });
});
