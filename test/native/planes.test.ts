import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OFFLOADS } from '../../src/plane/stats.ts';
import { expectConservation, PEER, PlanePair, SLOT_A } from './support/pair.ts';
import { unable } from './support/rig.ts';

const reason = unable();
if (reason !== undefined) console.log(`native planes skipped: ${reason}`);

const flavours = [
  { tag: 'p1', aead: 'aes-128-gcm', ids: true, outer: 4, packs: true },
  { tag: 'p2', aead: 'aes-256-gcm', ids: false, outer: 6, packs: true },
  { tag: 'p3', aead: 'chacha20-poly1305', ids: true, outer: 6, packs: false },
  { tag: 'p4', aead: 'chacha20-poly1305', ids: false, outer: 4, packs: false },
] as const;

const families = [
  { family: 'IPv4', a: '192.168.77.1', b: '192.168.77.2' },
  { family: 'IPv6', a: 'fd78::1', b: 'fd78::2' },
] as const;

describe.skipIf(reason !== undefined).each(flavours)('two planes, $aead, ids $ids, IPv$outer outside', (flavour) => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open(flavour);
  });
  afterAll(() => pair?.close());

  it.each(families)('carry $family pings', async ({ b }) => {
    const report = await pair.hostA.icmpEcho(b, { count: 5, interval: 10 as never });
    expect(report.rttMs).toHaveLength(5);
  });

  it.each(families)('carry $family TCP both ways unharmed', async ({ a, b }) => {
    await pair.hostB.call('tcpListen', b, 9000);
    await pair.hostA.call('tcpListen', a, 9000);
    const size = 24 << 20;
    const intact = await Promise.all([
      pair.hostA.call('tcpSend', b, 9000, size, 1),
      pair.hostB.call('tcpSend', a, 9000, size, 2),
      pair.hostA.call('tcpSend', b, 9000, 1, 3),
    ]);
    expect(intact).toEqual([true, true, true]);
  });

  it.each(families)('carry $family UDP of every size, in order', async ({ a, b }) => {
    const to = await pair.hostB.call('udpOpen', b, 0);
    const from = await pair.hostA.call('udpOpen', a, 0);
    const sizes = [
      ...Array.from({ length: 400 }, (_, i) => 4 + ((i * 37) % 1380)),
      ...Array.from({ length: 200 }, () => 64),
      1372,
      1373,
      1391,
      1392,
      1393,
      1400,
      4000,
      20_000,
      60_000,
    ];
    expect(await pair.hostA.call('udpSendPatterns', from, sizes, to, b)).toEqual([]);
    await expect.poll(() => pair.hostB.call('udpCount', to), { timeout: 5000 }).toBe(sizes.length);
    expect(await pair.hostB.call('udpVerify', to)).toEqual({
      intact: sizes.length,
      distinct: sizes.length,
      ordered: true,
    });
  });

  it('count as large what makes a datagram that not every path carries', async () => {
    const to = await pair.hostB.call('udpOpen', '192.168.77.2', 0);
    const from = await pair.hostA.call('udpOpen', '192.168.77.1', 0);
    const around = (flavour.aead === 'chacha20-poly1305' ? 29 : 37) + (flavour.ids ? 9 : 0) + 28;
    const before = await pair.a.session(SLOT_A);
    const sizes = [64, 548 - around, 549 - around, 548 - around, 549 - around, 1300];
    for (const [i, size] of sizes.entries()) {
      // One after the other: those that are there together may share a datagram.
      expect(await pair.hostA.call('udpSendPatterns', from, [size], to, '192.168.77.2')).toEqual([]);
      await expect.poll(() => pair.hostB.call('udpCount', to), { timeout: 5000 }).toBe(i + 1);
    }
    const after = await pair.a.session(SLOT_A);
    expect(Number(after?.sealedRecords) - Number(before?.sealedRecords)).toBe(sizes.length);
    expect(Number(after?.sealedLarge) - Number(before?.sealedLarge)).toBe(3);
  });

  it(`${flavour.packs ? 'pack' : 'do not pack'} small packets that are there together into a datagram`, async () => {
    const to = await pair.hostB.call('udpOpen', '192.168.77.2', 0);
    const from = await pair.hostA.call('udpOpen', '192.168.77.1', 0);
    const before = {
      a: await pair.a.stats(),
      b: await pair.b.stats(),
      large: (await pair.a.session(SLOT_A))?.sealedLarge,
    };
    const sizes = Array.from({ length: 48 }, (_, i) => (i % 2 === 0 ? 64 : 90));
    // While the plane stands still the device collects them.
    await pair.a.call('freeze');
    expect(await pair.hostA.call('udpSendPatterns', from, sizes, to, '192.168.77.2')).toEqual([]);
    await pair.a.call('thaw');
    await expect.poll(() => pair.hostB.call('udpCount', to), { timeout: 5000 }).toBe(sizes.length);
    expect(await pair.hostB.call('udpVerify', to)).toEqual({ intact: 48, distinct: 48, ordered: true });
    const after = {
      a: await pair.a.stats(),
      b: await pair.b.stats(),
      large: (await pair.a.session(SLOT_A))?.sealedLarge,
    };
    const datagrams = Number(after.a.udp.transmitDatagrams - before.a.udp.transmitDatagrams);
    const extra = Number(after.b.udp.extraRecords - before.b.udp.extraRecords);
    if (flavour.packs) {
      expect(datagrams).toBeLessThanOrEqual(8);
      expect(extra).toBeGreaterThanOrEqual(40);
      // Their datagrams are ones that not every path carries.
      expect(after.large).toBeGreaterThan(before.large ?? 0n);
    } else {
      expect(datagrams).toBeGreaterThanOrEqual(48);
      expect(extra).toBe(0);
      expect(after.large).toBe(before.large);
    }
  });

  it('count every packet and datagram exactly once', async () => {
    await expectConservation(pair);
    const [a, b] = [await pair.a.stats(), await pair.b.stats()];
    expect(a.peers.get(PEER)?.transmitPackets).toBe(b.peers.get(PEER)?.receivePackets);
    expect(a.peers.get(PEER)?.transmitBytes).toBe(b.peers.get(PEER)?.receiveBytes);
    expect(b.peers.get(PEER)?.transmitBytes).toBe(a.peers.get(PEER)?.receiveBytes);
    // Coalescing is at work: far fewer calls than packets.
    expect(Number(b.tun.writeCalls) * 3).toBeLessThan(Number(b.tun.writePackets));
  });
});

describe.skipIf(reason !== undefined).each(OFFLOADS)('without %s', (offload) => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: `o${OFFLOADS.indexOf(offload)}`, plane: { disable: [offload] } });
  });
  afterAll(() => pair?.close());

  it('packets still arrive unharmed', async () => {
    await pair.hostB.call('tcpListen', '192.168.77.2', 9000);
    expect(await pair.hostA.call('tcpSend', '192.168.77.2', 9000, 8 << 20, 5)).toBe(true);
    const to = await pair.hostB.call('udpOpen', 'fd78::2', 0);
    const from = await pair.hostA.call('udpOpen', 'fd78::1', 0);
    const sizes = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? 900 : 64));
    await pair.hostA.call('udpSendPatterns', from, sizes, to, 'fd78::2');
    await expect.poll(() => pair.hostB.call('udpCount', to), { timeout: 5000 }).toBe(sizes.length);
    expect(await pair.hostB.call('udpVerify', to)).toMatchObject({ intact: sizes.length, ordered: true });
    await expectConservation(pair);
  });
});
