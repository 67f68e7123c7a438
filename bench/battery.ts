import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type BatteryRun, type Outcome, shortcomings } from './battery/outcome.ts';
import { costTable, README_TABLE, summaryOf } from './battery/report.ts';
import { perform, type Scenario } from './battery/scenario.ts';
import { SCENARIOS } from './battery/scenarios.ts';
import { machineFacts } from './machine.ts';

const USAGE = `usage: npm run battery -- [--only NAME,…] [--quick] [--count N] [--seed N] [--out FILE] [--merge FILE] [--readme] [--json]

Does to a link between two real daemons in network namespaces what happens to links, under traffic both ways, and counts
what was lost. Needs root. --quick: a few times each. --merge keeps the other scenarios of an earlier raw file.
--readme draws the table of the README anew from the raw file. Raw results go to bench/results/battery.json.
Scenarios: ${SCENARIOS.map((one) => one.name).join(', ')}.`;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      count: { type: 'string' },
      seed: { type: 'string' },
      out: { type: 'string' },
      merge: { type: 'string' },
      quick: { type: 'boolean' },
      readme: { type: 'boolean' },
      json: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const chosen = choose(values.only?.split(','));
  const outcomes: Outcome[] = [];
  for (const scenario of chosen) {
    const count =
      values.count === undefined ? (values.quick === true ? scenario.few : scenario.count) : Number(values.count);
    outcomes.push(await one(scenario, count, Number(values.seed ?? 1), values.json !== true));
  }
  const run = merged({ schema: 'dtunnel.battery/1', machine: machineFacts(), outcomes }, values.merge);
  const file = values.out ?? RAW;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(run)}\n`);
  if (values.readme === true) writeReadme(run);
  process.stdout.write(
    values.json === true ? `${JSON.stringify(run)}\n` : `\n${costTable(run, SCENARIOS)}\n\nraw: ${file}\n`,
  );
  const short = chosen.some((scenario, i) => shortcomings(outcomes[i] ?? NOTHING, scenario.floor).length > 0);
  return short ? 1 : 0;
}

async function one(scenario: Scenario, count: number, seed: number, talk: boolean): Promise<Outcome> {
  const say = (text: string): void => void (talk && process.stderr.write(text));
  const tty = process.stderr.isTTY;
  say(`${scenario.name.padEnd(14)}`);
  let shown = 0;
  const progress = (done: number): void => {
    if (!tty && done * 10 < (shown + 1) * count) return;
    shown = Math.floor((done * 10) / count);
    say(tty ? `\r${scenario.name.padEnd(14)} ${done} of ${count}` : '.');
  };
  const outcome = await perform(scenario, { count, seed, commit: commit(), progress });
  say(`${tty ? `\r${scenario.name.padEnd(14)}` : ''} ${summaryOf(outcome)}\n`);
  for (const why of shortcomings(outcome, scenario.floor).slice(0, 8)) say(`    ✗ ${why}\n`);
  return outcome;
}

function choose(names: readonly string[] | undefined): readonly Scenario[] {
  const unknown = names?.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown !== undefined) throw new Error(`no scenario ${unknown}`);
  return SCENARIOS.filter((scenario) => names?.includes(scenario.name) ?? true);
}

/** The scenarios of this run, and what an earlier one has of the others. */
function merged(run: BatteryRun, file: string | undefined): BatteryRun {
  if (file === undefined) return run;
  const earlier: BatteryRun = JSON.parse(readFileSync(file, 'utf8'));
  const all = SCENARIOS.flatMap(({ name }) => {
    const found = run.outcomes.find((o) => o.scenario === name) ?? earlier.outcomes.find((o) => o.scenario === name);
    return found === undefined ? [] : [found];
  });
  return { ...run, outcomes: all };
}

function writeReadme(run: BatteryRun): void {
  const file = join(ROOT, 'README.md');
  const text = readFileSync(file, 'utf8');
  if (!README_TABLE.test(text)) throw new Error('the README has no marks for the table');
  writeFileSync(
    file,
    text.replace(README_TABLE, (_, begin: string, end: string) => `${begin}${costTable(run, SCENARIOS)}\n${end}`),
  );
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=12'], {
      cwd: ROOT,
      encoding: 'utf8',
    }).trim();
  } catch {
    return 'unknown';
  }
}

/** The checkout, from build/bench/bench/ where this runs. */
const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const RAW = join(ROOT, 'bench/results/battery.json');
const NOTHING: Outcome = {
  scenario: '',
  seed: 0,
  happenings: [],
  totals: undefined,
  failures: [],
  commit: '',
  load: '',
};

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    process.stderr.write(`battery: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  },
);
