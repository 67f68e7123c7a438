import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectionId, expectConservation, PEER, PlanePair, SLOT_A, SLOT_B } from './support/pair.ts';
import { Namespaces, RemotePlane, run, unable } from './support/rig.ts';

const reason = unable();
if (reason !== undefined) console.log(`life of native planes skipped: ${reason}`);

const options = {
  device: { name: 'dtnx', mtu: 1400 as never },
  listen: [{ address: undefined, port: 4600 }],
  lanes: 1,
  crypto: 'auto',
  fwMark: undefined,
  disable: [],
  realtime: false,
} as const;

describe.skipIf(reason !== undefined)('opening and closing', () => {
  let namespaces: Namespaces;
  const ends: RemotePlane[] = [];
  const end = (): RemotePlane => {
    const one = new RemotePlane(namespaces.a);
    ends.push(one);
    return one;
  };
  beforeAll(() => {
    namespaces = new Namespaces('l1');
  });
  afterEach(() => Promise.all(ends.splice(0).map((one) => one.close())));
  afterAll(() => namespaces?.remove());

  it('gives device, sockets and threads back, many times in one process', async () => {
    const one = end();
    expect(await one.call('reopen', options, 20)).toBe(20);
    expect(run('ip', '-n', namespaces.a, 'link')).not.toContain('dtnx');
    const opened = await one.open(options);
    expect(opened.deviceName).toBe('dtnx');
    expect(opened.listening).toEqual([
      { address: '0.0.0.0', port: 4600 },
      { address: '::', port: 4600 },
    ]);
    expect(opened.features.aead).toMatch(/\w/);
    const stats = await one.stats();
    expect(stats.threads.map((thread) => thread.name)).toEqual(['dtunnel-tx', 'dtunnel-rx']);
  });

  it('lets the kernel choose one port for both families, and the name of the device', async () => {
    const opened = await end().open({
      ...options,
      device: { name: 'dtn%d', mtu: 1400 as never },
      listen: [{ address: undefined, port: 0 }],
    });
    expect(opened.deviceName).toMatch(/^dtn\d+$/);
    expect(opened.listening[0]?.port).toBeGreaterThan(0);
    expect(opened.listening[1]?.port).toBe(opened.listening[0]?.port);
  });

  it('says which device is busy and which port is taken', async () => {
    const one = end();
    await one.open(options);
    const second = end();
    await expect(second.open(options)).rejects.toMatchObject({ code: 'S012', name: 'DtunnelError' });
    const other = { ...options, device: { name: 'dtny', mtu: 1400 as never } };
    await expect(second.open(other)).rejects.toMatchObject({ code: 'N001' });
    const nowhere = { ...other, listen: [{ address: '192.0.2.1' as never, port: 4700 }] };
    await expect(second.open(nowhere)).rejects.toMatchObject({ code: 'N002' });
    expect(run('ip', '-n', namespaces.a, 'link')).not.toContain('dtny');
    await expect(second.open({ ...other, device: { name: 'lo', mtu: 1400 as never } })).rejects.toMatchObject({
      code: 'S012',
    });
  });

  it('refuses misuse with a TypeError or RangeError and lives on', async () => {
    const one = end();
    await expect(one.open({ ...options, lanes: 0 })).rejects.toMatchObject({ name: 'TypeError' });
    await expect(one.open({ ...options, listen: [] })).rejects.toMatchObject({ name: 'TypeError' });
    await one.open(options);
    await expect(one.call('activate', 7, undefined)).rejects.toMatchObject({ name: 'RangeError' });
    await expect(one.call('setPathMtu', 7, 1400)).rejects.toMatchObject({ name: 'RangeError' });
    await expect(one.call('setPathMtu', 2 ** 24, 1400)).rejects.toMatchObject({ name: 'TypeError' });
    await expect(one.call('changed', 1, 1)).rejects.toMatchObject({ name: 'TypeError' });
    await expect(one.call('changed', 0, 0)).rejects.toMatchObject({ name: 'TypeError' });
    await expect(one.call('inject', 1, 'text')).rejects.toMatchObject({ name: 'TypeError' });
    expect(await one.session(5)).toBeUndefined();
    await one.call('close');
    await one.call('close');
    await expect(one.call('stats')).rejects.toThrow('closed');
  });

  it('works from a worker thread, and ends with it', async () => {
    const child = new RemotePlane(namespaces.a);
    ends.push(child);
    // The namespace is the process's, so the worker runs in the child; it ends without closing.
    expect(await child.call('inWorker', options)).toBe('dtnx');
    expect(run('ip', '-n', namespaces.a, 'link')).not.toContain('dtnx');
    expect(Worker).toBeDefined();
  });
});

