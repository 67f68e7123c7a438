import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Impairment } from '../../src/demo/impairment.ts';
import { type ConfigChanges, PORT } from '../../src/demo/link.ts';
import { firstPing, lostOf, ping, TwoWayFlow, transfer } from '../../src/demo/measure.ts';
import type { Site } from '../../src/demo/rig.ts';
import { startTool, type Tool } from '../../src/demo/tools.ts';
import {
  killDaemon,
  type LinkedRig,
  metricOf,
  prepareLink,
  settledHostState,
  sniff,
  statusOf,
  timeToPing,
  UNABLE,
  upBoth,
  upLink,
} from './support.ts';

/**
 * Situations that WireGuard's public self-test in network namespaces walks through, put to this program in its own words:
 * addresses that change, devices and routes that go and come back, translators that forget, a default route, a loop.
 */
const opened: LinkedRig[] = [];
afterEach(async () => {
  for (const linked of opened.splice(0)) await linked.rig.close();
});

async function linkUp(...options: Parameters<typeof upLink>): Promise<LinkedRig> {
  const linked = await upLink(...options);
  opened.push(linked);
  return linked;
}

async function ip({ rig }: LinkedRig, here: Site, ...commands: readonly string[]): Promise<void> {
  for (const command of commands) await rig.enclosure.run(['ip', '-n', here.gateway, ...command.split(' ')]);
}

