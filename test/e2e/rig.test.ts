import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lostOf, ping, TwoWayFlow, transfer } from '../../src/demo/measure.ts';
import { buildRig, type Rig } from '../../src/demo/rig.ts';
import { startTool } from '../../src/demo/tools.ts';
import { ROOT } from '../repo/source-files.ts';
import { UNABLE } from './support.ts';

describe.skipIf(UNABLE !== undefined)('the rig', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await buildRig({ needsTun: false });
  });
  afterAll(async () => {
    await rig.close();
  });

  it.each(['public4', 'public6'] as const)('joins the gateways through the internet (%s)', async (address) => {
    const { received } = await ping(rig.enclosure, rig.berlin.gateway, rig.paris[address], { count: 2, payload: 1400 });
    expect(received).toBe(2);
  });

  it('does not join the LANs: that is what the tunnel is for', async () => {
    const { received } = await ping(rig.enclosure, rig.berlin.host, rig.paris.host4, { waitMs: 300 });
    expect(received).toBe(0);
  });

  it('is a world of its own: two rigs with the same names stand side by side', async () => {
    const other = await buildRig({ needsTun: false, internet: 'direct' });
    try {
      const answers = await Promise.all(
        [rig, other].map((one) => ping(one.enclosure, one.paris.gateway, one.berlin.public4)),
      );
      expect(answers.map((answer) => answer.received)).toEqual([1, 1]);
      expect(existsSync('/run/netns/berlin-lan')).toBe(false);
    } finally {
      await other.close();
    }
  });

  it('vanishes with every process inside when its owner is killed', async () => {
    const owner = spawn(process.execPath, ['--input-type=module', '-e', OWNER, join(ROOT, 'dist/demo/rig.js')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [first = 0, inside = 0] = await new Promise<number[]>((resolve) =>
      owner.stdout.once('data', (line: Buffer) => resolve(String(line).trim().split(' ').map(Number))),
    );
    expect([existsSync(`/proc/${first}/ns/net`), existsSync(`/proc/${inside}/ns/net`)]).toEqual([true, true]);
    owner.kill('SIGKILL');
    const gone = () => !existsSync(`/proc/${first}/exe`) && !existsSync(`/proc/${inside}/exe`);
    for (let tries = 0; tries < 100 && !gone(); tries++) await delay(20);
    expect(gone()).toBe(true);
  });
});

describe.skipIf(UNABLE !== undefined)('the traffic tools, over a path without tunnel', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await buildRig({ needsTun: false, internet: 'direct' });
    // The LANs are joined by plain routes here, so that what the tools report can be compared with what was done.
    for (const [here, there] of [
      [rig.berlin, rig.paris],
      [rig.paris, rig.berlin],
    ] as const) {
      await rig.enclosure.run(['ip', '-n', here.gateway, 'route', 'add', there.lan4, 'via', there.public4]);
      await rig.enclosure.run(['ip', '-n', here.gateway, '-6', 'route', 'add', there.lan6, 'via', there.public6]);
    }
  });
  afterAll(async () => {
    await rig.close();
  });

  it.each([4, 6] as const)('carry a TCP transfer whose every byte is compared (IPv%i)', async (family) => {
    const report = await transfer(rig, rig.berlin, { family, amount: { bytes: 5_000_000 }, streams: 2 });
    expect(report).toMatchObject({ bytes: 10_000_000, intact: true });
    expect(report.bitsPerSecond).toBeGreaterThan(1e6);
  });

  it.each([4, 6] as const)('count a flow of datagrams both ways (IPv%i)', async (family) => {
    const flow = await TwoWayFlow.open(rig, { family, rate: 500, size: 200 });
    flow.start();
    await delay(600);
    const result = await flow.finish();
    expect(result.fromBerlin.sent).toBeGreaterThan(100);
    expect(lostOf(result)).toBe(0);
    expect(result.fromParis).toMatchObject({ duplicated: 0, reordered: 0, corrupted: 0, foreign: 0, overrun: 0 });
  });

  it('count exactly what a bad path does: the relay says the same', async () => {
    const { enclosure, berlin, paris } = rig;
    const relayed = { loss: 0.1, duplicate: 0.1, delayMs: 5 };
    const relay = await startTool(enclosure, berlin.gateway, {
      tool: 'relay',
      listen: { address: '10.1.0.1', port: 6000 },
      target: { address: paris.host4, port: 6001 },
      seed: 7,
      toTarget: relayed,
      toClient: {},
    });
    const end = (netns: string, local: string, remote: string, remotePort: number) =>
      startTool(enclosure, netns, {
        tool: 'flow',
        seed: 1,
        id: 1,
        rate: 1000,
        size: 100,
        local: { address: local, port: 6001 },
        remote: { address: remote, port: remotePort },
      });
    const sender = await end(berlin.host, berlin.host4, '10.1.0.1', 6000);
    const receiver = await end(paris.host, paris.host4, berlin.host4, 6001);
    sender.tell({ do: 'start' });
    await delay(500);
    sender.tell({ do: 'stop' });
    const { sent } = await sender.heard('stopped');
    await delay(200);
    receiver.tell({ do: 'close' });
    relay.tell({ do: 'counts' });
    const { report } = await receiver.heard('flow-report');
    const { counts } = await relay.heard('counts');
    await Promise.all([sender, receiver, relay].map((tool) => tool.close()));
    expect(counts.toTarget.lost).toBeGreaterThan(0);
    expect(counts.toTarget.passed + counts.toTarget.lost).toBe(sent);
    expect(report.received).toBe(counts.toTarget.passed);
    expect(report.duplicated).toBe(counts.toTarget.duplicated);
  });

  it('tell when content was damaged on the way', async () => {
    const { enclosure, berlin } = rig;
    const receiver = await startTool(enclosure, berlin.host, { tool: 'receive', port: 5999, seed: 1, streams: 1 });
    const sender = await startTool(enclosure, berlin.gateway, {
      tool: 'send',
      address: berlin.host4,
      port: 5999,
      seed: 2, // Not what the receiver expects.
      streams: 1,
      amount: { bytes: 100_000 },
    });
    const { report } = await receiver.heard('transfer-report');
    await Promise.all([sender.close(), receiver.close()]);
    expect(report).toMatchObject({ bytes: 100_000, intact: false });
  });
});

/** A process that owns a rig with a process in it, prints both numbers as seen from outside, and waits to be killed. */
const OWNER = `
const { buildRig } = await import(process.argv[1]);
const rig = await buildRig({ needsTun: false });
const child = rig.enclosure.start(['sh', '-c', 'read -r pid rest < /proc/self/stat; sleep 300'], { netns: 'berlin' });
await new Promise((resolve) => setTimeout(resolve, 200));
console.log(rig.enclosure.pid, child.pid);
`;
