import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { PORT } from '../../../src/demo/link.ts';
import type { Tool } from '../../../src/demo/tools.ts';
import { type LinkedRig, prepareLink, upBoth, upLink } from '../../../src/demo/linked-rig.ts';
import { blackhole, RELAY_ADDRESS, relayToBerlin, type Scenario, until, withTraffic } from '../scenario.ts';

/** The uplink of Paris goes down, and a second one with a default route of its own is there. */
export const UPLINK: Scenario = {
  name: 'uplink',
  title: 'the uplink in use goes down, the default route moves to another, and back',
  count: 20,
  few: 2,
  floor: { gapMs: 2000 },
  promise: '≤ 2 s',
  run: ({ count, progress }) =>
    withTraffic(upLink(), {}, async (field) => {
      const { rig } = field.linked;
      const run = (script: string) => rig.enclosure.run(['sh', '-eu'], { input: script });
      const gateway = `ip -n ${rig.paris.gateway}`;
      await run(`
        ${gateway} link add wan1 type veth peer name paris1 netns ${rig.internet}
        ${gateway} addr add 192.0.2.20/24 dev wan1
        ${gateway} link set wan1 up
        ip -n ${rig.internet} addr add 192.0.2.1/24 dev paris1
        ip -n ${rig.internet} link set paris1 up
      `);
      await delay(500);
      for (let i = 0; i < count; i++) {
        await field.traffic.lap();
        if (i % 2 === 0)
          await run(`${gateway} link set wan0 down; ${gateway} route replace default via 192.0.2.1 dev wan1`);
        else {
          await run(`${gateway} link set wan0 up; ${gateway} route replace default via 198.51.100.1 dev wan0
            ${gateway} link set wan1 down; ${gateway} link set wan1 up`);
        }
        await delay(2500);
        const { gapMs, lost } = await field.traffic.lap();
        field.note({ kind: i % 2 === 0 ? 'down' : 'back', gapMs, lost });
        progress(i + 1);
      }
    }),
};

/** Both families lead to Berlin under one name; the one in use stops carrying anything. */
export const FAMILIES: Scenario = {
  name: 'families',
  title: 'IPv6 dies silently, IPv4 lives (one name, both addresses)',
  count: 10,
  few: 1,
  floor: { gapMs: 3000 },
  promise: '≤ 3 s',
  run: ({ count, progress }) => {
    const make = async (): Promise<LinkedRig> => {
      const linked = await prepareLink();
      const { rig, link } = linked;
      await nameBerlin(linked, [rig.berlin.public6, rig.berlin.public4]);
      link.configure(rig.paris, { peer: { Endpoint: `${NAME}:${PORT}`, DeadAfter: '2s' } });
      await upBoth(linked);
      return linked;
    };
    return withTraffic(make(), {}, async (field) => {
      const { rig } = field.linked;
      for (let i = 0; i < count; i++) {
        const address = (await field.peer(rig.paris))?.endpoint?.address ?? '';
        const six = address.includes(':');
        await field.traffic.lap();
        await blackhole(field.linked, six ? rig.berlin.public6 : rig.berlin.public4, true);
        await delay(3500);
        const { gapMs, lost } = await field.traffic.lap();
        field.note({ kind: six ? 'IPv6 dies' : 'IPv4 dies', gapMs, lost });
        await blackhole(field.linked, six ? rig.berlin.public6 : rig.berlin.public4, false);
        await delay(1500);
        progress(i + 1);
      }
    });
  },
};

/** The name of the endpoint moves to another address, and the old one falls silent. */
export const NAMES: Scenario = {
  name: 'dns',
  title: 'the name of the endpoint moves to another address, the old one falls silent',
  count: 10,
  few: 1,
  floor: { gapMs: 10_000 },
  promise: '≤ DeadAfter (10 s)',
  run: ({ count, seed, progress }) => {
    const relays: Tool[] = [];
    const make = async (): Promise<LinkedRig> => {
      const linked = await prepareLink();
      const { rig, link } = linked;
      await rig.enclosure.run(['ip', '-n', rig.internet ?? '', 'addr', 'add', `${OTHER}/24`, 'dev', 'berlin0']);
      relays.push(await relayToBerlin(linked, 4500, seed), await relayToBerlin(linked, 4500, seed, OTHER));
      await nameBerlin(linked, [RELAY_ADDRESS]);
      link.configure(rig.paris, { peer: { Endpoint: `${NAME}:4500` } });
      await upBoth(linked);
      return linked;
    };
    return withTraffic(make(), {}, async (field) => {
      const { rig } = field.linked;
      for (let i = 0; i < count; i++) {
        const [from, to] = i % 2 === 0 ? [0, 1] : [1, 0];
        await field.traffic.lap();
        await nameBerlin(field.linked, [to === 0 ? RELAY_ADDRESS : OTHER]);
        relays[from]?.tell({ do: 'impair', toTarget: { loss: 1 }, toClient: { loss: 1 } });
        const moved = async (): Promise<boolean> =>
          (await field.peer(rig.paris))?.endpoint?.address === (to === 0 ? RELAY_ADDRESS : OTHER);
        if ((await until(moved, 15_000)) === undefined) field.fail('it did not follow the name within 15 s');
        await delay(500);
        const { gapMs, lost } = await field.traffic.lap();
        field.note({ kind: 'moved', gapMs, lost });
        relays[from]?.tell({ do: 'impair', toTarget: {}, toClient: {} });
        await delay(5000); // Names are asked for again this often at most.
        progress(i + 1);
      }
    });
  },
};

const NAME = 'berlin.example.net';
const OTHER = '203.0.113.2';

/** The hosts file of the enclosure says where Berlin is (its mounts are private). */
async function nameBerlin({ rig }: LinkedRig, addresses: readonly string[]): Promise<void> {
  const file = rig.enclosure.path('/run/hosts');
  writeFileSync(file, `127.0.0.1 localhost\n${addresses.map((address) => `${address} ${NAME}\n`).join('')}`);
  await rig.enclosure.run([
    'sh',
    '-c',
    'grep -q " /etc/hosts " /proc/self/mounts || mount --bind /run/hosts /etc/hosts',
  ]);
}