describe.skipIf(UNABLE !== undefined)('as in netns.sh', () => {
  it('roaming: an end whose address changes goes on within a second', async () => {
    const linked = await linkUp();
    const { rig } = linked;
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 200 });
    flow.start();
    await delay(300);
    await ip(
      linked,
      rig.paris,
      'addr add 198.51.100.77/24 dev wan0',
      'addr del 198.51.100.20/24 dev wan0',
      // Removing the first address of a network takes the others along unless the kernel is told to promote them.
      'addr replace 198.51.100.77/24 dev wan0',
      'route replace default via 198.51.100.1',
    );
    await delay(2000);
    const result = await flow.finish();
    expect(Math.max(result.fromParis.longestGapMs, result.fromBerlin.longestGapMs)).toBeLessThan(1500);
    expect((await statusOf(linked.link, rig.berlin)).peers[0].endpoint.address).toBe('198.51.100.77');
  });

  it('translator: a mapping that moves to another port is followed within a second', async () => {
    const { linked, relay } = await linkUpThroughRelay({});
    const { rig } = linked;
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 200 });
    flow.start();
    await delay(300);
    relay.tell({ do: 'rebind' });
    await delay(2000);
    const result = await flow.finish();
    await relay.close();
    expect(Math.max(result.fromParis.longestGapMs, result.fromBerlin.longestGapMs)).toBeLessThan(1500);
  });

  it('device down and up: the outer device and its route vanish and come back', async () => {
    const linked = await linkUp();
    const { rig } = linked;
    await ip(linked, rig.paris, 'link set wan0 down');
    expect((await ping(rig.enclosure, rig.paris.host, rig.berlin.host4, { waitMs: 300 })).received).toBe(0);
    await ip(linked, rig.paris, 'link set wan0 up', 'route replace default via 198.51.100.1');
    expect(await timeToPing(rig, rig.paris, 10_000)).toBeLessThan(3000);
  });

  it('dead route: a route to the far end that leads nowhere, and then does', async () => {
    const linked = await linkUp();
    const { rig } = linked;
    await ip(linked, rig.paris, `route add blackhole ${rig.berlin.public4}/32`);
    expect((await ping(rig.enclosure, rig.paris.host, rig.berlin.host4, { waitMs: 300 })).received).toBe(0);
    await ip(linked, rig.paris, `route del blackhole ${rig.berlin.public4}/32`);
    expect(await timeToPing(rig, rig.paris, 10_000)).toBeLessThan(3000);
  });

  it('routing loop: the way to the far end leads into the tunnel itself, costs little and ends with the loop', async () => {
    const linked = await linkUp();
    const { rig, link } = linked;
    const { pid } = (await statusOf(link, rig.paris)).tunnel;
    await ip(linked, rig.paris, `route add ${rig.berlin.public4}/32 dev dt-paris`);
    const before = await cpuSeconds(linked, pid);
    await ping(rig.enclosure, rig.paris.host, rig.berlin.host4, { count: 20, intervalMs: 50, waitMs: 300 });
    await delay(1000);
    expect((await cpuSeconds(linked, pid)) - before).toBeLessThan(1);
    await ip(linked, rig.paris, `route del ${rig.berlin.public4}/32 dev dt-paris`);
    expect(await timeToPing(rig, rig.paris, 15_000)).toBeLessThan(12_000);
  });

  it('default route: everything goes through the tunnel but the tunnel itself, and all is put back', async () => {
    const linked = await linkUp();
    const { rig } = linked;
    const state = await settledHostState(linked, rig.paris);
    await restart(linked, rig.paris, { peer: { AllowedIPs: '0.0.0.0/0, ::/0' } });
    // Berlin's public address is where the tunnel's own datagrams go, and everybody else's go through the tunnel.
    expect(await firstPing(rig.enclosure, rig.paris.host, rig.berlin.public4, 10_000)).toBeDefined();
    const wire = await sniff(rig);
    const { received } = await ping(rig.enclosure, rig.paris.host, rig.berlin.public4, { count: 5, intervalMs: 20 });
    const report = await transfer(rig, rig.paris, { family: 6, amount: { bytes: 5_000_000 } });
    expect([received, report.intact, (await wire.stop()).clear]).toEqual([5, true, []]);
    await restart(linked, rig.paris, {});
    expect(await timeToPing(rig, rig.paris, 10_000)).toBeLessThan(5000);
    expect(await settledHostState(linked, rig.paris)).toBe(state);
  });

  it('default route: kill -9 of the daemon, its restart and other marks by reload let nothing out in the clear', async () => {
    const everything = { peer: { AllowedIPs: '0.0.0.0/0, ::/0' } };
    const linked = await linkUp({ paris: everything });
    const { rig, link } = linked;
    // What is not for the tunnel's far end would go out by the ordinary default route.
    const wire = await sniff(rig);
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 200 });
    flow.start();
    await delay(300);
    for (const FwMark of ['0x77', '0x78', undefined, '0x77', undefined]) {
      link.configure(rig.paris, { ...everything, ...(FwMark === undefined ? {} : { interface: { FwMark } }) });
      const { stdout } = await link.dtunnel(rig.paris, ['reload', 'paris']);
      expect(stdout).toContain('0 packets dropped');
    }
    await delay(300);
    expect(lostOf(await flow.finish())).toBe(0);
    const rules = await rig.enclosure.run(['ip', '-n', rig.paris.gateway, 'rule']);
    const pings = rig.enclosure.start(
      [
        'sh',
        '-c',
        `while :; do ping -n -c 1 -W 0.1 ${rig.berlin.host4}; ping -n -c 1 -W 0.1 ${rig.berlin.host6}; done`,
      ],
      { netns: rig.paris.host, stdio: 'ignore' },
    );
    await killDaemon(link, rig.paris);
    await delay(500);
    await link.dtunnel(rig.paris, ['up', 'paris', '--no-wait']);
    expect(await timeToPing(rig, rig.paris, 10_000)).toBeLessThan(5000);
    if (pings.pid !== undefined) process.kill(-pings.pid, 'SIGKILL');
    expect((await rig.enclosure.run(['ip', '-n', rig.paris.gateway, 'rule'])).stdout).toBe(rules.stdout);
    expect((await wire.stop()).clear).toEqual([]);
    await link.dtunnel(rig.paris, ['down', 'paris']);
    expect((await rig.enclosure.run(['ip', '-n', rig.paris.gateway, 'rule'])).stdout).not.toContain('fwmark');
  });

  it('key change: a new key and certificate at one end, both allowed at the other, cut nothing off', async () => {
    const { rig, link } = await linkUp();
    await link.dtunnel(rig.paris, ['keygen', 'next']);
    const fingerprint = (await link.dtunnel(rig.paris, ['fingerprint', '/run/sites/next.crt'])).stdout.trim();
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 200 });
    flow.start();
    link.configure(rig.berlin, { peer: { Fingerprint: `${link.fingerprint(rig.paris)}, ${fingerprint}` } });
    await link.dtunnel(rig.berlin, ['reload', 'berlin']);
    link.configure(rig.paris, { interface: { Certificate: '/run/sites/next.crt', PrivateKey: '/run/sites/next.key' } });
    await link.dtunnel(rig.paris, ['reload', 'paris']);
    await link.dtunnel(rig.paris, ['rekey', 'paris']);
    await delay(700);
    link.configure(rig.berlin, { peer: { Fingerprint: fingerprint } });
    await link.dtunnel(rig.berlin, ['reload', 'berlin']);
    await delay(500);
    expect(lostOf(await flow.finish())).toBe(0);
    const [peer] = (await statusOf(link, rig.berlin)).peers;
    expect([peer.state, peer.fingerprint]).toEqual(['up', fingerprint]);
  });

  it('wrong key: a stranger with the right address is refused before a byte of payload moves', async () => {
    const linked = await linkUp();
    const { rig, link } = linked;
    await link.dtunnel(rig.paris, ['keygen', 'stranger']);
    await restart(linked, rig.paris, {
      interface: { Certificate: '/run/sites/stranger.crt', PrivateKey: '/run/sites/stranger.key' },
    });
    const { received } = await ping(rig.enclosure, rig.paris.host, rig.berlin.host4, {
      count: 30,
      intervalMs: 50,
      waitMs: 300,
    });
    expect(received).toBe(0);
    expect(await metricOf(link, rig.berlin, 'dtunnel_handshake_failures_total', 'unknown_fingerprint')).toBeGreaterThan(
      0,
    );
    expect((await statusOf(link, rig.paris)).peers[0].state).not.toBe('up');
  });
});

