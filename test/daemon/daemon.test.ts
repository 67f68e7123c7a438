import { existsSync, statSync } from 'node:fs';
import { get } from 'node:http';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DtunnelError } from '../../src/base/errors.ts';
import { ControlClient } from '../../src/control/client.ts';
import { socketNames } from '../../src/control/paths.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { statusDocument } from '../../src/control/status.ts';
import type { PlaneOptions } from '../../src/plane/plane.ts';
import {
  type Bench,
  type BenchOptions,
  berlinFile,
  DaemonWorld,
  parisFile,
  settle,
  testIdentity,
} from '../support/daemon-bench.ts';
import { FakeIp } from '../support/fake-ip.ts';
import { association } from '../support/snapshots.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';

const directory = useTemporaryDirectory();
let berlinIdentity: Identity;
let parisIdentity: Identity;
const running: Bench[] = [];

beforeAll(async () => {
  berlinIdentity = await testIdentity('berlin');
  parisIdentity = await testIdentity('paris');
});

afterEach(async () => {
  for (const { daemon } of running.splice(0)) {
    await daemon.stop();
    await daemon.ended;
  }
});

const parisConfig = (more = '', peer = ''): string => parisFile(berlinIdentity, more, peer);

/** What the metrics page on a unix socket answers to somebody without token. */
function pageStatus(socketPath: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path: '/metrics' }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', reject);
  });
}

async function berlin(world: DaemonWorld, config = berlinFile(parisIdentity)): Promise<Bench> {
  const bench = await world.start({
    name: 'berlin',
    at: '192.0.2.1',
    identity: berlinIdentity,
    config,
    runtimeDir: directory.path('berlin'),
  });
  running.push(bench);
  return bench;
}

async function paris(
  world: DaemonWorld,
  config = parisConfig(),
  over: Partial<Pick<BenchOptions, 'ip' | 'sysctl' | 'onOpened'>> = {},
): Promise<Bench> {
  const bench = await world.start({
    name: 'paris',
    at: '192.0.2.2',
    identity: parisIdentity,
    config,
    runtimeDir: directory.path('paris'),
    environment: { NOTIFY_SOCKET: '/run/notify' },
    ...over,
  });
  running.push(bench);
  return bench;
}

async function pair(
  configured = parisConfig(),
): Promise<{ world: DaemonWorld; berlin: Bench; paris: Bench; client: ControlClient }> {
  const world = new DaemonWorld();
  const both = { berlin: await berlin(world), paris: await paris(world, configured) };
  world.run(2_000);
  await settle();
  return { world, ...both, client: new ControlClient('paris', { dir: directory.path('paris') }) };
}

const events = (bench: Bench): readonly string[] => bench.log.map((line) => JSON.parse(line).event);

