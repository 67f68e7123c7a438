import { setTimeout as delay } from 'node:timers/promises';
import { monotonicClock } from '../../../src/base/clock.ts';
import { transfer } from '../../../src/demo/measure.ts';
import type { Tool } from '../../../src/demo/tools.ts';
import { type LinkedRig, mtuFound, prepareLink, upBoth, upLink } from '../../../src/demo/linked-rig.ts';
import type { Happening } from '../outcome.ts';
import {
  type Field,
  type Findings,
  RELAY_ADDRESS,
  relayToBerlin,
  type Scenario,
  until,
  withTraffic,
} from '../scenario.ts';

/** The path carries less without a word, then still less, then all again. */
export const PATH_MTU: Scenario = {
  name: 'path-mtu',
  title: 'path MTU 1500 → 1280 → 576 → 1500, ICMP blocked; until a TCP flow moves again',
  count: 10,
  few: 1,
  floor: { tookMs: 5000 },
  promise: 'TCP recovers ≤ 5 s; 1500 found again ≤ 60 s',
  run: ({ count, seed, progress }) => {
    let relay: Tool | undefined;
    const make = async (): Promise<LinkedRig> => {
      const linked = await prepareLink();
      relay = await relayToBerlin(linked, 4500, seed);
      linked.link.configure(linked.rig.paris, { peer: { Endpoint: `${RELAY_ADDRESS}:4500` } });
      await upBoth(linked);
      return linked;
    };
    return withTraffic(make(), { tcp: false }, async (field) => {
      for (let i = 0; i < count; i++) {
        for (const mtu of [1280, 576]) if (relay !== undefined) await narrow(field, relay, mtu);
        if (relay !== undefined) await widen(field, relay);
        progress(i + 1);
      }
    });
  },
};

/** A TCP transfer under way meets the narrower path. */
async function narrow(field: Field, relay: Tool, mtu: number): Promise<void> {
  const { rig } = field.linked;
  const bulk = transfer(rig, rig.berlin, { family: 4, amount: { seconds: 5 }, port: 5210 });
  await delay(1000);
  const quality = { maxPayload: mtu - 28 };
  relay.tell({ do: 'impair', toTarget: quality, toClient: quality });
  const { intact, longestStallMs } = await bulk;
  if (!intact) field.fail(`TCP damaged at ${mtu}`);
  field.note({ kind: `${mtu}`, tookMs: longestStallMs });
  const found = (await field.peer(rig.berlin))?.path?.mtuBytes ?? 0;
  if (found > mtu) field.fail(`a path of ${mtu} is taken for one of ${found}`);
}

async function widen(field: Field, relay: Tool): Promise<void> {
  const { berlin } = field.linked.rig;
  relay.tell({ do: 'impair', toTarget: {}, toClient: {} });
  const whole = async (): Promise<boolean> => (await field.peer(berlin))?.path?.mtuBytes === 1500;
  const tookMs = await until(whole, 60_000);
  if (tookMs === undefined) field.fail('1500 was not found again within 60 s');
  else field.note({ kind: 'up again' });
}

/** Link MTUs of clouds and access networks: a download works at once, with no setting for it. */
export const CLOUD_MTUS: Scenario = {
  name: 'cloud-mtus',
  title: `link MTUs ${'1400, 1442, 1450, 1460, 1492, 1500, 8896, 9001'}, nothing configured: a first 100 MB download`,
  count: 100,
  few: 2,
  floor: { tookMs: 60_000 },
  promise: 'works',
  run: async ({ count, progress }) => {
    const happenings: Happening[] = [];
    const failures: string[] = [];
    for (const [i, mtu] of MTUS.entries()) {
      const one = await download(mtu, count * 1_000_000);
      happenings.push(...one.happenings);
      failures.push(...one.failures);
      progress(Math.ceil(((i + 1) * count) / MTUS.length));
    }
    return { happenings, failures, totals: undefined };
  },
};

const MTUS = [1400, 1442, 1450, 1460, 1492, 1500, 8896, 9001];

async function download(mtu: number, bytes: number): Promise<Pick<Findings, 'happenings' | 'failures'>> {
  const linked = await upLink({ rig: { mtu } });
  const { rig } = linked;
  try {
    const began = monotonicClock();
    const { intact } = await transfer(rig, rig.berlin, { family: 4, amount: { bytes } });
    const tookMs = monotonicClock() - began;
    await mtuFound(linked, mtu);
    return { happenings: [{ kind: `${mtu}`, tookMs }], failures: intact ? [] : [`damaged at ${mtu}`] };
  } catch (error) {
    return { happenings: [], failures: [`${mtu}: ${error instanceof Error ? error.message : String(error)}`] };
  } finally {
    await rig.close();
  }
}
