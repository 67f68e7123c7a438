/** Metrics as text, in the Prometheus text format 0.0.4 and in OpenMetrics 1.0. */

/** Kinds of metric that we expose. */
export type MetricKind = 'counter' | 'gauge' | 'histogram';

/** One value; the label named `le` marks a histogram's bucket. */
export interface Sample {
  /** Only where it differs from the family's: `…_bucket`, `…_sum`, `…_count`. */
  readonly name?: string;
  /** Those that are undefined or empty are left out. */
  readonly labels: Readonly<Partial<Record<string, string | number>>>;
  readonly value: number;
}

/** All samples of one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly kind: MetricKind;
  readonly samples: readonly Sample[];
}

/** Families, made as they are asked for: of thousands of peers one is large enough. */
export type Families = Iterable<Family> | AsyncIterable<Family>;

/** The two formats. */
export type ExpositionFormat = 'text' | 'openmetrics';

/** Content types by format. */
export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** The format a scraper asks for with its Accept header; text unless OpenMetrics is named and not refused. */
export function negotiate(accept: string | undefined): ExpositionFormat {
  const wanted = accept?.split(',').find((part) => part.trim().startsWith('application/openmetrics-text'));
  return wanted === undefined || /;\s*q=0(?:\.0*)?\s*(?:;|$)/.test(wanted) ? 'text' : 'openmetrics';
}

/** `families` as one document. Families without samples are left out: a metric that is not known is absent. */
export async function writeExposition(families: Families, format: ExpositionFormat): Promise<string> {
  const texts: string[] = [];
  for await (const family of families) if (family.samples.length > 0) texts.push(familyText(family, format));
  if (format === 'openmetrics') texts.push('# EOF\n');
  return texts.join('');
}

function familyText(family: Family, format: ExpositionFormat): string {
  // OpenMetrics 1.0 §5.1: the family of a counter has no suffix, its samples have.
  const isOpenCounter = format === 'openmetrics' && family.kind === 'counter';
  const name = isOpenCounter ? family.name.replace(/_total$/, '') : family.name;
  const sampleName = isOpenCounter ? `${name}_total` : family.name;
  const lines = [`# HELP ${name} ${escapeHelp(family.help, format)}`, `# TYPE ${name} ${family.kind}`];
  for (const sample of family.samples) {
    lines.push(`${sample.name ?? sampleName}${labelText(sample.labels)} ${numberText(sample.value)}`);
  }
  lines.push('');
  return lines.join('\n');
}

function labelText(labels: Sample['labels']): string {
  let text = '';
  for (const name in labels) {
    const value = labels[name];
    // An empty label is the same as none, and shorter without.
    if (value === undefined || value === '') continue;
    text += `${text === '' ? '{' : ','}${name}="${escapeLabel(String(value))}"`;
  }
  return text === '' ? '' : `${text}}`;
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n') : value;
}

function escapeHelp(help: string, format: ExpositionFormat): string {
  const escaped = help.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
  return format === 'openmetrics' ? escaped.replace(/"/g, '\\"') : escaped;
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}