describe('two daemons', () => {
  it('are up, say so, and agree with their own schema', async () => {
    const { berlin, paris } = await pair();
    const status = statusDocument.parse(paris.daemon.status());
    expect(status.tunnel).toMatchObject({ name: 'paris', state: 'up', generation: 1, draining: false });
    expect(status.peers[0]).toMatchObject({
      name: 'berlin',
      state: 'up',
      endpoint: { address: '192.0.2.1', port: 4433, index: 0 },
      handshake: { cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256', group: 'x25519', role: 'client', protocol: 'dtunnel/1' },
    });
    expect(status.peers[0]?.path?.rttSeconds).toBeCloseTo(0.01, 3);
    expect(statusDocument.parse(berlin.daemon.status()).peers[0]?.endpoint).toEqual({
      address: '192.0.2.2',
      port: 4433,
    });
    expect(events(paris).filter((event) => event === 'peer.up')).toHaveLength(1);
  });

  it('tell of certificates that run out, ours and the peer’s, in log, status and metrics, and cut nothing off', async () => {
    const all = [berlinIdentity, parisIdentity];
    const late = await Promise.all([testIdentity('berlin', 10), testIdentity('paris', -1)]);
    [berlinIdentity, parisIdentity] = late;
    vi.useFakeTimers({ toFake: ['setInterval'] });
    try {
      const { world, paris, client } = await pair();
      vi.advanceTimersByTime(61_000);
      world.run(3_600_000);
      vi.advanceTimersByTime(600_000);
      const lines = paris.log.map((line) => JSON.parse(line)).filter(({ event }) => event === 'cert.expiring');
      expect(lines.map(({ peer, days, msg }) => [peer, days, msg])).toEqual([
        [undefined, -2, 'our certificate has expired'],
        ['berlin', 9, 'the peer certificate expires soon'],
      ]);
      const { peers, health } = paris.daemon.status();
      expect(peers[0]?.state).toBe('up');
      expect(health.map(({ code, peer }) => [code, peer])).toEqual([
        ['certificate-expiring', undefined],
        ['certificate-expiring', 'berlin'],
      ]);
      expect(await client.metrics()).toMatch(/certificate_not_after_timestamp_seconds\{[^}]*owner="peer"[^}]*\} \d+/);
    } finally {
      vi.useRealTimers();
      [berlinIdentity, parisIdentity] = all as [Identity, Identity];
    }
  });

  it('write few lines while nothing is wrong', async () => {
    const { world, paris } = await pair();
    const before = paris.log.length;
    world.run(6 * 3600 * 1000);
    await settle();
    expect(paris.daemon.status().tunnel.state).toBe('up');
    expect(paris.log.slice(before).map((line) => JSON.parse(line).msg)).toHaveLength(0);
    // Rekeys by time have happened, each without a word.
    expect(Date.parse(paris.daemon.status().peers[0]?.handshake?.at ?? '')).toBeGreaterThan(Date.UTC(2026, 10, 23, 0));
  });

  it("notice the other's silence and its return", async () => {
    const { world, paris } = await pair();
    world.cut = true;
    world.run(60_000);
    await settle();
    const down = paris.daemon.status();
    expect(down.tunnel.state).toBe('down');
    expect(down.health).toContainEqual(expect.objectContaining({ code: 'peer-down', peer: 'berlin' }));
    world.cut = false;
    world.run(10_000);
    await settle();
    expect(paris.daemon.status().tunnel.state).toBe('up');
    expect(events(paris).filter((event) => event.startsWith('peer.'))).toEqual([
      'peer.up',
      'peer.degraded',
      'peer.down',
      'peer.up',
    ]);
  });

  it('follow the path with the MTU of the device', async () => {
    const { paris } = await pair();
    const { innerMtuBytes = 0 } = paris.daemon.status().peers[0]?.path ?? {};
    expect(innerMtuBytes).toBeGreaterThan(1200);
    expect(paris.ip.lines).toContain(`-4 link set dev dt-memory mtu ${innerMtuBytes}`);
    expect(paris.daemon.status().tunnel.deviceMtuBytes).toBe(innerMtuBytes);
  });
});

