import type { ChildProcess } from 'node:child_process';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stop } from '../../src/demo/enclosure.ts';
import { TwoWayFlow } from '../../src/demo/measure.ts';
import { type LinkedRig, UNABLE, upLink } from '../e2e/support.ts';
import { command, lacks } from '../support/command.ts';
import { dashboardExpressions, PROMETHEUS, ruleExpressions } from './expressions.ts';

/** What Prometheus answers to an instant query: a vector of samples, or why there is none. */
interface Answer {
  readonly status: 'success' | 'error';
  readonly error?: string;
  readonly data?: {
    readonly result: readonly { readonly metric: object; readonly value: readonly [number, string] }[];
  };
}

/** Where Prometheus lives in the enclosure, and where it listens in the namespace of Berlin's gateway. */
const FOLDER = '/run/prometheus';
const LISTEN = '127.0.0.1:9090';
const TOKEN = 'scrape-with-this';

/** Where a quiet minute on a healthy link leaves nothing to show: no failover, no overflow, no line held back. */
const QUIET = ['annotation Failovers', 'panel Overflows #2', 'panel Log lines suppressed #1'];

const unable = UNABLE !== undefined || lacks('a real Prometheus', { prometheus: 'prometheus', promtool: 'prometheus' });

describe.skipIf(unable)('a real Prometheus over two real daemons', () => {
  let linked: LinkedRig;
  let server: ChildProcess | undefined;

  beforeAll(async () => {
    linked = await upLink({
      paris: { interface: { Metrics: '0.0.0.0:9469', MetricsToken: TOKEN } },
    });
    const { rig } = linked;
    const folder = rig.enclosure.path(FOLDER);
    mkdirSync(folder);
    copyFileSync(join(PROMETHEUS, 'dtunnel.rules.yml'), join(folder, 'dtunnel.rules.yml'));
    writeFileSync(join(folder, 'prometheus.yml'), configuration(rig.paris.public4));
    const args = [`--config.file=${FOLDER}/prometheus.yml`, `--storage.tsdb.path=${FOLDER}/data`];
    server = rig.enclosure.start(['prometheus', ...args, `--web.listen-address=${LISTEN}`, '--log.level=warn'], {
      netns: rig.berlin.gateway,
      stdio: 'ignore',
    });
    await live();
  });
  afterAll(async () => {
    if (server !== undefined) await stop(server);
    await linked?.rig.close();
  });

  /** Everything an operator does in a year, in half a minute: traffic both ways, a rekey, a reload, time for scrapes. */
  async function live(): Promise<void> {
    const { rig, link } = linked;
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 600 });
    flow.start();
    // Counters must have been seen before they count.
    await delay(6_000);
    await link.dtunnel(rig.berlin, ['rekey', 'berlin']);
    await link.dtunnel(rig.paris, ['reload', 'paris']);
    await delay(10_000);
    await flow.finish();
  }

  /** Asks Prometheus's own interface, from inside the namespace where it listens. */
  async function ask<T>(paths: readonly string[]): Promise<readonly T[]> {
    const program = `
      const answers = [];
      for (const path of JSON.parse(process.argv[1])) answers.push(await (await fetch('http://${LISTEN}' + path)).json());
      console.log(JSON.stringify(answers));`;
    const { stdout } = await linked.rig.enclosure.run(
      [process.execPath, '--input-type=module', '--eval', program, JSON.stringify(paths)],
      { netns: linked.rig.berlin.gateway },
    );
    return JSON.parse(stdout);
  }

  const query = (expr: string) => `/api/v1/query?query=${encodeURIComponent(expr)}`;

  it('scrapes both, one of them with a token', async () => {
    const [up] = await ask<Answer>([query('up{job="dtunnel"}')]);
    expect(up?.data?.result.map(({ value }) => value[1])).toEqual(['1', '1']);
    const [peers] = await ask<Answer>([query('sum(dtunnel_peer_up)')]);
    expect(peers?.data?.result[0]?.value[1]).toBe('2');
  });

  it('gets data for every expression of the dashboard', async () => {
    const expressions = dashboardExpressions();
    const answers = await ask<Answer>(expressions.map(({ expr }) => query(expr)));
    const wrong = expressions.flatMap(({ where, expr }, i) => {
      const answer = answers[i];
      if (answer?.status !== 'success') return [`${where}: ${answer?.error} (${expr})`];
      return answer.data?.result.length === 0 && !QUIET.includes(where) ? [`${where}: no data (${expr})`] : [];
    });
    expect(wrong).toEqual([]);
  });

  it('evaluates every rule without an error, and finds a healthy link healthy', async () => {
    const [answer] = await ask<{
      data: { groups: { rules: { name: string; health: string; lastError?: string }[] }[] };
    }>(['/api/v1/rules']);
    const rules = answer?.data.groups.flatMap((group) => group.rules) ?? [];
    expect(rules.map(({ name }) => name).toSorted()).toEqual(
      ruleExpressions()
        .map(({ where }) => where)
        .toSorted(),
    );
    for (const { name, health, lastError } of rules) expect(health, `${name}: ${lastError}`).toBe('ok');
    const [alerts] = await ask<Answer>([query('ALERTS')]);
    expect(alerts?.data?.result.map(({ metric }) => metric)).toEqual([]);
  });

  it('has what every rule compares', async () => {
    // The left side of each alert is a series; only who compares it with a limit is empty on a healthy link.
    const sides = ruleExpressions().map(({ where, expr }) => ({
      where,
      expr: expr.split(/ (?:[<>]=?|==|unless|or) /)[0] ?? '',
    }));
    const answers = await ask<Answer>(sides.map(({ expr }) => query(expr)));
    // Both sides of this link use the only endpoint there is.
    const wrong = sides.filter(
      ({ where }, i) => answers[i]?.data?.result.length === 0 && where !== 'DtunnelRunningOnStandby',
    );
    expect(wrong).toEqual([]);
  });

  it('accepts the exposition', async () => {
    const { stdout } = await linked.link.dtunnel(linked.rig.berlin, ['metrics', 'berlin']);
    const { status, output } = await command('promtool', ['check', 'metrics'], { stdin: stdout });
    expect(status, output).toBe(0);
  });

  it('sees a peer that went down within two scrapes', async () => {
    await linked.link.dtunnel(linked.rig.paris, ['down', 'paris']);
    await delay(4_000);
    const [alerts] = await ask<Answer>([query('ALERTS{alertname="DtunnelPeerDown"}')]);
    expect(alerts?.data?.result.map(({ metric }) => metric)).toMatchObject([
      { alertstate: 'pending', tunnel: 'berlin', peer: 'paris' },
    ]);
  });
});

/** Scrapes each second what the shipped example scrapes each quarter of a minute, and loads the shipped rules. */
function configuration(paris: string): string {
  return `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [dtunnel.rules.yml]
scrape_configs:
  - job_name: dtunnel
    static_configs: [{targets: ['127.0.0.1:9469']}]
  - job_name: remote
    authorization: {credentials: ${TOKEN}}
    static_configs: [{targets: ['${paris}:9469']}]
    relabel_configs: [{target_label: job, replacement: dtunnel}]
`;
}