describe.skipIf(reason !== undefined)('what has changed', () => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: 'l3' });
  });
  afterAll(() => pair?.close());

  it('is told of each session once, whichever way its records went, and of no other', async () => {
    const other = { a: 90, b: 91 };
    const ids = { ourConnectionId: connectionId(other.a), peerConnectionId: connectionId(other.b) };
    await pair.a.call('install', pair.session('a', { slot: other.a, ...ids }, 90));
    await pair.a.call('changed', 0, 1);
    await pair.b.call('changed', 0, 1);
    expect(await pair.a.call('changed', 0, 1)).toEqual([]);
    const to = await pair.hostB.call('udpOpen', '192.168.77.2', 0);
    const from = await pair.hostA.call('udpOpen', '192.168.77.1', 0);
    await pair.hostA.call('udpSendPatterns', from, [200], to, '192.168.77.2', 0);
    await expect.poll(() => pair.hostB.call('udpCount', to)).toBe(1);
    // Asked of all of them in three parts: the slot's remainder says of which.
    const parts = [0, 1, 2].map((part) => pair.a.call('changed', part, 3));
    expect(await Promise.all(parts)).toEqual([0, 1, 2].map((part) => (SLOT_A % 3 === part ? [SLOT_A] : [])));
    expect(await pair.b.call('changed', 0, 1)).toEqual([SLOT_B]);
    expect(await pair.a.call('changed', 0, 1)).toEqual([]);
    expect(await pair.b.call('changed', 0, 1)).toEqual([]);
  });
});

describe.skipIf(reason !== undefined)('sessions in turn', () => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: 'l2' });
  });
  afterAll(() => pair?.close());

  it('take over from each other without losing, repeating or reordering a packet', async () => {
    const to = await pair.hostB.call('udpOpen', '192.168.77.2', 0);
    const from = await pair.hostA.call('udpOpen', '192.168.77.1', 0);
    const sizes = Array.from({ length: 300 }, (_, i) => 200 + (i % 7) * 100);
    const send = (first: number, count: number): Promise<unknown> =>
      pair.hostA.call('udpSendPatterns', from, sizes.slice(0, count), to, '192.168.77.2', first);
    let sent = 0;
    let [a, b] = [SLOT_A, SLOT_B];
    for (let round = 1; round <= 20; round++) {
      const next = { a: 100 + round, b: 200 + round };
      const sending = send(sent, sizes.length);
      sent += sizes.length;
      for (const [plane, side, slot, theirs] of [
        [pair.b, 'b', next.b, next.a],
        [pair.a, 'a', next.a, next.b],
      ] as const) {
        const ids = { ourConnectionId: connectionId(slot), peerConnectionId: connectionId(theirs) };
        await plane.call('install', pair.session(side, { slot, ...ids }, 40 + round));
      }
      await pair.a.call('activate', PEER, next.a);
      await pair.b.call('activate', PEER, next.b);
      expect(await sending).toEqual([]);
      // All of the old keys' records have arrived when one of the new keys' has: the path keeps its order.
      await send(sent++, 1);
      await expect.poll(async () => (await pair.b.session(next.b))?.openedRecords ?? 0n).toBeGreaterThan(0n);
      await pair.a.call('retire', a);
      await pair.b.call('retire', b);
      [a, b] = [next.a, next.b];
    }
    await expect.poll(() => pair.hostB.call('udpCount', to)).toBe(sent);
    expect(await pair.hostB.call('udpVerify', to)).toEqual({
      intact: sent,
      distinct: sent,
      ordered: true,
    });
    const confirmed = pair.b.events.filter((event) => event.kind === 'confirmed').map((event) => event.slot);
    expect(confirmed.filter((slot) => slot > 200 && slot <= 220)).toEqual(
      Array.from({ length: 20 }, (_, i) => 201 + i),
    );
    const peer = (await pair.b.stats()).peers.get(PEER);
    expect(peer).toMatchObject({ reordered: 0n, duplicates: 0n, sequenceGaps: 0n });
    expect(await pair.b.session(SLOT_B)).toBeUndefined();
    await expectConservation(pair);
  });

  it('keep the counters of a peer, until the peer goes', async () => {
    const [slot] = [...(await pair.a.stats()).sessions.keys()];
    await expect(pair.a.call('removePeer', PEER)).rejects.toMatchObject({ name: 'RangeError' });
    await pair.a.call('retire', slot);
    expect(Number((await pair.a.stats()).peers.get(PEER)?.transmitPackets)).toBeGreaterThanOrEqual(6000);
    await pair.a.call('removePeer', PEER);
    expect((await pair.a.stats()).peers.size).toBe(0);
  });
});