describe('starting', () => {
  it('sets the host up, tells every change, then the service manager', async () => {
    const bench = await paris(new DaemonWorld());
    expect(bench.changes).toEqual([
      '[+] device dt-memory  mtu 1420  172.31.0.2/30',
      '[+] route 10.1.0.0/16 dev dt-memory',
    ]);
    expect(bench.notified.at(0)).toMatch(/^READY=1\nSTATUS=0 of 1 peer up$/);
    expect(bench.opened[0]).toMatchObject({
      device: { name: 'dt-paris', mtu: 1420 },
      listen: [{ port: 0 }],
      fwMark: undefined,
    });
  });

  it('counts what comes before its tunnel is there', async () => {
    const ip = new FakeIp();
    const world = new DaemonWorld();
    const path = association().path;
    let come = (): void => undefined;
    ip.onLine = () => come();
    const onOpened = ({ onEvent }: PlaneOptions): void => {
      come = () => onEvent({ kind: 'datagram', path, datagram: Uint8Array.of(22), at: world.clock.now });
    };
    await paris(world, parisConfig(), { ip, onOpened });
    const text = await new ControlClient('paris', { dir: directory.path('paris') }).metrics();
    const counted = /^dtunnel_handshake_datagrams_ignored_total\{.*reason="starting".*\} (\d+)$/m.exec(text)?.[1];
    expect(Number(counted)).toBe(ip.lines.filter((line) => line.startsWith('-')).length);
    expect(Number(counted)).toBeGreaterThan(0);
  });

  it('ends when its data plane has failed by then', async () => {
    const ip = new FakeIp();
    let fail = (): void => undefined;
    ip.onLine = () => fail();
    const onOpened = ({ onEvent }: PlaneOptions): void => {
      fail = () => onEvent({ kind: 'failed', error: 'the device is gone' });
    };
    const bench = await paris(new DaemonWorld(), parisConfig(), { ip, onOpened });
    expect(await bench.daemon.ended).toBe(1);
  });

  it('leaves nothing behind when the host refuses', async () => {
    const ip = new FakeIp();
    ip.refuse = { containing: 'route add 10.1.0.0/16', saying: 'RTNETLINK answers: File exists' };
    const start = paris(new DaemonWorld(), parisConfig(), { ip });
    await expect(start).rejects.toMatchObject({ code: 'S014', message: expect.stringContaining('File exists') });
    expect([...ip.present]).toEqual([]);
    expect(socketNames(directory.path('paris'))).toEqual([]);
  });

  it('leaves nothing behind when the metrics port is taken', async () => {
    const world = new DaemonWorld();
    await berlin(
      world,
      berlinFile(parisIdentity).replace('Metrics = off', `Metrics = unix:${directory.path('m.sock')}`),
    );
    const ip = new FakeIp();
    const config = parisConfig().replace('Metrics = off', `Metrics = unix:${directory.path('missing/m.sock')}`);
    await expect(paris(world, config, { ip })).rejects.toMatchObject({ code: 'N003' });
    expect([...ip.present]).toEqual([]);
    expect(socketNames(directory.path('paris'))).toEqual([]);
  });

  it('refuses a file with all its errors at once, before anything is touched', async () => {
    const ip = new FakeIp();
    const start = paris(new DaemonWorld(), parisConfig('Bogus = 1').replace('Endpoint', 'Endpiont'), { ip });
    const error = await start.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DtunnelError);
    expect(error).toMatchObject({
      code: 'S030',
      exitCode: 78,
      details: { items: [{ code: 'C012' }, { code: 'C012' }] },
    });
    expect(ip.lines).toEqual([]);
  });

  it('says who holds the port', async () => {
    const openPlane = (): never => {
      throw new DtunnelError('N001', 'another program listens on UDP port 4433');
    };
    const start = new DaemonWorld().start({
      name: 'paris',
      at: '192.0.2.2',
      identity: parisIdentity,
      config: parisConfig(),
      runtimeDir: directory.path('paris'),
      openPlane,
    });
    await expect(start).rejects.toMatchObject({
      code: 'N001',
      message: 'another program listens on UDP port 4433: pid 733 (openvpn)',
    });
  });

  it('refuses to run twice', async () => {
    const world = new DaemonWorld();
    await paris(world);
    const ip = new FakeIp();
    await expect(paris(world, parisConfig(), { ip })).rejects.toMatchObject({ code: 'S015' });
    expect(ip.lines).toEqual([]);
  });
});

