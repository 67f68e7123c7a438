import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PlaneEvent } from '../../src/plane/plane.ts';
import { expectConservation, PEER, PlanePair, SLOT_A, SLOT_B } from './support/pair.ts';
import { run, unable } from './support/rig.ts';

const reason = unable();
if (reason !== undefined) console.log(`native planes on their paths skipped: ${reason}`);

type Sent = readonly { readonly data: Uint8Array; readonly port: number }[];
type Moved = PlaneEvent & { kind: 'moved' };

describe.skipIf(reason !== undefined)('path MTU', () => {
  let pair: PlanePair;
  beforeAll(async () => {
    // 1146 octets of UDP payload carry inner packets of 1100: 46 are header, id, nonce, type and tag.
    pair = await PlanePair.open({ tag: 'm1', pathMtu: 1146 });
  });
  afterAll(() => pair?.close());

  const out = async (): Promise<number> => Number((await pair.a.stats()).peers.get(PEER)?.drops.out.too_big);

  it('lowers the MSS of both ends, so that TCP never meets the limit', async () => {
    await pair.hostB.call('tcpListen', '192.168.77.2', 9100);
    await pair.hostB.call('tcpListen', 'fd78::2', 9100);
    const before = await out();
    await pair.a.call('setPathMtu', SLOT_A, 1326);
    await pair.b.call('setPathMtu', SLOT_B, 1326);
    expect(await pair.hostA.call('tcpSend', 'fd78::2', 9100, 4 << 20, 1)).toBe(true);
    await pair.a.call('setPathMtu', SLOT_A, 1146);
    await pair.b.call('setPathMtu', SLOT_B, 1146);
    expect(await pair.hostA.call('tcpSend', '192.168.77.2', 9100, 4 << 20, 1)).toBe(true);
    expect(await out()).toBe(before);
    const stats = await pair.a.stats();
    expect(Number(stats.mssClamped.v4)).toBeGreaterThanOrEqual(1);
    expect(Number(stats.mssClamped.v6)).toBeGreaterThanOrEqual(1);
  });

  it('tells inner IPv4 hosts of what fits, once they forbid fragments', async () => {
    const fits = { count: 1, bytes: 1100 - 28, dontFragment: true };
    expect((await pair.hostA.icmpEcho('192.168.77.2', fits)).rttMs).toHaveLength(1);
    const before = await out();
    const over = await pair.hostA.icmpEcho('192.168.77.2', { ...fits, bytes: 1100 - 27, timeout: 200 as never });
    expect(over.rttMs).toHaveLength(0);
    expect(await out()).toBe(before + 1);
    expect((await pair.a.stats()).packetTooBig.v4).toBe(1n);
    expect(run('ip', '-n', pair.namespaces.a, 'route', 'get', '192.168.77.2')).toContain('mtu 1100');
  });

  it('tells inner IPv6 hosts, whose kernel then cuts what it sends', async () => {
    // RFC 8200 §5: an IPv6 host need not go below 1280, so only a path of that size helps it.
    await pair.a.call('setPathMtu', SLOT_A, 1280 + 46);
    await pair.b.call('setPathMtu', SLOT_B, 1280 + 46);
    const report = await pair.hostA.icmpEcho('fd78::2', { count: 6, interval: 20 as never, bytes: 1300 });
    await pair.a.call('setPathMtu', SLOT_A, 1146);
    await pair.b.call('setPathMtu', SLOT_B, 1146);
    expect((await pair.a.stats()).packetTooBig.v6).toBe(1n);
    expect((await pair.b.stats()).packetTooBig.v6).toBe(1n);
    // The first request and the first answer were lost to the discovery.
    expect(report.rttMs.length).toBeGreaterThanOrEqual(3);
    expect(report.rttMs.length).toBeLessThan(6);
  });

  it('cuts IPv4 packets that allow it', async () => {
    const to = await pair.hostB.call('udpOpen', '192.168.77.2', 0);
    const from = await pair.hostA.call('udpOpen', '192.168.77.1', 0);
    run('ip', 'netns', 'exec', pair.namespaces.a, 'sysctl', '-qw', 'net.ipv4.ip_no_pmtu_disc=1');
    const plain = await pair.hostA.call('udpOpen', '192.168.77.1', 0);
    const sizes = [1000, 1100, 1200, 1300, 1372];
    await pair.hostA.call('udpSendPatterns', plain, sizes, to, '192.168.77.2');
    await expect.poll(() => pair.hostB.call('udpCount', to)).toBe(sizes.length);
    expect(await pair.hostB.call('udpVerify', to)).toMatchObject({ intact: sizes.length });
    expect(from).not.toBe(plain);
  });

  it('sends probes that are larger than the known path MTU, with DF', async () => {
    const before = (await pair.b.stats()).control;
    expect(await pair.a.call('sealAndSend', SLOT_A, 23, new Uint8Array(1400).fill(1))).toBe(true);
    await expect.poll(async () => (await pair.b.stats()).control - before).toBe(1n);
  });

  it('says which probes are larger than what the device outside takes', async () => {
    const before = (await pair.b.stats()).control;
    expect(await pair.a.call('sealAndSend', SLOT_A, 23, new Uint8Array(1473).fill(1))).toBe(false);
    expect(await pair.a.call('sealAndSend', SLOT_A, 23, new Uint8Array(4000).fill(1))).toBe(false);
    expect(await pair.a.call('sealAndSend', SLOT_A, 23, Uint8Array.of(1))).toBe(true);
    await expect.poll(async () => (await pair.b.stats()).control - before).toBe(1n);
  });

  it('does not take a too small device MTU outside for a broken offload', async () => {
    const setOuterMtu = (mtu: string): void => {
      run('ip', '-n', pair.namespaces.a, 'link', 'set', pair.namespaces.deviceA, 'mtu', mtu);
      run('ip', '-n', pair.namespaces.b, 'link', 'set', pair.namespaces.deviceB, 'mtu', mtu);
    };
    run('ip', '-n', pair.namespaces.a, 'route', 'flush', 'cache');
    await pair.a.call('setPathMtu', SLOT_A, 1472);
    await pair.b.call('setPathMtu', SLOT_B, 1472);
    setOuterMtu('1300');
    const sent = pair.hostA.call('tcpSend', '192.168.77.2', 9100, 1 << 20, 1);
    const failed = async (): Promise<number> => Number((await pair.a.stats()).peers.get(PEER)?.drops.out.send_error);
    await expect.poll(failed, { timeout: 5000 }).toBeGreaterThan(2);
    setOuterMtu('1500');
    expect(await sent).toBe(true);
    expect(pair.a.events.filter((event) => event.kind === 'offload-disabled')).toEqual([]);
  });

  it('has counted every packet exactly once', () => expectConservation(pair));
});