describe.skipIf(reason !== undefined)('listening elsewhere', () => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: 'l3' });
  });
  afterAll(() => pair?.close());

  it('keeps reading the old sockets for a while, and sends from the new ones', async () => {
    await pair.b.call('rebind', [{ address: undefined, port: 4777 }], 60_000);
    expect(await pair.b.call('listening')).toMatchObject([{ port: 4777 }, { port: 4777 }]);
    // Back again while the old ones are still open, as an undone reload does.
    await pair.b.call('rebind', [{ address: undefined, port: 4502 }], 60_000);
    expect(await pair.b.call('listening')).toMatchObject([{ port: 4502 }, { port: 4502 }]);
    await pair.b.call('rebind', [{ address: undefined, port: 4777 }], 60_000);
    // A still sends to the old port; B answers from the new one, which A notices as a move.
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 3, interval: 5 as never })).rttMs).toHaveLength(3);
    await expect
      .poll(() => pair.a.events.find((event) => event.kind === 'moved'))
      .toMatchObject({ path: { remote: { address: '10.77.0.2', port: 4777 } } });
    await pair.a.call('move', SLOT_A, { remote: { address: '10.77.0.2', port: 4777 }, local: undefined });
    await pair.b.call('rebind', [{ address: undefined, port: 4777 }], 0);
    await expect.poll(() => run('ip', 'netns', 'exec', pair.namespaces.b, 'ss', '-ulnH')).not.toContain(':4502 ');
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 3, interval: 5 as never })).rttMs).toHaveLength(3);
    await expect(pair.b.call('rebind', [{ address: '192.0.2.7', port: 1 }], 0)).rejects.toMatchObject({ code: 'N002' });
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 1 })).rttMs).toHaveLength(1);
  });

  it('takes one address of a port for all of them, and back, while the other is still read', async () => {
    const open = (): number => run('ip', 'netns', 'exec', pair.namespaces.b, 'ss', '-ulnH').trim().split('\n').length;
    const answered = async (): Promise<number> =>
      (await pair.hostA.icmpEcho('192.168.77.2', { count: 3, interval: 5 as never })).rttMs.length;
    for (const overlap of [60_000, 0, 60_000]) {
      await pair.b.call('rebind', [{ address: '10.77.0.2', port: 4777 }], overlap);
      expect([await pair.b.call('listening'), await answered()]).toMatchObject([[{ address: '10.77.0.2' }], 3]);
      if (overlap === 0) await expect.poll(open).toBe(1);
      await pair.b.call('rebind', [{ address: undefined, port: 4777 }], overlap);
      expect([await pair.b.call('listening'), await answered()]).toMatchObject([[{ port: 4777 }, { port: 4777 }], 3]);
      if (overlap === 0) await expect.poll(open).toBe(2);
    }
    await pair.b.call('rebind', [{ address: undefined, port: 4777 }], 0);
    await expect.poll(open).toBe(2);
  });

  it('marks every socket it has and will have, and takes the mark away', async () => {
    const marks = (): readonly string[] =>
      [
        ...run('ip', 'netns', 'exec', pair.namespaces.b, 'ss', '-ulneH').matchAll(/:47\d\d .*?(?:fwmark:(\S+)|$)/gm),
      ].map(([, mark]) => mark ?? 'none');
    await pair.b.call('setMark', 0xffffffff);
    expect(marks()).toEqual(['0xffffffff', '0xffffffff']);
    await pair.b.call('rebind', [{ address: undefined, port: 4778 }], 60_000);
    expect(marks()).toEqual(['0xffffffff', '0xffffffff', '0xffffffff', '0xffffffff']);
    await pair.b.call('setMark', undefined);
    expect(marks()).toEqual(['none', 'none', 'none', 'none']);
    await pair.b.call('rebind', [{ address: undefined, port: 4777 }], 0);
    await expect(pair.b.call('setMark', 2 ** 32)).rejects.toMatchObject({ name: 'TypeError' });
  });
});
