import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ControlClient } from '../../../src/control/client.ts';
import type { Identity } from '../../../src/crypto/identity.ts';
import type { Channel } from '../../../src/daemon/upgrade/frame-channel.ts';
import { successorArguments } from '../../../src/daemon/upgrade/successor.ts';
import {
  type Bench,
  type BenchOptions,
  berlinFile,
  DaemonWorld,
  parisFile,
  settle,
  testIdentity,
} from '../../support/daemon-bench.ts';
import { useTemporaryDirectory } from '../../support/temporary-directory.ts';

const directory = useTemporaryDirectory();
let berlinIdentity: Identity;
let parisIdentity: Identity;
const running: Bench[] = [];

beforeAll(async () => {
  berlinIdentity = await testIdentity('berlin');
  parisIdentity = await testIdentity('paris');
});

afterEach(async () => {
  for (const { daemon, heir } of running.splice(0)) await (heir() ?? daemon).stop();
});

const parisConfig = (more = '', peer = ''): string => parisFile(berlinIdentity, more, peer);

/** Both ends up; Paris is the one that is upgraded. */
async function link(over: Partial<BenchOptions> = {}) {
  const world = new DaemonWorld();
  const berlin = await world.start({
    name: 'berlin',
    at: '192.0.2.1',
    identity: berlinIdentity,
    config: berlinFile(parisIdentity),
    runtimeDir: directory.path('berlin'),
  });
  const paris = await world.start({
    name: 'paris',
    at: '192.0.2.2',
    identity: parisIdentity,
    config: parisConfig(),
    runtimeDir: directory.path('paris'),
    ...over,
  });
  running.push(berlin, paris);
  world.run(3000);
  await settle();
  const client = new ControlClient('paris', { dir: directory.path('paris'), timeoutMs: 15_000 });
  return { world, berlin, paris, client };
}

const handshakes = ({ log }: Bench): number => log.filter((line) => line.includes('"handshake.')).length;
const upgradeLines = ({ log }: Bench) =>
  log.map((line) => JSON.parse(line)).filter(({ event }) => event === 'daemon.upgrade');

describe('an upgrade', () => {
  it('hands everything over: sessions, host, control socket; the old process undoes nothing', async () => {
    const { world, berlin, paris, client } = await link();
    const before = paris.daemon.status();
    const [ipLines, changes] = [paris.ip.lines.length, paris.changes.length];
    const reply = await client.upgrade(true);
    expect(reply).toMatchObject({
      result: 'handed_over',
      tunnels: 1,
      peers: 1,
      sockets: 2,
      droppedPackets: 0,
      pid: 43,
      previousPid: 42,
      version: '0.1.1',
      previousVersion: '0.1.0',
    });
    expect(await paris.daemon.ended).toBe(0);
    expect(await client.hello()).toMatchObject({ pid: 43 });
    const after = (await client.status()).document;
    expect(after.tunnel).toEqual({ ...before.tunnel, pid: 43 });
    expect(after.peers).toEqual(before.peers);
    expect(paris.ip.lines.length).toBe(ipLines);
    expect(paris.changes.length).toBe(changes);
    world.run(30_000);
    expect(berlin.daemon.status().peers[0]?.state).toBe('up');
    expect(paris.heir()?.status().peers[0]?.state).toBe('up');
    expect([handshakes(berlin), handshakes(paris)]).toEqual([0, 0]);
    await paris.heir()?.stop();
    expect([...paris.ip.present]).toEqual([]);
  });

  it('is told on both sides, and counted with its gap', async () => {
    const { paris, client } = await link();
    await client.upgrade(true);
    await settle();
    expect(upgradeLines(paris).map(({ msg }) => msg)).toEqual([
      'handing over to a new process',
      'handed over',
      'took over',
    ]);
    expect(upgradeLines(paris).at(-1)).toMatchObject({ previousPid: 42, peers: 1, droppedPackets: 0 });
    const metrics = await client.metrics();
    expect(metrics).toContain('dtunnel_handovers_total{tunnel="paris",result="completed"} 1');
    expect(metrics).toContain('dtunnel_handover_gap_seconds_count{tunnel="paris"} 1');
  });

  it('tells the service manager who is its main process, and only then that that is ready', async () => {
    const { paris, client } = await link({ environment: { NOTIFY_SOCKET: '/run/notify' } });
    paris.notified.length = 0;
    await client.upgrade(true);
    await settle();
    expect(paris.notified[0]).toBe('MAINPID=43');
    expect(paris.notified.slice(1).some((state) => state.startsWith('READY=1'))).toBe(true);
    expect(paris.notified.join()).not.toContain('STOPPING');
  });

  it('applies what the file says by now as an ordinary reload afterwards', async () => {
    const { world, paris, client } = await link();
    world.files.set('/etc/dtunnel/paris.conf', parisConfig('', 'DeadAfter = 3s'));
    await client.upgrade(true);
    await settle();
    const { tunnel, peers } = (await client.status()).document;
    expect(tunnel.generation).toBe(2);
    expect(peers[0]?.state).toBe('up');
    expect(paris.log.some((line) => line.includes('"config.applied"'))).toBe(true);
  });

  it('can be followed by another', async () => {
    const { client, paris } = await link();
    await client.upgrade(true);
    await settle();
    expect(await client.upgrade(true)).toMatchObject({ result: 'handed_over' });
    await settle();
    expect(await client.metrics()).toContain('dtunnel_handovers_total{tunnel="paris",result="completed"} 2');
    expect(paris.heir()?.status().peers[0]?.state).toBe('up');
  });
});

