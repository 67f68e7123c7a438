import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cloud } from '../cloud/cloud.ts';
import type { Instance } from '../cloud/instance.ts';
import { farEnd, flow, GATEWAY, section } from './far-end.ts';

/** Two gateways in front of one network: whatever Heat does to one, the other carries the traffic. */
const cloud = new Cloud('pair');
/** A host behind both members, and the far end. */
const HOST = '10.1.0.7';
const PARIS = '172.31.0.9';
const MEMBERS = ['172.31.0.1', '172.31.0.2'];
let paris: Instance;

const parameters = {
  ...GATEWAY,
  tunnel_name: 'pair',
  tunnel_address_a: `${MEMBERS[0]}/32`,
  tunnel_address_b: `${MEMBERS[1]}/32`,
  peer_name: 'paris',
  peer_address: '198.18.0.201',
  remote_subnets: `${PARIS}/32`,
  drain_timeout: 20,
  peer_fingerprint: '',
};

beforeAll(async () => {
  await cloud.start();
  paris = await cloud.machine('paris', 201);
});
afterAll(() => cloud.stop());

/** The members in the order of their creation. */
function members(): readonly Instance[] {
  return cloud.running().map(({ instance }) => instance);
}

/** Where resources of the stack reached a state, in the order in which they did. */
async function order(state: string): Promise<readonly string[]> {
  const events = await cloud.heat.events('pair');
  return events
    .filter(({ resource, status }) => resource.startsWith('member_') && status === state)
    .map((e) => e.resource);
}

describe('a pair', () => {
  it('is made of two members on different hosts, one after the other', async () => {
    parameters.peer_fingerprint = await farEnd(paris, 'paris', `${PARIS}/32`, []);
    await cloud.heat.create('pair', 'ha-pair.yaml', parameters, 10);
    const { outputs } = await cloud.heat.wait('pair', 'CREATE_COMPLETE');
    const fingerprints = outputs['fingerprints'] as readonly string[];
    expect(new Set(fingerprints).size).toBe(2);
    expect(outputs).toMatchObject({ tunnel_addresses: MEMBERS.map((address) => `${address}/32`) });
    const [group] = cloud.standIns.rows('server_groups');
    expect(group).toMatchObject({ policies: ['anti-affinity'] });
    expect(cloud.running().map(({ server }) => server.group)).toEqual([group?.id, group?.id]);
    expect(await order('CREATE_COMPLETE')).toEqual(['member_a', 'member_b']);

    // The far end prefers the second, which is the first to go at the end.
    const peers = fingerprints.map((fingerprint, i) =>
      section(`m${i}`, fingerprint, undefined, `${MEMBERS[i]}/32, 10.1.0.0/16\nPriority = ${20 - i}`),
    );
    await farEnd(paris, 'paris', `${PARIS}/32`, peers);
    const up = await paris.run(['dtunnel', 'status', 'paris', '--wait', '--timeout', '50s']);
    expect(up.status, up.output).toBe(0);
    for (const member of members()) await member.run(['ip', 'address', 'add', `${HOST}/32`, 'dev', 'lo']);
  });

  it('takes an UPDATE one member at a time, without losing a packet', async () => {
    const flowing = await flow(paris, members(), HOST);
    await cloud.heat.update('pair', 'ha-pair.yaml', { ...parameters, mtu: '1400' });
    await cloud.heat.wait('pair', 'UPDATE_COMPLETE');
    const { sent, lost } = await flowing.finish();
    expect(sent).toBeGreaterThan(100);
    expect(lost).toBe(0);
    const states = (await cloud.heat.events('pair')).filter(
      ({ resource, status }) => resource.startsWith('member_') && status.startsWith('UPDATE_'),
    );
    expect(states.map(({ resource, status }) => `${resource} ${status}`)).toEqual([
      'member_a UPDATE_IN_PROGRESS',
      'member_a UPDATE_COMPLETE',
      'member_b UPDATE_IN_PROGRESS',
      'member_b UPDATE_COMPLETE',
    ]);
    for (const member of members()) {
      expect((await member.run(['cat', '/etc/dtunnel/pair.conf'])).stdout).toContain('MTU         = 1400');
    }
  });

  it('is deleted one member at a time, and the one that is left takes over without losing a packet', async () => {
    const [first, second] = members();
    const flowing = await flow(paris, members(), HOST);
    await cloud.heat.delete('pair');
    await cloud.heat.wait('pair', 'DELETE_COMPLETE');
    const { gaps } = await flowing.finish();
    // What came back last came back from the member that was left.
    expect(gaps).toBe(0);
    expect(second?.console).toContain('drain: drained, sessions left: 0');
    expect(first?.console).toMatch(/drain: (drained|timeout)/);
    const log = await paris.run(['dtunnel', 'logs', 'paris']);
    expect(log.stdout).toMatch(/peer\.(degraded|closed)[\s\S]*draining/);
    expect(cloud.standIns.rows('server_groups')).toEqual([]);
  });
});
