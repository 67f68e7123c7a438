import { type BatteryRun, type Floor, type Outcome, quantile, round, shortcomings, valuesOf } from './outcome.ts';

/** What the table needs to know of a scenario. */
export interface Described {
  readonly name: string;
  readonly title: string;
  readonly floor: Floor;
  readonly promise: string;
}

/** The table with its marks in the README: what stands before it, and after it. */
export const README_TABLE = /(<!-- battery:begin[^>]*-->\n)[\s\S]*?(<!-- battery:end -->)/;

/** What every scenario cost, as the README shows it. */
export function costTable(run: BatteryRun, scenarios: readonly Described[]): string {
  const rows = scenarios.flatMap((scenario) => {
    const outcome = run.outcomes.find((one) => one.scenario === scenario.name);
    return outcome === undefined ? [] : [row(scenario, outcome)];
  });
  const { machine } = run;
  const head = ['what happens', 'times', 'floor', 'measured', ''];
  const about =
    `${machine.cpu}, ${machine.cores} cores for both ends and the load, Linux ${machine.kernel}, Node ${machine.node}, ` +
    `${machine.date.slice(0, 10)}; load when a row began ${loads(run)}; commits ${commits(run)}.`;
  return `${aligned([head, ...rows])}\n\n${about}`;
}

/** The least and the most: the machine may have had other work. */
function loads({ outcomes }: BatteryRun): string {
  const values = outcomes.map((one) => Number(one.load.split(' ')[0])).sort((a, b) => a - b);
  return `${Math.round(values[0] ?? 0)} to ${Math.round(values.at(-1) ?? 0)}`;
}

/** A table may be put together from several runs. */
function commits({ outcomes }: BatteryRun): string {
  return [...new Set(outcomes.map((one) => one.commit.slice(0, 7)))].join(', ');
}

/** One line about an outcome. */
export function summaryOf(outcome: Outcome): string {
  if (outcome.skipped !== undefined) return `not run: ${outcome.skipped}`;
  return measured(outcome);
}

function row(scenario: Described, outcome: Outcome): readonly string[] {
  if (outcome.skipped !== undefined) return [scenario.title, '–', scenario.promise, `not run: ${outcome.skipped}`, ''];
  const holds = shortcomings(outcome, scenario.floor).length === 0;
  return [scenario.title, String(outcome.happenings.length), scenario.promise, measured(outcome), holds ? '✓' : '✗'];
}

function measured({ totals, happenings, inTheClear, failures }: Outcome): string {
  const gaps = valuesOf(happenings, 'gapMs');
  const took = valuesOf(happenings, 'tookMs');
  const parts: string[] = [];
  if (totals !== undefined) {
    const { sent, lost, duplicated, reordered, corrupted } = totals;
    parts.push(`${lost} of ${sent} lost`);
    if (duplicated + reordered + corrupted > 0) {
      parts.push(`${duplicated} twice, ${reordered} out of order, ${corrupted} damaged`);
    }
    if (totals.tcp !== undefined) parts.push(totals.tcp.intact ? 'TCP intact' : 'TCP damaged');
  }
  if (gaps.length > 0) parts.push(`gap ${spread(gaps)}`);
  if (took.length > 0) parts.push(`took ${spread(took)}`);
  if (inTheClear !== undefined) parts.push(`${inTheClear} packets in the clear`);
  if (failures.length > 0) parts.push(`${failures.length} failures`);
  return parts.join(', ');
}

/** Median, 99th percentile and maximum. */
function spread(values: readonly number[]): string {
  const at = (share: number): string => round(quantile(values, share) ?? 0);
  return `${at(0.5)} / ${at(0.99)} / ${at(1)} ms`;
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0))) ?? [];
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (cells[i] ?? '').padEnd(width)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}