describe('an upgrade that cannot be', () => {
  it('for a mistake in the file tells it and leaves everything as it was', async () => {
    const { world, paris, client } = await link();
    world.files.set('/etc/dtunnel/paris.conf', parisConfig('', 'Endpiont = x:1'));
    await expect(client.upgrade(true)).rejects.toMatchObject({ code: 'S030', exitCode: 78 });
    await goesOn(world, paris, client);
  });

  it('for a change that needs a restart says which', async () => {
    const { world, paris, client } = await link();
    world.files.set('/etc/dtunnel/paris.conf', parisConfig('Lanes = 2'));
    await expect(client.upgrade(true)).rejects.toMatchObject({ code: 'S031', message: /Lanes/ });
    await goesOn(world, paris, client);
  });

  it.each<[string, (channel: Channel, end: (status: number | undefined) => void) => void, string]>([
    ['ends before it is prepared', (_, end) => end(1), 'S042'],
    ['says what nobody knows', (channel) => channel.send({ kind: 'what' }), 'S042'],
    ['ends with the state in its hands', (channel, end) => void untilState(channel).then(() => end(undefined)), 'S042'],
    [
      'says that it cannot, with the state in its hands',
      (channel) => void untilState(channel).then(() => channel.send(failure('S040'))),
      'S040',
    ],
  ])('because the new process %s goes on where it froze', async (_name, successor, code) => {
    const { world, paris, client } = await link({ successor });
    await expect(client.upgrade(false)).rejects.toMatchObject({ code });
    await goesOn(world, paris, client);
    expect(upgradeLines(paris).at(-1)).toMatchObject({ msg: 'could not hand over', level: 50 });
  });

  it.each<[string, (channel: Channel, end: (status: number | undefined) => void) => void]>([
    ['says so', (channel) => void channel.receive().then(() => channel.send({ kind: 'incompatible', format: 9 }))],
    ['knows no such option', (_, end) => end(2)],
  ])('because the new program %s restarts, or with --no-restart does nothing', async (_name, successor) => {
    const { world, paris, client } = await link({ successor });
    await expect(client.upgrade(false)).rejects.toMatchObject({ code: 'S041', exitCode: 5 });
    await goesOn(world, paris, client);
    const asking = client.upgrade(true);
    expect(await asking).toMatchObject({ result: 'restarting', previousPid: 42 });
    await settle();
    world.run(10_000);
    await paris.daemon.stop();
    expect(await paris.daemon.ended).toBe(0);
    expect(paris.restarts()).toBe(1);
    expect([...paris.ip.present]).toEqual([]);
    running.pop();
  });

  it.each<[string, (channel: Channel, end: (status: number | undefined) => void) => void]>([
    ['ended', (_, end) => end(undefined)],
    ['said that it failed', (channel) => channel.send(failure('S042'))],
  ])('and %s after the word to go starts afresh: no key is used by two', async (_name, fail) => {
    const sealed: number[] = [];
    const { world, paris, client } = await link({
      successor: (channel, end) => {
        void untilState(channel).then(async () => {
          channel.send({ kind: 'ready' });
          await channel.receive();
          fail(channel, end);
        });
      },
    });
    const plane = paris.plane();
    const stats = () => [...plane.stats().sessions.values()].map(({ sealedRecords }) => Number(sealedRecords));
    sealed.push(...stats());
    expect(await client.upgrade(false)).toMatchObject({ result: 'restarting' });
    await settle();
    world.run(5000);
    expect(stats().every((n, i) => n === sealed[i])).toBe(true);
    await paris.daemon.stop();
    await paris.daemon.ended;
    expect(paris.restarts()).toBe(1);
    running.pop();
  });

  it('is refused in process 1, and while another is under way', async () => {
    let goOn: () => void = () => undefined;
    const { client } = await link({
      successor: (_, end) => {
        goOn = () => end(1);
      },
    });
    const first = client.upgrade(false);
    await settle();
    await expect(client.upgrade(false)).rejects.toMatchObject({ code: 'S034' });
    await expect(client.reload({ plan: false, revert: false })).rejects.toMatchObject({ code: 'S034' });
    await expect(client.drain(10)).rejects.toMatchObject({ code: 'S034' });
    await expect(client.down()).rejects.toMatchObject({ code: 'S034' });
    goOn();
    await expect(first).rejects.toMatchObject({ code: 'S042' });
  });

  it('gives way to SIGTERM', async () => {
    const { paris, client } = await link({ successor: () => undefined });
    const upgrading = client.upgrade(true);
    upgrading.catch(() => undefined);
    await settle();
    await paris.daemon.stop();
    await expect(upgrading).rejects.toMatchObject({ code: 'S042', message: 'the tunnel is told to stop' });
    expect([...paris.ip.present]).toEqual([]);
    expect(paris.restarts()).toBe(0);
    running.pop();
  });
});

