import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../repo/source-files.ts';

/** A PromQL expression of a shipped file, and where it stands. */
export interface Expression {
  readonly where: string;
  readonly expr: string;
}

/** A panel of the dashboard, as much of it as the tests look at. */
export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[];
}

/** The dashboard file, as much of it as the tests look at. */
export interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr?: string }[] };
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
}

/** The folder with scrape example, rules and their unit tests. */
export const PROMETHEUS = join(ROOT, 'config/prometheus');

/** The dashboard as Grafana would import it. */
export function dashboard(): Dashboard {
  return JSON.parse(readFileSync(join(ROOT, 'config/grafana/dtunnel.json'), 'utf8'));
}

/** Every expression of the dashboard, panels and annotations, with Grafana's variables filled in as for "All". */
export function dashboardExpressions(): readonly Expression[] {
  const { panels, annotations } = dashboard();
  return [
    ...panels.flatMap((p) => (p.targets ?? []).map((t, i) => ({ where: `panel ${p.title} #${i + 1}`, expr: t.expr }))),
    ...annotations.list.flatMap((a) => (a.expr === undefined ? [] : [{ where: `annotation ${a.name}`, expr: a.expr }])),
  ].map(({ where, expr }) => ({ where, expr: fillIn(expr) }));
}

/** A Grafana expression as Prometheus gets it: one minute for each interval, `.*` for each variable. */
export function fillIn(expr: string): string {
  return expr.replaceAll(/\$__(rate_interval|interval|range)\b/g, '1m').replaceAll(/\$\w+/g, '.*');
}

/** One rule of the alert file: the record or alert name and its expression (block scalars folded). */
export function ruleExpressions(): readonly Expression[] {
  const text = readFileSync(join(PROMETHEUS, 'dtunnel.rules.yml'), 'utf8');
  const rules = text.split(/\n {6}- (?=alert:|record:)/).slice(1);
  return rules.map((rule) => {
    const name = /^(?:alert|record): (\S+)/.exec(rule)?.[1] ?? 'unnamed';
    const [, inline = '', block = ''] = /\n {8}expr: (?!>-)(.+)|\n {8}expr: >-\n((?: {10}.*\n)+)/.exec(rule) ?? [];
    return { where: name, expr: (inline === '' ? block : inline).replaceAll(/\s+/g, ' ').trim() };
  });
}

/** Names of the metrics an expression reads, histogram suffixes removed. */
export function metricsIn(expr: string): readonly string[] {
  const names = [...expr.matchAll(/(?<![\w:])(dtunnel_\w+)/g)].map((m) =>
    (m[1] ?? '').replace(/_(bucket|sum|count)$/, ''),
  );
  return [...new Set(names)];
}