describe.skipIf(reason !== undefined)('addresses that move', () => {
  let pair: PlanePair;
  let elsewhere: number;
  const captured: Uint8Array[] = [];
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: 'v1' });
    elsewhere = (await pair.hostA.call('udpOpen', '10.77.0.1', 0)) as number;
  });
  afterAll(() => pair?.close());

  const moved = (): Moved[] => pair.b.events.filter((event): event is Moved => event.kind === 'moved');

  it('are noticed on a newest authenticated record only (H55)', async () => {
    for (let i = 0; i < 6; i++) {
      await pair.a.call('sealAndSend', SLOT_A, 23, Uint8Array.of(1, i), {
        remote: { address: '10.77.0.1', port: elsewhere },
        local: undefined,
      });
    }
    await expect.poll(() => pair.hostA.call('udpCount', elsewhere)).toBe(6);
    captured.push(...((await pair.hostA.call('udpTake', elsewhere)) as Sent).map(({ data }) => data));
    const send = (i: number): Promise<unknown> =>
      pair.hostA.call('udpSend', elsewhere, captured[i], pair.portB, '10.77.0.2');
    await pair.a.call(
      'sendDatagram',
      { remote: { address: '10.77.0.2', port: pair.portB }, local: undefined },
      captured[2],
    );
    await expect.poll(async () => (await pair.b.stats()).control).toBe(1n);
    await send(0);
    const forged = Uint8Array.from(captured[5] ?? []);
    forged[30] = (forged[30] ?? 0) ^ 1;
    await pair.hostA.call('udpSend', elsewhere, forged, pair.portB, '10.77.0.2');
    await expect.poll(async () => (await pair.b.stats()).control).toBe(2n);
    expect(moved()).toEqual([]);
    await send(3);
    await send(4);
    await expect.poll(async () => (await pair.b.stats()).control).toBe(4n);
    // Once a second at most.
    expect(moved()).toMatchObject([
      { slot: SLOT_B, path: { remote: { address: '10.77.0.1', port: elsewhere }, local: '10.77.0.2' } },
    ]);
  });

  it('are followed when the engine says so, and not before', async () => {
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 1 })).rttMs).toHaveLength(1);
    await pair.b.call('move', SLOT_B, { remote: { address: '10.77.0.1', port: elsewhere }, local: undefined });
    await pair.b.call('sealAndSend', SLOT_B, 23, Uint8Array.of(9));
    await expect.poll(() => pair.hostA.call('udpCount', elsewhere)).toBe(1);
    await pair.b.call('move', SLOT_B, { remote: { address: '10.77.0.1', port: pair.portA }, local: undefined });
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 1 })).rttMs).toHaveLength(1);
  });

  it('are answered from the address that was asked', async () => {
    run('ip', '-n', pair.namespaces.b, 'addr', 'add', '10.77.0.9/24', 'dev', pair.namespaces.deviceB);
    const events = pair.b.events.length;
    await pair.hostA.call(
      'udpSend',
      elsewhere,
      Uint8Array.from([22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
      pair.portB,
      '10.77.0.9',
    );
    await expect.poll(() => pair.b.events.length).toBe(events + 1);
    const event = pair.b.events.at(-1);
    expect(event).toMatchObject({ kind: 'datagram', path: { local: '10.77.0.9' } });
    if (event?.kind !== 'datagram') return;
    const answers = await pair.hostA.call('udpOpen', '10.77.0.1', 0);
    await pair.hostA.call('udpTake', elsewhere);
    run('ip', 'netns', 'exec', pair.namespaces.a, 'ip', 'route', 'add', 'blackhole', '10.77.0.2/32');
    await pair.b.call('sendDatagram', event.path, Uint8Array.of(1, 2, 3));
    await expect.poll(() => pair.hostA.call('udpCount', elsewhere)).toBe(1);
    run('ip', 'netns', 'exec', pair.namespaces.a, 'ip', 'route', 'del', 'blackhole', '10.77.0.2/32');
    expect(answers).toBeGreaterThan(0);
  });
});

