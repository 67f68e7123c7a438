import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, lacks } from '../support/command.ts';
import { dashboard, dashboardExpressions, metricsIn, type Panel } from './expressions.ts';

/** The rows of the dashboard, in order. */
const ROWS = ['Overview', 'Peers', 'Traffic', 'Path quality', 'Handshakes and keys', 'Defence', 'Engine', 'Operations'];

const board = dashboard();
const panels = board.panels.filter((panel) => panel.type !== 'row');

describe('dashboard', () => {
  it('has the promised rows and variables', () => {
    expect(board.panels.filter((panel) => panel.type === 'row').map((panel) => panel.title)).toEqual(ROWS);
    expect(board.templating.list.map((v) => v.name)).toEqual(['datasource', 'job', 'tunnel', 'peer']);
  });

  it('marks reloads, failovers and rekeys', () => {
    expect(board.annotations.list.map((a) => a.name)).toEqual(
      expect.arrayContaining(['Reloads', 'Failovers', 'Rekeys']),
    );
  });

  it('asks only the data source that its variable names', () => {
    for (const panel of panels) {
      expect(panel.datasource?.uid, panel.title).toBe('$datasource');
      for (const target of panel.targets ?? []) expect(target.datasource.uid, panel.title).toBe('$datasource');
    }
  });

  it('explains every panel and asks it something', () => {
    for (const panel of panels) {
      expect(panel.description ?? '', panel.title).toMatch(/\w.*[.]$/);
      expect((panel.targets ?? []).length, panel.title).toBeGreaterThan(0);
    }
  });

  it('gives every panel an id of its own and a place where no other lies', () => {
    expect(new Set(board.panels.map((p) => p.id)).size).toBe(board.panels.length);
    const overlap = (a: Panel['gridPos'], b: Panel['gridPos']) =>
      a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
    for (const [i, a] of board.panels.entries()) {
      expect(a.gridPos.x + a.gridPos.w, a.title).toBeLessThanOrEqual(24);
      for (const b of board.panels.slice(i + 1)) {
        expect(overlap(a.gridPos, b.gridPos), `${a.title} over ${b.title}`).toBe(false);
      }
    }
  });

  it('filters every series by the variables it can have', () => {
    for (const panel of panels) {
      for (const { expr } of panel.targets ?? []) {
        for (const [, selector = ''] of expr.matchAll(/\w+\{([^}]*)\}/g)) {
          expect(selector, `${panel.title}: ${expr}`).toContain('job=~"$job"');
        }
        for (const name of metricsIn(expr)) expect(expr, panel.title).toMatch(new RegExp(`${name}\\w*\\{`));
      }
    }
  });
});

describe.skipIf(lacks('dashboard expressions', { promtool: 'prometheus' }))('expressions', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dtunnel-dashboard-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('all parse', async () => {
    // promtool reads rule files: each expression becomes a recording rule with a name of its own.
    const rules = dashboardExpressions().map(({ where, expr }, i) => ({
      record: `dashboard:expression:${i}`,
      expr,
      labels: { where },
    }));
    expect(rules.length).toBeGreaterThan(60);
    const file = join(folder, 'dashboard.rules.yml');
    await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    const { status, output } = await command('promtool', ['check', 'rules', file]);
    expect(status, output).toBe(0);
  });
});
