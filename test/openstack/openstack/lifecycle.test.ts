import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cloud } from '../cloud/cloud.ts';
import type { Instance } from '../cloud/instance.ts';
import { farEnd, flow, GATEWAY, losses, section, transfer } from './far-end.ts';

/** Real Heat takes real daemons through every step of a stack's life while traffic flows. */
const cloud = new Cloud('lifecycle');
/** What a peer's log says when this side has told it that it goes. */
const TOLD = /peer\.(degraded|closed).*(draining|closed)/;
let paris: Instance;

/** The only gateway that there is at the moment. */
function gateway(): Instance {
  const { instance } = cloud.running()[0] ?? {};
  if (instance === undefined) throw new Error('no instance');
  return instance;
}

beforeAll(async () => {
  await cloud.start();
  paris = await cloud.machine('paris', 201);
});
afterAll(() => cloud.stop());

describe('a gateway', () => {
  let fingerprint = '';
  let address = '';
  const parameters = { ...GATEWAY, tunnel_name: 'berlin', tunnel_address: '172.31.0.1/30' };
  const peer = { peer_name: 'paris', peer_fingerprint: '', remote_subnets: '172.31.0.2/32,10.2.0.0/16' };

  it('is complete when it listens, and tells what the other side needs', async () => {
    await cloud.heat.create('berlin', 'gateway.yaml', parameters);
    const { outputs } = await cloud.heat.wait('berlin', 'CREATE_COMPLETE');
    expect(outputs).toMatchObject({
      fingerprint: expect.stringMatching(/^([0-9a-f]{2}:){31}[0-9a-f]{2}$/),
      tunnel_address: '172.31.0.1/30',
      version: expect.stringMatching(/^dtunnel \d/),
      // Nobody to talk to so far.
      tunnel_state: expect.stringMatching(/^(up|down)$/),
    });
    fingerprint = String(outputs['fingerprint']);
    address = String(outputs['inside_address']);
    expect(outputs['peer_section']).toContain(`Fingerprint = ${fingerprint}\n`);
  });

  it('asked Neutron for what a gateway needs', () => {
    const [port] = cloud.standIns.rows('ports');
    expect(port).toMatchObject({ allowed_address_pairs: [] });
    const rules = cloud.standIns.rows('security_group_rules');
    expect(rules).toContainEqual(
      expect.objectContaining({ protocol: 'udp', port_range_min: '4433', port_range_max: '4433' }),
    );
    expect(cloud.standIns.rows('floatingips')).toMatchObject([{ port_id: port?.id, floating_network_id: 'public' }]);
  });

  it('never sends its key anywhere', async () => {
    const instance = gateway();
    const key = (await instance.run(['cat', '/etc/dtunnel/berlin.key'])).stdout;
    const secret = key.split('\n')[1] ?? '';
    expect(secret).toMatch(/^[A-Za-z0-9+/=]{32,}$/);
    expect(`${instance.console}${cloud.services.log('heat', 100_000)}`).not.toContain(secret);
  });

  it('is linked by an UPDATE that brings the peer', async () => {
    peer.peer_fingerprint = await farEnd(paris, 'paris', '172.31.0.2/30', [
      section('berlin', fingerprint, `${address}:4433`, '172.31.0.1/32, 10.1.0.0/16'),
    ]);
    await cloud.heat.update('berlin', 'gateway.yaml', { ...parameters, ...peer, wait_for_peer: true });
    const { outputs } = await cloud.heat.wait('berlin', 'UPDATE_COMPLETE');
    expect(outputs).toMatchObject({ fingerprint, tunnel_state: 'up' });
    expect((await losses(paris, gateway(), '172.31.0.1', 1)).lost).toBe(0);
    expect(cloud.standIns.routes()).toEqual([
      { destination: '172.31.0.2/32', nexthop: address },
      { destination: '10.2.0.0/16', nexthop: address },
    ]);
    expect(cloud.standIns.rows('ports')[0]?.['allowed_address_pairs']).toMatchObject([
      { ip_address: '172.31.0.2/32' },
      { ip_address: '10.2.0.0/16' },
    ]);
  });

  it('takes another peer by an UPDATE without losing a packet', async () => {
    const more = section('lyon', 'ab'.repeat(32), undefined, '10.3.0.0/16');
    const flowing = await flow(paris, gateway(), '172.31.0.1');
    await cloud.heat.update('berlin', 'gateway.yaml', { ...parameters, ...peer, more_peers: more });
    await cloud.heat.wait('berlin', 'UPDATE_COMPLETE');
    const { sent, lost } = await flowing.finish();
    expect(sent).toBeGreaterThan(100);
    expect(lost).toBe(0);
    const status = await gateway().run(['dtunnel', 'status', 'berlin', '--json']);
    const { peers }: { peers: { name: string }[] } = JSON.parse(status.stdout);
    expect(peers.map(({ name }) => name).toSorted()).toEqual(['lyon', 'paris']);
  });

  it('drains for SUSPEND, and the server is suspended after that', async () => {
    cloud.standIns.changes.length = 0;
    await cloud.heat.act('berlin', 'suspend');
    const { outputs } = await cloud.heat.wait('berlin', 'SUSPEND_COMPLETE');
    expect(outputs).toMatchObject({ drain_result: 'drained', sessions_left: '0', tunnel_state: 'stopped' });
    expect(cloud.standIns.changes).toEqual(['suspend servers']);
    const { sent, lost } = await losses(paris, gateway(), '172.31.0.1', 1);
    expect(lost).toBe(sent);
  });

  it('comes back with RESUME', async () => {
    await cloud.heat.act('berlin', 'resume');
    const { outputs } = await cloud.heat.wait('berlin', 'RESUME_COMPLETE');
    expect(outputs).toMatchObject({ fingerprint });
    expect((await paris.run(['dtunnel', 'status', 'paris', '--wait', '--timeout', '50s'])).status).toBe(0);
    expect((await losses(paris, gateway(), '172.31.0.1', 1)).lost).toBe(0);
  });

  it('finishes a transfer before it is deleted, tells its peer, and only then gives everything back', async () => {
    cloud.standIns.changes.length = 0;
    const instance = gateway();
    const download = await transfer(instance, '172.31.0.1', paris, { megabytes: 8, seconds: 8 });
    const changedBefore = download.received.then(() => cloud.standIns.changes.length);
    await cloud.heat.delete('berlin');
    await cloud.heat.wait('berlin', 'DELETE_COMPLETE');
    expect(await download.received).toBe(8_000_000);
    expect(await changedBefore).toBe(0);
    const given = ['DELETE servers', 'DELETE floatingips', 'DELETE ports', 'remove_extraroutes routers'];
    expect(cloud.standIns.changes).toEqual(expect.arrayContaining(given));
    const log = await paris.run(['dtunnel', 'logs', 'paris']);
    expect(log.stdout).toMatch(TOLD);
    expect(cloud.running()).toEqual([]);
    expect(cloud.standIns.routes()).toEqual([]);
  });
});