describe('stopping', () => {
  it('takes everything back, tells the peer, and answers before it ends', async () => {
    const { world, berlin, paris, client } = await pair();
    const { changes, told } = await client.down();
    expect(changes).toEqual(['route 10.1.0.0/16 dev dt-memory', 'device dt-memory']);
    expect(told).toEqual(['berlin']);
    expect(await paris.daemon.ended).toBe(0);
    expect([...paris.ip.present]).toEqual([]);
    expect(socketNames(directory.path('paris'))).toEqual([]);
    world.run(100);
    await settle();
    expect(berlin.daemon.status().peers[0]?.state).not.toBe('up');
    expect(paris.notified).toContain('STOPPING=1\nSTATUS=stopping');
  });

  it('after a drain leaves no session, and says so', async () => {
    const { world, paris, client } = await pair();
    const drained = client.drain(5_000);
    await expect.poll(() => paris.daemon.status().tunnel.draining, { interval: 5 }).toBe(true);
    world.run(5_000);
    expect(await drained).toMatchObject({ result: 'drained', sessionsLeft: 0 });
    expect(await paris.daemon.ended).toBe(0);
    expect([...paris.ip.present]).toEqual([]);
  });
});

describe('the control socket of a daemon', () => {
  it('makes fresh keys on request and knows its peers', async () => {
    const { world, paris, client } = await pair();
    const before = paris.daemon.status().peers[0]?.handshake?.at;
    expect(await client.rekey('berlin')).toEqual({ peers: ['berlin'] });
    world.run(500);
    expect(paris.daemon.status().peers[0]?.handshake?.at).not.toBe(before);
    await expect(client.rekey('rome')).rejects.toMatchObject({
      code: 'S018',
      message: 'paris has no peer rome (there are berlin)',
    });
    await expect(client.ping('rome', 100)).rejects.toMatchObject({ code: 'S018' });
  });

  it('probes a peer at once when asked to, however quiet the link is', async () => {
    const { world, client } = await pair();
    world.run(60_000);
    const ping = client.ping('berlin', 5_000);
    await expect
      .poll(() => {
        world.run(5);
        return Promise.race([ping.then(({ rttMs }) => rttMs), settle().then(() => undefined)]);
      })
      .toBeCloseTo(10, 0);
  });

  it('serves every metric also when nobody may scrape', async () => {
    const { client } = await pair();
    const text = await client.metrics();
    expect(text).toContain('dtunnel_peer_up{tunnel="paris",peer="berlin"} 1\n');
    expect(text).toContain('dtunnel_handshakes_in_progress{tunnel="paris"} 0\n');
    expect(text).toContain(
      'dtunnel_handshakes_total{tunnel="paris",peer="berlin",role="client",result="completed"} 1\n',
    );
  });

  it('changes the level of the log', async () => {
    const { world, paris, client } = await pair();
    expect(await client.setLogLevel('debug')).toEqual({ level: 'debug', before: 'info' });
    await client.rekey(undefined);
    world.run(500);
    expect(events(paris)).toContain('rekey.done');
  });
});

