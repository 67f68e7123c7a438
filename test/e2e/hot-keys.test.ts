import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { controlOf } from '../../bench/battery/scenario.ts';
import { INTERFACE } from '../../src/config/interface-keys.ts';
import type { KeyInfo } from '../../src/config/key.ts';
import { PEER } from '../../src/config/peer-keys.ts';
import { lostOf } from '../../src/demo/measure.ts';
import { type Case, Look, type Stage, STAGES, type Step, type World } from './hot-key-cases.ts';
import { amidTraffic, mtuFound, UNABLE, upLink } from './support.ts';

const HOT: Readonly<Record<'interface' | 'peer', ReadonlyMap<string, KeyInfo>>> = {
  interface: hotKeys(Object.values(INTERFACE)),
  peer: hotKeys(Object.values(PEER)),
};

function hotKeys(infos: readonly KeyInfo[]): ReadonlyMap<string, KeyInfo> {
  return new Map(infos.filter((info) => info.hot).map((info) => [info.name, info]));
}

describe('the table of hot keys', () => {
  it.each(['interface', 'peer'] as const)('of %s is tested whole', (section) => {
    const tested = STAGES.flatMap(({ steps }) => steps.flatMap((step) => step[section] ?? []));
    expect(new Set(tested.map(({ key }) => key))).toEqual(new Set(HOT[section].keys()));
  });
});

describe.skipIf(UNABLE !== undefined)('a reload under traffic both ways', () => {
  let world: World;
  beforeAll(async () => {
    const linked = await upLink();
    try {
      const next = await linked.link.dtunnel(linked.rig.paris, ['keygen', 'next', '--json']);
      const nextFingerprint = String(JSON.parse(next.stdout).fingerprint);
      world = { ...linked, nextFingerprint, client: (here) => controlOf(linked, here) };
      await mtuFound(linked);
    } catch (error) {
      await linked.rig.close();
      throw error;
    }
  });
  afterAll(async () => {
    await world?.rig.close();
  });

  it.each(STAGES.map((stage) => [stage.title, stage] as const))(
    'changes %s, and changes it back',
    async (_, { steps, costs }) => {
      const { result, intact } = await amidTraffic(world, () => thereAndBack(steps), { bulk: costs !== 'packets' });
      for (const { duplicated, corrupted, reordered } of [result.fromBerlin, result.fromParis]) {
        expect({ duplicated, corrupted }).toEqual({ duplicated: 0, corrupted: 0 });
        if (costs === undefined) expect(reordered).toBe(0);
      }
      if (costs === 'packets') expect(lostOf(result)).toBeGreaterThan(0);
      else expect([lostOf(result), intact]).toEqual([0, true]);
    },
  );

  it('keeps what is to run when the tunnel goes down', async () => {
    const { rig, link } = world;
    link.configure(rig.paris, { interface: { OnDown: '/usr/bin/touch /run/on-down' } });
    await world.client(rig.paris).reload({ plan: false, revert: false });
    await link.dtunnel(rig.paris, ['down', 'paris']);
    expect(await new Look(rig.paris, world).run('ls /run/on-down')).not.toBe('');
  });

  async function thereAndBack(steps: Stage['steps']): Promise<void> {
    for (const step of steps) await change(step);
    for (const step of steps.toReversed()) await changeBack(step);
  }

  async function change(step: Step): Promise<void> {
    const { rig, link } = world;
    const here = rig[step.at];
    const values = (cases: readonly Case[] = []): Record<string, string> =>
      Object.fromEntries(cases.map(({ key, value }) => [key, typeof value === 'string' ? value : value(world)]));
    if (step.prepare !== undefined) await new Look(here, world).run(step.prepare);
    link.configure(here, { interface: values(step.interface), peer: values(step.peer) });
    const reply = await world.client(here).reload({ plan: false, revert: false });
    const wanted = casesOf(step).map(({ key }) => [key, true]);
    expect(reply.changes.map(({ key, hitless }) => [key, hitless])).toEqual(expect.arrayContaining(wanted));
    await settle(step, true);
  }

  async function changeBack(step: Step): Promise<void> {
    const { rig, link } = world;
    const here = rig[step.at];
    await world.client(here).reload({ plan: false, revert: true });
    await settle(step, false);
    link.configure(here);
    expect((await world.client(here).reload({ plan: true, revert: false })).changes).toEqual([]);
  }

  /** Fresh keys where a key waits for them; then every case is to be seen, or not any more. */
  async function settle(step: Step, there: boolean): Promise<void> {
    const here = world.rig[step.at];
    const look = new Look(here, world);
    const noted = (['interface', 'peer'] as const).flatMap((section) =>
      (step[section] ?? []).map(({ key }) => HOT[section].get(key)?.note),
    );
    if (noted.includes('next handshake')) await world.client(here).rekey(undefined);
    for (const { key, seen, stays } of casesOf(step)) {
      if (typeof seen !== 'function' || (stays === true && !there)) continue;
      // Fresh keys wait while a peer has six associations, of which former ones go within a minute
      // (MAX_ASSOCIATIONS_PER_PEER, src/tunnel/retirement.ts).
      const until = performance.now() + 75_000;
      while ((await seen(look)) !== there) {
        if (performance.now() > until) throw new Error(`${key} of ${here.name} ${there ? 'is not seen' : 'stays'}`);
        await delay(50);
      }
    }
  }
});

function casesOf({ interface: ofInterface = [], peer = [] }: Step): readonly Case[] {
  return [...ofInterface, ...peer];
}
