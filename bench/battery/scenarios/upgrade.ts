import { setTimeout as delay } from 'node:timers/promises';
import { upLink } from '../../../src/demo/linked-rig.ts';
import { type Scenario, withTraffic } from '../scenario.ts';

/** A new process takes over tunnel, sockets and keys. */
export const UPGRADE: Scenario = {
  name: 'upgrade',
  title: 'upgrade: `dtunnel upgrade` at either end by turns',
  count: 20,
  few: 2,
  floor: { lost: 0, reordered: 0, gapMs: 200 },
  promise: '0 lost, gap ≤ 200 ms',
  run: async ({ count, progress }) => {
    let missing = false;
    const findings = await withTraffic(upLink(), {}, async (field) => {
      const { rig, link } = field.linked;
      for (let i = 0; i < count && !missing; i++) {
        const here = i % 2 === 0 ? rig.berlin : rig.paris;
        const { pid } = (await field.status(here)).tunnel;
        await field.traffic.lap();
        const done = await link.dtunnel(here, ['upgrade', here.name], { failureOk: true, timeoutMs: 60_000 });
        // Wrong usage (exit 2): this dtunnel has no such command.
        missing = done.code === 2;
        if (missing) return;
        await delay(500);
        const { gapMs, lost } = await field.traffic.lap();
        field.note({ kind: here.name, gapMs, lost });
        if (done.code !== 0) field.fail(`${here.name}: exit ${done.code}: ${done.stderr.trim() || done.stdout.trim()}`);
        else if ((await field.status(here)).tunnel.pid === pid) field.fail(`${here.name} is still process ${pid}`);
        progress(i + 1);
      }
    });
    if (!missing) return findings;
    return { happenings: [], totals: undefined, failures: [], skipped: 'this dtunnel has no command upgrade' };
  },
};