describe.skipIf(UNABLE !== undefined)('over a bad path', () => {
  it.each([
    ['10 % loss', { loss: 0.1, delayMs: 5 }],
    ['every tenth datagram late', { reorder: { share: 0.1, byMs: 8 }, delayMs: 2 }],
    ['every datagram twice', { duplicate: 1 }],
    ['one in fifty damaged', { corrupt: 0.02 }],
    ['bursts of loss', { burst: { enter: 0.01, leave: 0.2, loss: 1 }, delayMs: 5 }],
  ] as const)('%s: nothing is damaged or repeated inside, and TCP gets through', async (_, impairment) => {
    const { linked, relay } = await linkUpThroughRelay(impairment);
    const { rig, link } = linked;
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 400, size: 300 });
    const bulk = transfer(rig, rig.berlin, { family: 6, amount: { bytes: 300_000 }, port: 5210 });
    flow.start();
    expect((await bulk).intact).toBe(true);
    await delay(500);
    const result = await flow.finish();
    await relay.close();
    for (const direction of [result.fromBerlin, result.fromParis]) {
      expect(direction).toMatchObject({ corrupted: 0, duplicated: 0, foreign: 0 });
      expect(direction.received).toBeGreaterThan(direction.sent * 0.7);
    }
    expect((await statusOf(link, rig.paris)).peers[0].state).toMatch(/^(up|degraded)$/);
  });
});

/** Stops the daemon at `here` and starts it with another configuration. */
async function restart({ link }: LinkedRig, here: Site, changes: ConfigChanges): Promise<void> {
  link.configure(here, changes);
  await link.dtunnel(here, ['down', here.name]);
  await link.dtunnel(here, ['up', here.name, '--no-wait']);
}

/** A link over a relay in the internet that treats both directions as `impairment` says. */
async function linkUpThroughRelay(impairment: Impairment): Promise<{ linked: LinkedRig; relay: Tool }> {
  const linked = await prepareLink();
  opened.push(linked);
  const { rig, link } = linked;
  const relay = await startTool(rig.enclosure, rig.internet ?? '', {
    tool: 'relay',
    listen: { address: '203.0.113.1', port: 4500 },
    target: { address: rig.berlin.public4, port: PORT },
    seed: 5,
    toTarget: impairment,
    toClient: impairment,
  });
  link.configure(rig.paris, { peer: { Endpoint: '203.0.113.1:4500' } });
  await upBoth(linked);
  return { linked, relay };
}

async function cpuSeconds({ rig }: LinkedRig, pid: number): Promise<number> {
  const { stdout } = await rig.enclosure.run(['cat', `/proc/${pid}/stat`]);
  const fields = stdout.slice(stdout.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
