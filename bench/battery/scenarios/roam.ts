import { setTimeout as delay } from 'node:timers/promises';
import { type LinkedRig, prepareLink, upBoth } from '../../../src/demo/linked-rig.ts';
import type { Tool } from '../../../src/demo/tools.ts';
import { Choice, type Field, RELAY_ADDRESS, relayToBerlin, type Scenario, withTraffic } from '../scenario.ts';

/** Where Berlin sees Paris come from changes: its NAT takes another port or address, or its own address changes. */
export const ROAM: Scenario = {
  name: 'roam',
  title: 'roam: the NAT of Paris takes another port or address, or Paris itself another address',
  count: 100,
  few: 4,
  floor: { gapMs: 1000 },
  promise: 'traffic again ≤ 1 s',
  run: ({ count, seed, progress }) => {
    let relay: Tool | undefined;
    const make = async (): Promise<LinkedRig> => {
      const linked = await prepareLink();
      const { rig, link } = linked;
      await rig.enclosure.run([
        'ip',
        '-n',
        rig.internet ?? '',
        'addr',
        'add',
        `${OTHER_RELAY_ADDRESS}/24`,
        'dev',
        'berlin0',
      ]);
      relay = await relayToBerlin(linked, 4500, seed);
      link.configure(rig.paris, { peer: { Endpoint: `${RELAY_ADDRESS}:4500` } });
      await upBoth(linked);
      return linked;
    };
    return withTraffic(make(), {}, async (field) => {
      const choice = new Choice(seed);
      for (let i = 0; i < count; i++) {
        await field.traffic.lap();
        const kind = choice.of(['port', 'address', 'own address'] as const);
        if (kind === 'port') relay?.tell({ do: 'rebind' });
        else if (kind === 'address')
          relay?.tell({ do: 'rebind', address: choice.of([RELAY_ADDRESS, OTHER_RELAY_ADDRESS]) });
        else await changeAddress(field, `198.51.100.${30 + (i % 200)}`);
        await delay(700);
        const { gapMs, lost, lostFrom } = await field.traffic.lap();
        field.note({ kind, gapMs, lost });
        if (kind !== 'own address' && lostFrom.paris > 0) field.fail(`${lostFrom.paris} lost upstream: ${kind}`);
        progress(i + 1);
      }
    });
  },
};

const OTHER_RELAY_ADDRESS = '203.0.113.2';

/** As a new lease does: the new address is there before the old one goes. */
async function changeAddress({ linked }: Field, address: string): Promise<void> {
  const { enclosure, paris } = linked.rig;
  const script = [
    `old=$(ip -n ${paris.gateway} -4 -o addr show dev ${paris.wan} | awk '{print $4; exit}')`,
    `ip -n ${paris.gateway} addr add ${address}/24 dev ${paris.wan}`,
    `echo 1 | ip netns exec ${paris.gateway} tee /proc/sys/net/ipv4/conf/${paris.wan}/promote_secondaries >/dev/null`,
    `ip -n ${paris.gateway} addr del $old dev ${paris.wan}`,
    `ip -n ${paris.gateway} route replace default via 198.51.100.1`,
  ];
  await enclosure.run(['sh', '-eu'], { input: `${script.join('\n')}\n` });
}
