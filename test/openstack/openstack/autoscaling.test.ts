import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cloud } from '../cloud/cloud.ts';
import type { Instance } from '../cloud/instance.ts';
import { farEnd, GATEWAY, losses, section } from './far-end.ts';

const cloud = new Cloud();
let paris: Instance;

beforeAll(async () => {
  await cloud.start();
  paris = await cloud.machine('paris', 201);
});
afterAll(() => cloud.stop());

/** Inner address of Paris, in the prefix that members take theirs from. */
const PARIS = 'fd64:7475:6e00::1/128';

it('a group that shrinks drains the member that goes, and nobody else notices', async () => {
  const parameters = {
    ...GATEWAY,
    group_size: 3,
    cooldown: 0,
    tunnel_name: 'member',
    peer_name: 'paris',
    peer_fingerprint: await farEnd(paris, 'paris', PARIS, []),
    peer_address: paris.address,
    remote_subnets: PARIS,
  };
  await cloud.heat.create('group', 'autoscaling.yaml', parameters, 10);
  const { outputs } = await cloud.heat.wait('group', 'CREATE_COMPLETE', 600_000);
  const fingerprints = byMember(outputs['fingerprints']);
  const addresses = byMember(outputs['tunnel_addresses']);
  expect(new Set(fingerprints.values()).size).toBe(3);
  expect(new Set(addresses.values()).size).toBe(3);

  // The far side learns of the members from the outputs, as its automation would.
  const peers = [...fingerprints].map(([name, print]) => section(name, print, undefined, addresses.get(name) ?? ''));
  await farEnd(paris, 'paris', PARIS, peers);
  const up = await paris.run(['dtunnel', 'status', 'paris', '--wait', '--timeout', '50s']);
  expect(up.status, up.output).toBe(0);

  const members = await Promise.all(
    cloud.running().map(async ({ server, instance }) => {
      const { stdout } = await instance.run(['sed', '-n', 's/^Address *= //p', '/etc/dtunnel/member.conf']);
      return { server, instance, flow: losses(paris, instance, stdout.trim().replace('/128', ''), 3000) };
    }),
  );
  await delay(2_000);
  await cloud.heat.signalResource('group', 'scale_in');
  const counts = await Promise.all(members.map(async ({ server, flow }) => [server.id, await flow] as const));
  const stack = await cloud.heat.waitEnd('group', 'UPDATE').catch(() => undefined);
  expect(stack?.status ?? 'UPDATE_COMPLETE').toMatch(/COMPLETE$/);

  const left = cloud.running();
  expect(left).toHaveLength(2);
  const lost = new Map(counts.map(([id, count]) => [id, count.lost]));
  for (const { server, instance } of left) {
    expect(lost.get(server.id)).toBe(0);
    expect(instance.console).not.toContain('drain:');
  }
  const victim = members.find(({ server }) => server.status === 'DELETED');
  expect(victim?.instance.console).toMatch(/dtunnel lifecycle DELETE member: drain: (drained|timeout)/);
});

/** An output of the group: a value for each member, by its name. */
function byMember(output: unknown): ReadonlyMap<string, string> {
  return new Map(Object.entries(output ?? {}).map(([name, value]) => [name, String(value)]));
}
