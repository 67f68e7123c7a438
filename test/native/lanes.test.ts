import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectConservation, PEER, PlanePair, SLOT_A, SLOT_B } from './support/pair.ts';
import { unable } from './support/rig.ts';

const reason = unable();
if (reason !== undefined) console.log(`lanes of native planes skipped: ${reason}`);

const LANES = 3;

describe.skipIf(reason !== undefined).each([{ ids: true }, { ids: false }])('three lanes, ids $ids', ({ ids }) => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: ids ? 'n1' : 'n2', ids, plane: { lanes: LANES } });
  });
  afterAll(() => pair?.close());

  it('listen on the asked port, and send from ports of their own', async () => {
    const listening = (await pair.a.call('listening')) as { port: number }[];
    expect(listening.length).toBe(2 * LANES);
    expect(listening.slice(0, 2).map(({ port }) => port)).toEqual([pair.portA, pair.portA]);
    expect(new Set(listening.map(({ port }) => port)).size).toBeGreaterThan(LANES);
    expect((await pair.a.stats()).threads).toHaveLength(2 * LANES);
  });

  it('carry many TCP flows both ways unharmed', async () => {
    await pair.hostA.call('tcpListen', '192.168.77.1', 9200);
    await pair.hostB.call('tcpListen', '192.168.77.2', 9200);
    await pair.hostB.call('tcpListen', 'fd78::2', 9200);
    const flows = Array.from({ length: 12 }, (_, i) =>
      i % 3 === 0
        ? pair.hostB.call('tcpSend', '192.168.77.1', 9200, 2 << 20, i)
        : pair.hostA.call('tcpSend', i % 3 === 1 ? '192.168.77.2' : 'fd78::2', 9200, 2 << 20, i),
    );
    expect(await Promise.all(flows)).toEqual(flows.map(() => true));
  });

  it('keep every UDP flow in order, each packet once', async () => {
    const flows = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const to = (await pair.hostB.call('udpOpen', '192.168.77.2', 0)) as number;
        const from = (await pair.hostA.call('udpOpen', '192.168.77.1', 0)) as number;
        return { to, from };
      }),
    );
    const sizes = Array.from({ length: 400 }, (_, i) => (i % 5 === 0 ? 700 : 200));
    await Promise.all(flows.map(({ from, to }) => pair.hostA.call('udpSendPatterns', from, sizes, to, '192.168.77.2')));
    for (const { to } of flows) {
      await expect.poll(() => pair.hostB.call('udpCount', to)).toBe(sizes.length);
      expect(await pair.hostB.call('udpVerify', to)).toEqual({
        intact: sizes.length,
        distinct: sizes.length,
        ordered: true,
      });
    }
  });

  it('use several ports only towards a peer that knows us by id', async () => {
    const moved = pair.b.events.filter((event) => event.kind === 'moved');
    const ports = new Set(moved.map(({ path }) => path.remote.port));
    if (ids) {
      expect(ports.size).toBeGreaterThan(0);
    } else {
      expect(moved).toEqual([]);
      expect((await pair.b.stats()).peers.get(PEER)?.reordered).toBe(0n);
    }
  });

  it('never take a record twice', async () => {
    for (const plane of [pair.a, pair.b]) {
      expect((await plane.stats()).peers.get(PEER)?.drops.in.replay).toBe(0n);
    }
    const opened = (await pair.b.session(SLOT_B))?.openedRecords;
    expect(opened).toBe((await pair.a.session(SLOT_A))?.sealedRecords);
  });

  it('count every packet and datagram exactly once', () => expectConservation(pair));

  if (ids) {
    it('are told from an address that moves, once they have been met', async () => {
      const moves = (): number => pair.b.events.filter((event) => event.kind === 'moved').length;
      // As the engine would: follow the first move, then hear from the port before it again.
      const first = pair.b.events.find((event) => event.kind === 'moved');
      if (first?.kind === 'moved') await pair.b.call('move', SLOT_B, first.path);
      for (let i = 0; i < 3; i++) await pair.a.call('sealAndSend', SLOT_A, 23, Uint8Array.of(1));
      await expect.poll(async () => Number((await pair.b.stats()).control)).toBeGreaterThanOrEqual(3);
      const before = moves();
      const to = (await pair.hostB.call('udpOpen', '192.168.77.2', 0)) as number;
      const senders = await Promise.all(Array.from({ length: 8 }, () => pair.hostA.call('udpOpen', '192.168.77.1', 0)));
      for (let round = 0; round < 12; round++) {
        await pair.a.call('sealAndSend', SLOT_A, 23, Uint8Array.of(1));
        for (const from of senders) await pair.hostA.call('udpSend', from, Uint8Array.of(round), to, '192.168.77.2');
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      await expect.poll(() => pair.hostB.call('udpCount', to)).toBe(12 * senders.length);
      expect(moves()).toBeLessThanOrEqual(before + 1);
    });
  }
});
