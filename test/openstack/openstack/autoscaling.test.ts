import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cloud } from '../cloud/cloud.ts';
import type { Stack } from '../cloud/heat.ts';
import type { Instance } from '../cloud/instance.ts';
import type { ServerRecord } from '../cloud/stand-ins.ts';
import { farEnd, flow, GATEWAY, type Losses, section } from './far-end.ts';

const cloud = new Cloud('autoscaling');
let paris: Instance;

beforeAll(async () => {
  await cloud.start();
  paris = await cloud.machine('paris', 201);
});
afterAll(() => cloud.stop());

/** How long a policy may take, ms: seconds on a machine of one's own, minutes on one that others share. */
const PATIENCE = 600_000;

/** Inner address of Paris, in the prefix that members take theirs from. */
const PARIS = 'fd64:7475:6e00::1/128';

describe('a group', () => {
  const parameters = {
    ...GATEWAY,
    group_min: 2,
    cooldown: 0,
    pause_time: 1,
    tunnel_name: 'member',
    peer_name: 'paris',
    peer_fingerprint: '',
    peer_address: '198.18.0.201',
    remote_subnets: PARIS,
  };
  let names: readonly string[] = [];

  /** Traffic from Paris to every member that runs. */
  async function flows(): Promise<readonly Flow[]> {
    return Promise.all(
      cloud.running().map(async ({ server, instance }) => {
        const { stdout } = await instance.run(['sed', '-n', 's/^Address *= //p', '/etc/dtunnel/member.conf']);
        const flowing = await flow(paris, instance, stdout.trim().replace('/128', ''));
        return { server, instance, finish: () => flowing.finish() };
      }),
    );
  }

  /** Does what an alarm would, until as many servers run. */
  async function scale(policy: string, members: number): Promise<void> {
    await cloud.heat.signalResource('group', policy);
    const end = Date.now() + PATIENCE;
    while (cloud.running().length !== members && Date.now() < end) await delay(500);
    expect(cloud.running()).toHaveLength(members);
  }

  /** Outputs of the stack once the step of every member has ended. */
  async function settled(members: number): Promise<Stack['outputs']> {
    for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
      const outputs = (await cloud.heat.show('group'))?.outputs ?? {};
      const prints = [...byMember(outputs['fingerprints']).values()].filter((print) => /^[0-9a-f:]{95}$/.test(print));
      if (prints.length === members && outputs['members'] === members) return outputs;
      await delay(500);
    }
    throw new Error(`group does not settle at ${members}`);
  }

  it('has members with keys and inner addresses of their own', async () => {
    parameters.peer_fingerprint = await farEnd(paris, 'paris', PARIS, []);
    await cloud.heat.create('group', 'autoscaling.yaml', parameters, 10);
    await cloud.heat.wait('group', 'CREATE_COMPLETE');
    expect(cloud.running()).toHaveLength(2);
    await scale('scale_out', 3);
    const outputs = await settled(3);
    const fingerprints = byMember(outputs['fingerprints']);
    const addresses = byMember(outputs['tunnel_addresses']);
    names = [...fingerprints.keys()];
    expect(new Set(fingerprints.values()).size).toBe(3);
    expect(new Set(addresses.values()).size).toBe(3);

    // The far side learns of the members from the outputs, as its automation would.
    const peers = [...fingerprints].map(([name, print]) => section(name, print, undefined, addresses.get(name) ?? ''));
    await farEnd(paris, 'paris', PARIS, peers);
    const up = await paris.run(['dtunnel', 'status', 'paris', '--wait', '--timeout', '50s']);
    expect(up.status, up.output).toBe(0);
  });

  it('drains the member that goes when it shrinks, and nobody else notices', async () => {
    const members = await flows();
    await scale('scale_in', 2);
    const lost = new Map<string, number>();
    for (const { server, finish } of members) lost.set(server.id, (await finish()).lost);

    const left = cloud.running();
    expect(left).toHaveLength(2);
    for (const { server, instance } of left) {
      expect(lost.get(server.id)).toBe(0);
      expect(instance.console).not.toContain('drain:');
    }
    const victim = members.find(({ server }) => server.status === 'DELETED');
    expect(victim?.instance.console).toMatch(/dtunnel lifecycle DELETE member: drain: (drained|timeout)/);
  });

  it('is updated one member at a time, keeps its size, and loses no packet', async () => {
    const members = await flows();
    await settled(2);
    const update = { ...parameters, group_min: 1, mtu: '1400' };
    await cloud.heat.update('group', 'autoscaling.yaml', update);
    await cloud.heat.wait('group', 'UPDATE_COMPLETE');
    for (const { instance, finish } of members) {
      const { sent, lost } = await finish();
      expect(sent).toBeGreaterThan(100);
      expect(lost).toBe(0);
      expect((await instance.run(['cat', '/etc/dtunnel/member.conf'])).stdout).toContain('MTU         = 1400');
    }
    expect(cloud.running().map(({ server }) => server.id)).toEqual(members.map(({ server }) => server.id));

    // Heat updates the stack of every member with every batch; only in that of the batch is there something to do.
    const steps = (await cloud.heat.events('group'))
      .filter(({ resource, status }) => resource === 'lifecycle' && status.startsWith('UPDATE_'))
      .map(({ stack, status }) => ({ member: names.find((name) => stack.includes(name)) ?? stack, status }));
    const story = steps.map(({ member, status }) => `${member} ${status}`).join('\n');
    expect(new Set(steps.map(({ member }) => member)).size, story).toBe(2);
    let busy: string | undefined;
    for (const { member, status } of steps) {
      if (busy !== undefined) expect(member, story).toBe(busy);
      busy = status === 'UPDATE_IN_PROGRESS' ? member : undefined;
    }
  });
});

/** Traffic to a member, until it is counted. */
interface Flow {
  readonly server: ServerRecord;
  readonly instance: Instance;
  readonly finish: () => Promise<Losses>;
}

/** An output of the group: a value for each member, by its name. */
function byMember(output: unknown): ReadonlyMap<string, string> {
  return new Map(Object.entries(output ?? {}).map(([name, value]) => [name, String(value)]));
}