describe.skipIf(reason !== undefined)('routing', () => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: 'r1' });
    for (const prefix of ['192.168.88.0/24', '192.168.89.0/24', '10.77.0.2/32']) {
      if (prefix.startsWith('10.')) continue;
      run('ip', '-n', pair.namespaces.a, 'route', 'add', prefix, 'dev', 'dtna');
    }
  });
  afterAll(() => pair?.close());

  const drops = async (): Promise<Record<string, number>> => {
    const stats = await pair.a.stats();
    const peer = stats.peers.get(PEER)?.drops.out;
    return Object.fromEntries(
      Object.entries(stats.drops.out).map(([name, count]) => [
        name,
        Number(count) + Number(peer?.[name as keyof typeof peer] ?? 0n),
      ]),
    );
  };

  it('drops what has no route, and what has one to nobody or to a peer without session', async () => {
    await pair.a.call('setRoutes', [
      { prefix: { address: '192.168.77.0', length: 24 }, outbound: PEER, inbound: [PEER] },
      { prefix: { address: '192.168.89.0', length: 24 }, outbound: undefined, inbound: [] },
    ]);
    const quick = { count: 2, interval: 1 as never, timeout: 50 as never };
    await pair.hostA.icmpEcho('192.168.88.1', quick);
    expect((await drops())['no_route']).toBeGreaterThanOrEqual(2);
    await pair.hostA.icmpEcho('192.168.89.1', quick);
    expect((await drops())['peer_down']).toBe(2);
    await pair.a.call('activate', PEER, undefined);
    await pair.hostA.icmpEcho('192.168.77.2', quick);
    expect((await drops())['peer_down']).toBe(4);
    await pair.a.call('activate', PEER, SLOT_A);
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 1 })).rttMs).toHaveLength(1);
  });

  it('drops its own datagrams when the route to the peer leads into the tunnel', async () => {
    await pair.a.call('setRoutes', [{ prefix: { address: '0.0.0.0', length: 0 }, outbound: PEER, inbound: [PEER] }]);
    run('ip', '-n', pair.namespaces.a, 'route', 'add', '10.77.0.2/32', 'dev', 'dtna');
    await pair.hostA.icmpEcho('192.168.77.2', { count: 3, interval: 1 as never, timeout: 50 as never });
    run('ip', '-n', pair.namespaces.a, 'route', 'del', '10.77.0.2/32', 'dev', 'dtna');
    expect((await drops())['loop']).toBe(3);
    expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 1 })).rttMs).toHaveLength(1);
  });

  it('limits the rate of a peer in each direction', async () => {
    const to = await pair.hostB.call('udpOpen', '192.168.77.2', 0);
    const from = await pair.hostA.call('udpOpen', '192.168.77.1', 0);
    const limited = { dscp: 'copy', ecn: true, rateLimit: 1_000_000, clampMss: true };
    const count = 400;
    for (const plane of [pair.a, pair.b]) {
      await plane.call('setPeer', PEER, limited);
      await pair.hostB.call('udpTake', to);
      await pair.hostA.call(
        'udpSendPatterns',
        from,
        Array.from({ length: count }, () => 1200),
        to,
        '192.168.77.2',
      );
      const limitedBy = async (): Promise<number> => {
        const peer = (await plane.stats()).peers.get(PEER);
        return Number(plane === pair.a ? peer?.drops.out.rate_limited : peer?.drops.in.rate_limited);
      };
      await expect.poll(async () => Number(await pair.hostB.call('udpCount', to)) + (await limitedBy())).toBe(count);
      expect(await limitedBy()).toBeGreaterThan(100);
      await plane.call('setPeer', PEER, { ...limited, rateLimit: undefined });
    }
  });

  it('has counted every packet exactly once', () => expectConservation(pair));
});