describe('reload', () => {
  it('plans without touching, applies, and goes back', async () => {
    const { world, paris, client } = await pair();
    const sessions = paris.plane().installed;
    world.files.set('/etc/dtunnel/paris.conf', parisConfig().replace('10.1.0.0/16', '10.1.0.0/16, 10.9.0.0/16'));
    const lines = paris.ip.lines.length;
    const plan = await client.reload({ plan: true, revert: false });
    expect(plan).toMatchObject({ applied: false, generation: 1 });
    expect(plan.changes).toEqual([
      { action: '~', peer: 'berlin', key: 'AllowedIPs', text: '+ 10.9.0.0/16', hitless: true, note: '' },
    ]);
    expect(paris.ip.lines).toHaveLength(lines);

    expect(await client.reload({ plan: false, revert: false })).toMatchObject({
      applied: true,
      generation: 2,
      droppedPackets: 0,
    });
    expect([...paris.ip.present]).toContain('route 10.9.0.0/16 dev dt-memory');
    expect(paris.plane().installed).toBe(sessions);
    expect(paris.daemon.status().tunnel).toMatchObject({ generation: 2, state: 'up' });

    expect(await client.reload({ plan: false, revert: true })).toMatchObject({ applied: true, generation: 3 });
    expect([...paris.ip.present]).not.toContain('route 10.9.0.0/16 dev dt-memory');
    expect(await client.metrics()).toContain('dtunnel_config_reloads_total{tunnel="paris",result="reverted"} 1\n');
  });

  it('keeps what is in force when the file is wrong, and shows that it was', async () => {
    const { world, paris, client } = await pair();
    const { configHash } = paris.daemon.status().tunnel;
    world.files.set('/etc/dtunnel/paris.conf', parisConfig('Bogus = 1'));
    await expect(client.reload({ plan: false, revert: false })).rejects.toMatchObject({ code: 'S030', exitCode: 78 });
    expect(paris.daemon.status().tunnel).toMatchObject({ generation: 1, configHash, state: 'up' });
    expect(paris.daemon.status().health).toContainEqual(expect.objectContaining({ code: 'reload-failed' }));
    expect(await client.metrics()).toContain('dtunnel_config_last_reload_successful{tunnel="paris"} 0\n');
    world.files.set('/etc/dtunnel/paris.conf', parisConfig());
    await client.reload({ plan: false, revert: false });
    expect(paris.daemon.status().health).toEqual([]);
  });

  it('takes everything back when the host refuses a part', async () => {
    const { world, paris, client } = await pair();
    const before = [...paris.ip.present].sort();
    paris.ip.refuse = { containing: '10.8.0.0/16', saying: 'RTNETLINK answers: File exists' };
    world.files.set('/etc/dtunnel/paris.conf', parisConfig().replace('10.1.0.0/16', '10.7.0.0/16, 10.8.0.0/16'));
    await expect(client.reload({ plan: false, revert: false })).rejects.toMatchObject({ code: 'S014' });
    expect([...paris.ip.present].sort()).toEqual(before);
    expect(paris.daemon.status().peers[0]?.allowedIps).toEqual(['172.31.0.1/32', '10.1.0.0/16']);
  });

  it('names what only a restart can change, and changes nothing else either', async () => {
    const { world, paris, client } = await pair();
    world.files.set('/etc/dtunnel/paris.conf', parisConfig('Lanes = 2').replace('10.1.0.0/16', '10.7.0.0/16'));
    const error = client.reload({ plan: false, revert: false });
    await expect(error).rejects.toMatchObject({ code: 'S031', message: 'cannot change while running: Lanes' });
    expect([...paris.ip.present]).toContain('route 10.1.0.0/16 dev dt-memory');
  });

  it('marks its sockets as a reload asks, and says so', async () => {
    const { world, paris, client } = await pair();
    const planned = async (config: string) => {
      world.files.set('/etc/dtunnel/paris.conf', config);
      return (await client.reload({ plan: true, revert: false })).changes.find(({ key }) => key === 'FwMark');
    };
    expect(await planned(parisConfig('FwMark = 7'))).toMatchObject({
      text: 'sockets unmarked → marked 0x7',
      hitless: true,
    });
    expect(await planned(parisConfig().replace('10.1.0.0/16', '0.0.0.0/0'))).toMatchObject({
      text: 'sockets unmarked → marked for a default route',
      hitless: true,
    });
    await client.reload({ plan: false, revert: false });
    expect(paris.plane().mark).toBe(4433);
    world.files.set('/etc/dtunnel/paris.conf', parisConfig('FwMark = 7').replace('10.1.0.0/16', '0.0.0.0/0'));
    await client.reload({ plan: false, revert: false });
    expect(paris.plane().mark).toBe(7);
    await client.reload({ plan: false, revert: true });
    expect(paris.plane().mark).toBe(4433);
    world.files.set('/etc/dtunnel/paris.conf', parisConfig());
    await client.reload({ plan: false, revert: false });
    expect(paris.plane().mark).toBeUndefined();
    expect([...paris.ip.present].filter((entry) => entry.startsWith('rule'))).toEqual([]);
  });

  it('takes the listener, the level and the detail of metrics from the file', async () => {
    const { world, paris, client } = await pair();
    const socket = directory.path('m.sock');
    const config = parisConfig('LogLevel = debug\nMetricsDetail = summary').replace(
      'Metrics = off',
      `Metrics = unix:${socket}`,
    );
    world.files.set('/etc/dtunnel/paris.conf', config);
    await client.reload({ plan: false, revert: false });
    expect(existsSync(socket)).toBe(true);
    expect(await client.metrics()).toContain(
      'dtunnel_handshakes_total{tunnel="paris",role="client",result="completed"} 0\n',
    );
    await client.rekey('berlin');
    world.run(500);
    expect(events(paris)).toContain('rekey.done');
    await client.reload({ plan: false, revert: true });
    expect(existsSync(socket)).toBe(false);
    expect(await client.metrics()).toContain(
      'dtunnel_handshakes_total{tunnel="paris",peer="berlin",role="client",result="completed"} 0\n',
    );
  });

  it('asks for another token of metrics where it listens, which is not closed for that', async () => {
    const { world, client } = await pair();
    const socket = directory.path('m.sock');
    const config = (more: string): string => parisConfig(more).replace('Metrics = off', `Metrics = unix:${socket}`);
    world.files.set('/etc/dtunnel/paris.conf', config(''));
    await client.reload({ plan: false, revert: false });
    // What listened was closed before the other could be opened: when that failed, nobody listened any more.
    const { ino } = statSync(socket);
    expect(await pageStatus(socket)).toBe(200);
    world.files.set('/etc/dtunnel/paris.conf', config('MetricsToken = for-those-who-scrape'));
    await client.reload({ plan: false, revert: false });
    expect(await pageStatus(socket)).toBe(401);
    await client.reload({ plan: false, revert: true });
    expect(await pageStatus(socket)).toBe(200);
    expect(statSync(socket).ino).toBe(ino);
  });

  it('ends the session of a peer that is removed, and its series', async () => {
    const { world, paris, client } = await pair();
    world.files.set('/etc/dtunnel/paris.conf', parisConfig().replace(/\[Peer\][\s\S]*$/, ''));
    await client.reload({ plan: false, revert: false });
    expect(paris.plane().installed).toBe(0);
    expect(paris.daemon.status().peers).toEqual([]);
    expect(await client.metrics()).not.toContain('peer="berlin"');
    expect([...paris.ip.present]).toEqual(['address 172.31.0.2/30 dev dt-memory']);
  });

  it('has nothing to go back to before the first', async () => {
    const { client } = await pair();
    await expect(client.reload({ plan: false, revert: true })).rejects.toMatchObject({ code: 'S032' });
  });

  it('by signal tells the service manager that it is under way and done', async () => {
    const { paris } = await pair();
    paris.notified.length = 0;
    await paris.daemon.reload();
    expect(paris.notified.map((state) => state.split('\n', 1)[0])).toEqual(['RELOADING=1', 'READY=1']);
  });
});