describe('the arguments of a successor', () => {
  it('are those of the daemon, without what was for it alone', () => {
    const own = ['/usr/bin/dtunnel', 'run', 'paris', '--report-fd', '3', '--log-file', '/run/p.log', '--handover-fd=3'];
    expect(successorArguments(own, ['--handover-fd', '3'])).toEqual([
      '/usr/bin/dtunnel',
      'run',
      'paris',
      '--log-file',
      '/run/p.log',
      '--handover-fd',
      '3',
    ]);
  });
});

/** Plays along until it has been given the state. */
async function untilState(channel: Channel): Promise<void> {
  await channel.receive();
  channel.send({ kind: 'prepared', version: '0.1.1' });
  await channel.receive();
}

function failure(code: string): object {
  return { kind: 'failed', error: { code, message: 'cannot', hint: 'x', exit: 1 } };
}

/** The old daemon answers, its peer is up, and nothing had to be made anew. */
async function goesOn(world: DaemonWorld, paris: Bench, client: ControlClient): Promise<void> {
  expect(await client.hello()).toMatchObject({ pid: 42 });
  const { acked } = { acked: paris.daemon.status().peers[0]?.state };
  expect(acked).toBe('up');
  world.run(40_000);
  expect(paris.daemon.status().peers[0]?.state).toBe('up');
  expect(handshakes(paris)).toBe(0);
  expect(paris.daemon.status().tunnel.generation).toBe(1);
}
