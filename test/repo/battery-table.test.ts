import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { BatteryRun } from '../../bench/battery/outcome.ts';
import { costTable, README_TABLE } from '../../bench/battery/report.ts';
import { SCENARIOS } from '../../bench/battery/scenarios.ts';
import { ROOT } from './source-files.ts';

describe('the table of what things cost in the README', () => {
  it('is drawn from the raw file (npm run battery -- --readme, or --merge … --only … --readme)', () => {
    const run: BatteryRun = JSON.parse(readFileSync(join(ROOT, 'bench/results/battery.json'), 'utf8'));
    const text = readFileSync(join(ROOT, 'README.md'), 'utf8');
    expect(README_TABLE.exec(text)?.[0]).toContain(costTable(run, SCENARIOS));
  });
});