describe('a drain', () => {
  it('ends at its deadline, and says how many sessions it cut', async () => {
    await cloud.heat.create('busy', 'gateway.yaml', {
      ...GATEWAY,
      tunnel_name: 'busy',
      tunnel_address: '172.31.1.1/30',
      drain_timeout: 2,
    });
    const { outputs } = await cloud.heat.wait('busy', 'CREATE_COMPLETE');
    const lyon = await cloud.machine('lyon', 202);
    const peer_fingerprint = await farEnd(lyon, 'lyon', '172.31.1.2/30', [
      section('busy', String(outputs['fingerprint']), `${String(outputs['inside_address'])}:4433`, '172.31.1.1/32'),
    ]);
    const parameters = { peer_name: 'lyon', peer_fingerprint, remote_subnets: '172.31.1.2/32', wait_for_peer: true };
    await cloud.heat.update('busy', 'gateway.yaml', {
      ...GATEWAY,
      tunnel_name: 'busy',
      tunnel_address: '172.31.1.1/30',
      drain_timeout: 2,
      ...parameters,
    });
    await cloud.heat.wait('busy', 'UPDATE_COMPLETE');
    const endless = await flow(lyon, gateway(), '172.31.1.1');
    await cloud.heat.act('busy', 'suspend');
    const suspended = await cloud.heat.wait('busy', 'SUSPEND_COMPLETE');
    expect(suspended.outputs).toMatchObject({ drain_result: 'timeout', sessions_left: '1' });
    await endless.finish();
    await cloud.heat.delete('busy');
    await cloud.heat.wait('busy', 'DELETE_COMPLETE');
  });

  it('is what SIGTERM does to a gateway that is deleted outside Heat', async () => {
    const madrid = await cloud.machine('madrid', 203);
    const rome = await cloud.machine('rome', 204);
    const ours = await farEnd(madrid, 'madrid', '172.31.2.2/30', []);
    const theirs = await farEnd(rome, 'rome', '172.31.2.1/30', [
      section('madrid', ours, '198.18.0.203:4433', '172.31.2.2/32'),
    ]);
    await farEnd(madrid, 'madrid', '172.31.2.2/30', [section('rome', theirs, undefined, '172.31.2.1/32')]);
    expect((await rome.run(['dtunnel', 'status', 'rome', '--wait', '--timeout', '50s'])).status).toBe(0);
    const status = await madrid.run(['dtunnel', 'status', 'madrid', '--json']);
    const { tunnel }: { tunnel: { pid: number } } = JSON.parse(status.stdout);
    const log = `/proc/${tunnel.pid}`;
    await madrid.run(['sh', '-c', `kill -TERM ${tunnel.pid}; while [ -e ${log} ]; do sleep 0.1; done`]);
    expect((await rome.run(['dtunnel', 'logs', 'rome'])).stdout).toMatch(TOLD);
  });
});

describe('a CREATE that cannot work', () => {
  it('shows its reason in Heat', async () => {
    const more = '[Peer]\nFingerprint = ab:cd\nAllowedIPs = 10.9.0.0/16';
    await cloud.heat.create('broken', 'gateway.yaml', { ...GATEWAY, tunnel_name: 'broken', more_peers: more });
    const { status, reason } = await cloud.heat.waitEnd('broken', 'CREATE');
    expect(status).toBe('CREATE_FAILED');
    expect(reason).toMatch(/configuration refused: .*fingerprint/);
    await cloud.heat.delete('broken');
    await cloud.heat.wait('broken', 'DELETE_COMPLETE');
  });

  it('ends when its time is over on an image without agents', async () => {
    cloud.withoutAgents = true;
    await cloud.heat.create('silent', 'gateway.yaml', { ...GATEWAY, tunnel_name: 'silent' }, 1);
    const { status, reason } = await cloud.heat.waitEnd('silent', 'CREATE');
    cloud.withoutAgents = false;
    expect({ status, reason }).toMatchObject({ status: 'CREATE_FAILED', reason: expect.stringMatching(/timed out/i) });
  });
});