describe('FailClosed = off', () => {
  it('gives none to a peer that is down at a reload, not even for a moment', async () => {
    const { world, paris, client } = await pair(parisConfig('FailClosed = off'));
    world.cut = true;
    world.run(60_000);
    await settle();
    const text = parisConfig('FailClosed = off').replace('10.1.0.0/16', '10.1.0.0/16, 10.9.0.0/16');
    world.files.set('/etc/dtunnel/paris.conf', text);
    const lines = paris.ip.lines.length;
    await client.reload({ plan: false, revert: false });
    expect(paris.ip.lines.slice(lines).filter((line) => line.includes('route add'))).toEqual([]);
  });

  it('gives routes only to peers that are up', async () => {
    const world = new DaemonWorld();
    await berlin(world);
    const bench = await paris(world, parisConfig('FailClosed = off'));
    const hasRoute = (): boolean => bench.ip.present.has('route 10.1.0.0/16 dev dt-memory');
    await settle();
    expect(hasRoute()).toBe(false);
    world.run(2_000);
    await settle();
    expect(hasRoute()).toBe(true);
    world.cut = true;
    world.run(60_000);
    await settle();
    expect(hasRoute()).toBe(false);
    expect([...bench.ip.present].some((entry) => entry.includes('blackhole'))).toBe(false);
  });
});
