import { setTimeout as delay } from 'node:timers/promises';
import { monotonicClock } from '../../../src/base/clock.ts';
import type { Site } from '../../../src/demo/rig.ts';
import { killDaemon, type LinkedRig, mtuFound, upLink } from '../../../src/demo/linked-rig.ts';
import { sniff } from '../../../src/demo/sniff.ts';
import { controlOf, type Field, type Scenario, until, withTraffic } from '../scenario.ts';

/** `kill -9` of either end by turns, and a restart half a second later; a sniffer watches the outer path. */
export const CRASH: Scenario = {
  name: 'crash',
  title: 'crash: kill -9 of either end; from its restart until traffic flows both ways',
  count: 20,
  few: 2,
  floor: { tookMs: 3000 },
  promise: '≤ 3 s, nothing in the clear',
  run: async ({ count, progress }) => {
    const linked = await upLink();
    await mtuFound(linked);
    const wire = await sniff(linked.rig);
    let inTheClear = 0;
    const findings = await withTraffic(Promise.resolve(linked), { tcp: false }, async (field) => {
      const { berlin, paris } = linked.rig;
      for (let i = 0; i < count; i++) {
        await once(field, i % 2 === 0 ? berlin : paris);
        progress(i + 1);
      }
      const { bytes, clear } = await wire.stop();
      inTheClear = clear.length;
      if (bytes.length < 100_000) field.fail('the sniffer saw no traffic at all');
    });
    return { ...findings, inTheClear };
  },
};

async function once(field: Field, victim: Site): Promise<void> {
  const { linked } = field;
  await killDaemon(linked.link, victim);
  await delay(500);
  await field.traffic.lap();
  // How long a busy machine takes to start a program is its own affair: what counts begins when the daemon answers.
  const started = linked.link.dtunnel(victim, ['up', victim.name, '--no-wait'], { timeoutMs: 30_000 });
  const answers = async (): Promise<boolean> => {
    try {
      return (await controlOf(linked, victim).hello()).tunnel === victim.name;
    } catch {
      return false;
    }
  };
  if ((await until(answers, 30_000)) === undefined) field.fail(`${victim.name} did not come back`);
  const readyAt = monotonicClock();
  await delay(3500);
  const { gapEndedAt, gapMs, lost } = await field.traffic.lap();
  await started;
  field.note({ kind: victim.name, tookMs: Math.max(0, gapEndedAt - readyAt), lost });
  if (gapMs > 3500 && gapEndedAt > readyAt + 3400)
    field.fail(`no traffic within 3.5 s of the restart of ${victim.name}`);
  if (!(await flows(linked, field))) field.fail(`the link is not up after the restart of ${victim.name}`);
}

async function flows({ rig }: LinkedRig, field: Field): Promise<boolean> {
  const states = await Promise.all([rig.berlin, rig.paris].map(async (here) => (await field.peer(here))?.state));
  return states.every((state) => state === 'up');
}