describe.skipIf(reason !== undefined)('traffic class', () => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open({ tag: 't1' });
  });
  afterAll(() => pair?.close());

  /** The DSCP and ECN octet of outer packets from A while it sends with `tos` inside. */
  async function outerTos(tos: number): Promise<number> {
    const counter = 'outer';
    const ns = pair.namespaces.b;
    run('ip', 'netns', 'exec', ns, 'nft', 'flush', 'ruleset');
    run(
      'ip',
      'netns',
      'exec',
      ns,
      'nft',
      `add table ip t; add chain ip t ${counter} { type filter hook prerouting priority -300 ; }`,
    );
    for (let value = 0; value < 64; value++) {
      for (let ecn = 0; ecn < 4; ecn++) {
        if (value !== tos >> 2 && value !== 0 && value !== 10) continue;
        run(
          'ip',
          'netns',
          'exec',
          ns,
          'nft',
          `add rule ip t ${counter} udp dport ${pair.portB} ip dscp ${value} ip ecn ${ecn} counter comment "${value * 4 + ecn}"`,
        );
      }
    }
    run(
      'ip',
      'netns',
      'exec',
      pair.namespaces.a,
      'ping',
      '-q',
      '-c',
      '2',
      '-i',
      '0.05',
      '-W',
      '1',
      '-Q',
      String(tos),
      '192.168.77.2',
    );
    const rules = run('ip', 'netns', 'exec', ns, 'nft', 'list', 'ruleset');
    const hit = [...rules.matchAll(/counter packets (\d+) bytes \d+ comment "(\d+)"/g)].filter(([, n]) => n === '2');
    expect(hit).toHaveLength(1);
    return Number(hit[0]?.[2]);
  }

  const canMatch = ((): boolean => {
    try {
      run('nft', '--version');
      run('ping', '-V');
      return true;
    } catch {
      console.log('traffic class outside skipped: needs nft and ping');
      return false;
    }
  })();

  it.skipIf(!canMatch)('is a copy, cleared or fixed, and ECN goes with it or not', async () => {
    const base = { ecn: true, rateLimit: undefined, clampMss: true };
    const inner = (46 << 2) | 2;
    await pair.a.call('setPeer', PEER, { ...base, dscp: 'copy' });
    expect(await outerTos(inner)).toBe(inner);
    await pair.a.call('setPeer', PEER, { ...base, dscp: 'clear' });
    expect(await outerTos(inner)).toBe(2);
    await pair.a.call('setPeer', PEER, { ...base, dscp: 10, ecn: false });
    expect(await outerTos(inner)).toBe(40);
  });
});
