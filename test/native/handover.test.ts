import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectConservation, PEER, PlanePair, SLOT_A, SLOT_B } from './support/pair.ts';
import { unable } from './support/rig.ts';

const reason = unable();
if (reason !== undefined) console.log(`handing native planes over skipped: ${reason}`);

const HANDOVERS = 5;
/** 500 packets a second: the device's queue (1000 packets) holds what comes in two seconds. */
const BURST = 8;
const BURST_EVERY = 16;

const flavours = [
  { tag: 'h1', lanes: 1, ids: true, outer: 4, aead: 'aes-128-gcm' },
  { tag: 'h2', lanes: 2, ids: false, outer: 6, aead: 'chacha20-poly1305' },
] as const;

/** What the successor is told besides what it adopts; of these only the last two count. */
const RESUMED = {
  device: { name: 'ignored', mtu: 1280 },
  listen: [{ address: undefined, port: 1 }],
  lanes: 9,
  fwMark: undefined,
  disable: [],
  crypto: 'auto',
  realtime: false,
};

/** What a frozen plane still answers. */
const TELLING: ReadonlySet<string> = new Set(['session', 'stats', 'descriptors']);

interface HandedOver {
  readonly milliseconds: number;
  readonly octets: number;
}

describe.skipIf(reason !== undefined).each(flavours)('a plane of $lanes lane(s), IPv$outer outside', (flavour) => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ ...flavour, plane: { lanes: flavour.lanes } });
  });
  afterAll(() => pair?.close());

  it(`is handed over ${HANDOVERS} times under traffic both ways: nothing lost, twice or out of order`, async () => {
    const first = (await pair.a.call('pid')) as number;
    const flows = await Promise.all(
      [
        { host: pair.hostA, peer: pair.hostB, from: '192.168.77.1', to: '192.168.77.2' },
        { host: pair.hostB, peer: pair.hostA, from: 'fd78::2', to: 'fd78::1' },
      ].map(async ({ host, peer, from, to }) => {
        const port = (await peer.call('udpOpen', to, 0)) as number;
        return { host, peer, to, port, source: await host.call('udpOpen', from, 0) };
      }),
    );
    let over = false;
    const sent = flows.map(async ({ host, source, port, to }) => {
      let count = 0;
      for (; !over || count % (4 * BURST) !== 0; count += BURST) {
        const sizes = Array.from({ length: BURST }, (_, i) => 16 + ((count + i) % 5) * 250);
        expect(await host.call('udpSendPatterns', source, sizes, port, to, count)).toEqual([]);
        await new Promise((resolve) => setTimeout(resolve, BURST_EVERY));
      }
      return count;
    });
    let control = 0;
    const tell = async (): Promise<void> => {
      await pair.b.call('sealAndSend', SLOT_B, 23, Uint8Array.of(1, control++));
    };
    const gaps: number[] = [];
    for (let i = 0; i < HANDOVERS; i++) {
      await tell();
      const [done] = (await Promise.all([pair.a.call('handOver', RESUMED), tell()])) as [HandedOver, undefined];
      gaps.push(done.milliseconds);
      await pair.a.call('sealAndSend', SLOT_A, 23, Uint8Array.of(2));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    over = true;
    const counts = await Promise.all(sent);
    console.log(
      `handover, ${flavour.lanes} lane(s): from freezing to forwarding ${gaps.map((ms) => ms.toFixed(1)).join(', ')} ms; ` +
        `${counts.join(' and ')} packets`,
    );
    for (const [i, { peer, port }] of flows.entries()) {
      const count = counts[i];
      await expect.poll(() => peer.call('udpCount', port), { timeout: 10_000 }).toBe(count);
      expect(await peer.call('udpVerify', port)).toEqual({ intact: count, distinct: count, ordered: true });
    }
    const records = (): number => pair.a.events.filter((event) => event.kind === 'record').length;
    await expect.poll(records, { timeout: 10_000 }).toBe(control);
    const now = (await pair.a.call('pid')) as number;
    expect(now).not.toBe(first);
    expect(tunDescriptors(first)).toEqual([]);
    const inherited = tunDescriptors(now);
    // With several lanes each has another queue that it only writes to.
    expect(inherited).toHaveLength(flavour.lanes === 1 ? 1 : 2 * flavour.lanes);
    // O_CLOEXEC: no program that the daemon starts inherits the device.
    for (const flags of inherited) expect(flags & 0o2000000).toBe(0o2000000);
  });

  it('goes on counting: records, drops and both conservation laws', async () => {
    await expectConservation(pair);
    const [a, b] = [await pair.a.stats(), await pair.b.stats()];
    expect(a.peers.get(PEER)?.drops.in.replay).toBe(0n);
    expect(b.peers.get(PEER)?.drops.in.replay).toBe(0n);
    expect(a.peers.get(PEER)?.transmitPackets).toBe(b.peers.get(PEER)?.receivePackets);
    expect(b.peers.get(PEER)?.transmitPackets).toBe(a.peers.get(PEER)?.receivePackets);
    expect((await pair.a.session(SLOT_A))?.sealedRecords).toBe((await pair.b.session(SLOT_B))?.openedRecords);
    expect(a.threads).toHaveLength(2 * flavour.lanes);
  });

  it('stays as it is when the state does not arrive whole, comes from another version, or is not gone on from', async () => {
    await expect(pair.a.call('handOver', RESUMED, 100)).rejects.toMatchObject({
      code: 'S040',
      message: expect.stringContaining('damaged'),
    });
    await expect(pair.a.call('handOver', RESUMED, 5)).rejects.toMatchObject({
      code: 'S040',
      message: expect.stringContaining('version'),
    });
    await expect(pair.a.call('handOver', RESUMED, 'late')).rejects.toMatchObject({ code: 'LATE' });
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 3, interval: 10 as never })).rttMs).toHaveLength(3);
    expect((await pair.hostB.icmpEcho('fd78::1', { count: 3, interval: 10 as never })).rttMs).toHaveLength(3);
  });

  it('seals nothing and changes nothing while frozen, and thaws', async () => {
    const before = await pair.a.session(SLOT_A);
    const calls = [
      ['sealAndSend', SLOT_A, 23, Uint8Array.of(1)],
      ['retire', SLOT_A],
      ['activate', PEER, undefined],
      ['setRoutes', []],
      ['freeze'],
      ['session', SLOT_A],
      ['stats'],
      ['descriptors'],
    ];
    const answers = calls.map(([method = '']) => (TELLING.has(String(method)) ? 'done' : 'the plane is frozen'));
    expect(await pair.a.call('whileFrozen', calls)).toEqual(answers);
    expect((await pair.a.session(SLOT_A))?.sealedRecords).toBe(before?.sealedRecords);
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 3, interval: 10 as never })).rttMs).toHaveLength(3);
    await expectConservation(pair);
    expect((await pair.b.stats()).peers.get(PEER)?.drops.in.replay).toBe(0n);
  });

  // Without ids the other side would not know the new port.
  if (flavour.ids) {
    it('has its old sockets of a rebind handed over with it', async () => {
      await pair.a.call('rebind', [{ address: undefined, port: 4701 }], 20_000);
      await pair.a.call('handOver', RESUMED);
      // The other side still sends to the port from before.
      expect((await pair.hostB.icmpEcho('192.168.77.1', { count: 3, interval: 10 as never })).rttMs).toHaveLength(3);
      const listening = (await pair.a.call('listening')) as { port: number }[];
      expect(listening[0]?.port).toBe(4701);
    });
  }
});

/** Flags of the descriptors of TUN devices that a process has. */
function tunDescriptors(pid: number): number[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    if (readlinkSync(`/proc/${pid}/fd/${fd}`) !== '/dev/net/tun') return [];
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'));
    return [Number.parseInt(flags?.[1] ?? '', 8)];
  });
}
