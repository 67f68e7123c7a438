import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { TwoWayFlow, transfer } from '../../src/demo/measure.ts';
import { farSite } from '../../src/demo/rig.ts';
import {
  killDaemon,
  logOf,
  type LinkedRig,
  prepareLink,
  sniff,
  statusOf,
  timeToPing,
  UNABLE,
  upBoth,
  upLink,
} from './support.ts';

const opened: LinkedRig[] = [];
afterEach(async () => {
  for (const linked of opened.splice(0)) await linked.rig.close();
});

/** `making`, which is closed after the test. */
async function closedAfter(making: Promise<LinkedRig>): Promise<LinkedRig> {
  const linked = await making;
  opened.push(linked);
  return linked;
}

describe.skipIf(UNABLE !== undefined)('starting', () => {
  it.each(['berlin', 'paris'] as const)('works with %s first and the other much later', async (first) => {
    const { rig, link } = await closedAfter(prepareLink());
    const second = first === 'berlin' ? 'paris' : 'berlin';
    await link.dtunnel(rig[first], ['up', first, '--no-wait']);
    await delay(2500);
    await link.dtunnel(rig[second], ['up', second, '--no-wait']);
    expect(await timeToPing(rig, rig.berlin, 10_000)).toBeLessThan(5000);
  });

  it('works when both call each other at once', async () => {
    const linked = await closedAfter(prepareLink({ callers: 'both' }));
    await upBoth(linked);
    const report = await transfer(linked.rig, linked.rig.paris, { family: 4, amount: { bytes: 5_000_000 } });
    expect(report.intact).toBe(true);
  });
});

describe.skipIf(UNABLE !== undefined)('kill -9', () => {
  it.each(['berlin', 'paris'] as const)('of %s: traffic again within 3 s of its restart', async (victim) => {
    const { rig, link } = await closedAfter(upLink());
    const survivor = farSite(rig, rig[victim]);
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 50, size: 100 });
    flow.start();
    await delay(300);
    await killDaemon(link, rig[victim]);
    await delay(500);
    await link.dtunnel(rig[victim], ['up', victim, '--no-wait']);
    // Counted from when the daemon is ready: how long a busy machine takes to start a program is its own affair.
    expect(await timeToPing(rig, survivor, 10_000)).toBeLessThan(3000);
    await flow.finish();
    const report = await transfer(rig, rig.berlin, { family: 6, amount: { bytes: 5_000_000 } });
    expect(report.intact).toBe(true);
  });

  it('of an end that nobody has anything to say to: it calls where the other end was last met', async () => {
    const { rig, link } = await closedAfter(upLink());
    const before = (await statusOf(link, rig.berlin)).peers[0].endpoint;
    await killDaemon(link, rig.berlin);
    await link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait']);
    // Berlin has no Endpoint of Paris, and only Berlin's host has something to say: Paris alone would take its 10 s of
    // silence to notice.
    expect(await timeToPing(rig, rig.berlin, 15_000)).toBeLessThan(3000);
    const [peer] = (await statusOf(link, rig.berlin)).peers;
    expect([peer.endpoint, peer.handshake.role]).toEqual([before, 'client']);
  });

  it('of an end whose memory was damaged: it says so, and the other end notices by itself within 10 s', async () => {
    const { rig, link } = await closedAfter(upLink());
    await killDaemon(link, rig.berlin);
    await rig.enclosure.run(['sh', '-c', 'echo rubbish > /run/dtunnel/berlin.peers']);
    await link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait']);
    expect(await timeToPing(rig, rig.berlin, 15_000)).toBeLessThan(12_000);
    expect(await logOf(link, rig.berlin)).toContain('memory.ignored');
  });

  it('of both at once', async () => {
    const linked = await closedAfter(upLink());
    const { rig, link } = linked;
    await Promise.all([killDaemon(link, rig.berlin), killDaemon(link, rig.paris)]);
    const began = performance.now();
    await upBoth(linked);
    expect(performance.now() - began).toBeLessThan(5000);
    expect((await statusOf(link, rig.paris)).peers[0].state).toBe('up');
  });

  it('lets nothing out in the clear meanwhile: routes stay and fail closed', async () => {
    const { rig, link } = await closedAfter(upLink());
    // Without protection a packet for the other LAN would follow the default route into the internet.
    const wire = await sniff(rig);
    const pings = rig.enclosure.start(
      ['sh', '-c', `while :; do ping -n -c 1 -W 0.1 ${rig.paris.host4}; ping -n -c 1 -W 0.1 ${rig.paris.host6}; done`],
      { netns: rig.berlin.host, stdio: 'ignore' },
    );
    await killDaemon(link, rig.berlin);
    await delay(1000);
    await link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait']);
    await timeToPing(rig, rig.berlin, 10_000);
    if (pings.pid !== undefined) process.kill(-pings.pid, 'SIGKILL');
    const { clear, bytes } = await wire.stop();
    expect(bytes.length).toBeGreaterThan(5000); // It did see the tunnel's own datagrams.
    expect(clear).toEqual([]);
  });
});
