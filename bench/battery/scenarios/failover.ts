import { setTimeout as delay } from 'node:timers/promises';
import type { Tool } from '../../../src/demo/tools.ts';
import { type LinkedRig, prepareLink, upBoth } from '../../../src/demo/linked-rig.ts';
import { type Field, RELAY_ADDRESS, relayToBerlin, type Scenario, until, withTraffic } from '../scenario.ts';

/** The endpoint in use falls silent while a standby is warm; later it answers again. */
export const FAILOVER: Scenario = {
  name: 'failover',
  title: 'failover: the endpoint in use is blackholed, a standby is warm; and back',
  count: 100,
  few: 2,
  floor: { gapP99Ms: 1500, gapMs: 3000 },
  promise: 'p99 ≤ 1.5 s, nothing lost going back',
  run: ({ count, seed, progress }) => {
    let first: Tool | undefined;
    const make = async (): Promise<LinkedRig> => {
      const linked = await prepareLink();
      const { rig, link } = linked;
      first = await relayToBerlin(linked, 4501, seed);
      await relayToBerlin(linked, 4502, seed + 1);
      const Endpoint = `${RELAY_ADDRESS}:4501, ${RELAY_ADDRESS}:4502`;
      link.configure(rig.paris, { peer: { Endpoint, Failback: '1s' } });
      await upBoth(linked);
      return linked;
    };
    return withTraffic(make(), {}, async (field) => {
      for (let i = 0; i < count; i++) {
        await delay(1500); // The standby association warms up again.
        if (first !== undefined) await once(field, first);
        progress(i + 1);
      }
    });
  },
};

async function once(field: Field, first: Tool): Promise<void> {
  const { paris } = field.linked.rig;
  const uses = (port: number) => async (): Promise<boolean> => (await field.peer(paris))?.endpoint?.port === port;
  await field.traffic.lap();
  first.tell({ do: 'impair', toTarget: { loss: 1 }, toClient: { loss: 1 } });
  if ((await until(uses(4502), 10_000)) === undefined) field.fail('it did not go to the standby');
  await delay(1000);
  const outage = await field.traffic.lap();
  field.note({ kind: 'over', gapMs: outage.gapMs, lost: outage.lost });
  first.tell({ do: 'impair', toTarget: {}, toClient: {} });
  if ((await until(uses(4501), 30_000)) === undefined) field.fail('it did not go back');
  await delay(300);
  const back = await field.traffic.lap();
  field.note({ kind: 'back', lost: back.lost });
  if (back.lost > 0) field.fail(`${back.lost} lost going back`);
}
