import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { PORT } from '../../src/demo/link.ts';
import { lostOf, ping, TwoWayFlow, transfer } from '../../src/demo/measure.ts';
import { startTool, type Tool } from '../../src/demo/tools.ts';
import { hostState, type LinkedRig, mtuFound, prepareLink, statusOf, timeToPing, UNABLE, upBoth } from './support.ts';

const opened: LinkedRig[] = [];
afterEach(async () => {
  for (const linked of opened.splice(0)) await linked.rig.close();
});

async function closedAfter(making: Promise<LinkedRig>): Promise<LinkedRig> {
  const linked = await making;
  opened.push(linked);
  return linked;
}

/** A relay in the internet that stands for berlin at another address. */
function relayToBerlin({ rig }: LinkedRig, port: number): Promise<Tool> {
  return startTool(rig.enclosure, rig.internet ?? '', {
    tool: 'relay',
    listen: { address: '203.0.113.1', port },
    target: { address: rig.berlin.public4, port: PORT },
    seed: port,
    toTarget: {},
    toClient: {},
  });
}

describe.skipIf(UNABLE !== undefined)('failover', () => {
  it('goes to the second endpoint within 1.5 s when the first falls silent, and back without loss', async () => {
    const linked = await closedAfter(prepareLink());
    const { rig, link } = linked;
    const first = await relayToBerlin(linked, 4501);
    await relayToBerlin(linked, 4502);
    link.configure(rig.paris, { peer: { Endpoint: '203.0.113.1:4501, 203.0.113.1:4502', Failback: '2s' } });
    await upBoth(linked);
    await delay(3000); // The standby association warms up.
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 200 });
    flow.start();
    await delay(500);
    first.tell({ do: 'impair', toTarget: { loss: 1 }, toClient: { loss: 1 } });
    await delay(3000);
    const outage = await flow.finish();
    expect((await statusOf(link, rig.paris)).peers[0].endpoint.port).toBe(4502);
    expect(Math.max(outage.fromBerlin.longestGapMs, outage.fromParis.longestGapMs)).toBeLessThan(1500);

    const back = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 200 });
    back.start();
    first.tell({ do: 'impair', toTarget: {}, toClient: {} });
    for (let tries = 0; tries < 100; tries++) {
      if ((await statusOf(link, rig.paris)).peers[0].endpoint.port === 4501) break;
      await delay(200);
    }
    await delay(500);
    expect((await statusOf(link, rig.paris)).peers[0].endpoint.port).toBe(4501);
    expect(lostOf(await back.finish())).toBe(0);
  });
});

describe.skipIf(UNABLE !== undefined)('path MTU', () => {
  it('is found again when the path silently carries less: no ICMP tells anybody', async () => {
    const linked = await closedAfter(prepareLink());
    const { rig, link } = linked;
    const relay = await relayToBerlin(linked, 4501);
    link.configure(rig.paris, { peer: { Endpoint: '203.0.113.1:4501' } });
    await upBoth(linked);
    await mtuFound(linked);
    const narrow = { maxPayload: 1272 }; // 1300 octets with IPv4 and UDP headers.
    relay.tell({ do: 'impair', toTarget: narrow, toClient: narrow });
    const began = performance.now();
    const report = await transfer(rig, rig.berlin, { family: 4, amount: { bytes: 1_000_000 } });
    expect(report.intact).toBe(true);
    expect(performance.now() - began).toBeLessThan(8000);
    expect((await statusOf(link, rig.berlin)).peers[0].path.mtuBytes).toBeLessThanOrEqual(1300);
    // Hosts are told, or fragment: what they send whole still gets through.
    const { received } = await ping(rig.enclosure, rig.berlin.host, rig.paris.host4, { count: 3, payload: 1000 });
    expect(received).toBe(3);
  });
});

describe.skipIf(UNABLE !== undefined)('drain and down', () => {
  it('end within their time, take everything back, and the other end knows', async () => {
    const linked = await closedAfter(prepareLink());
    const { rig, link } = linked;
    const before = await hostState(rig, rig.berlin);
    await upBoth(linked);
    const began = performance.now();
    await link.dtunnel(rig.berlin, ['drain', 'berlin', '--timeout', '5s'], { timeoutMs: 20_000 });
    expect(performance.now() - began).toBeLessThan(8000);
    await delay(300);
    expect((await link.dtunnel(rig.berlin, ['status', 'berlin'], { failureOk: true })).code).toBe(3);
    expect(await hostState(rig, rig.berlin)).toBe(before);
    expect((await statusOf(link, rig.paris)).peers[0].state).not.toBe('up');
    await link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait']);
    expect(await timeToPing(rig, rig.paris, 15_000)).toBeLessThan(10_000);
  });

  it('SIGTERM does the same for `dtunnel run`', async () => {
    const linked = await closedAfter(prepareLink());
    const { rig, link } = linked;
    const before = await hostState(rig, rig.paris);
    await upBoth(linked);
    const { pid } = (await statusOf(link, rig.paris)).tunnel;
    await rig.enclosure.run(['kill', '-TERM', String(pid)]);
    for (let tries = 0; tries < 80; tries++) {
      if ((await rig.enclosure.run(['kill', '-0', String(pid)], { failureOk: true })).code !== 0) break;
      await delay(100);
    }
    expect((await rig.enclosure.run(['kill', '-0', String(pid)], { failureOk: true })).code).not.toBe(0);
    expect(await hostState(rig, rig.paris)).toBe(before);
  });
});
