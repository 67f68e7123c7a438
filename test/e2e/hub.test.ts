import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtProgram } from '../../src/demo/built.ts';
import { FOLDER, PORT } from '../../src/demo/link.ts';
import { firstPing, lostOf } from '../../src/demo/measure.ts';
import type { Site } from '../../src/demo/rig.ts';
import { startTool, type Tool } from '../../src/demo/tools.ts';
import { amidTraffic, type LinkedRig, prepareLink, statusOf, UNABLE } from './support.ts';

/** A daemon elsewhere than at the two sites, driven as an operator would. */
interface Place {
  readonly name: string;
  readonly netns: string;
  readonly fingerprint: string;
  dtunnel(...args: readonly string[]): Promise<string>;
}

/** Berlin, Paris and Lyon around a hub that all of them reach at its public address. */
interface Star extends LinkedRig {
  readonly hub: Place;
  readonly lyon: Place;
}

/** The hub stands in the internet itself; Lyon hangs on it by a wire of its own, and has no LAN. */
const HUB = '203.0.113.1';
const LYON_PUBLIC = '192.0.2.30';
const LYON_HOST = '10.3.0.2';

async function star(): Promise<Star> {
  const linked = await prepareLink();
  const { rig, link } = linked;
  const { enclosure, internet = '' } = rig;
  const script = `
ip netns add lyon
ip -n lyon link set lo up
ip -n lyon link add wan0 type veth peer name lyon0 netns ${internet}
ip -n ${internet} addr add 192.0.2.1/24 dev lyon0
ip -n ${internet} link set lyon0 up
ip -n lyon addr add ${LYON_PUBLIC}/24 dev wan0
ip -n lyon link set wan0 up
ip -n lyon route add default via 192.0.2.1
`;
  await enclosure.run(['sh', '-eu'], { input: script });
  mkdirSync(enclosure.path(`${FOLDER}/spokes.d`), { mode: 0o700 });
  const place = async (name: string, netns: string): Promise<Place> => {
    const dtunnel = async (...args: readonly string[]): Promise<string> => {
      const argv = [process.execPath, builtProgram('main.js'), ...args];
      const env = { DTUNNEL_CONFIG_DIR: FOLDER, NO_COLOR: '1' };
      return (await enclosure.run(argv, { netns, env })).stdout;
    };
    const { fingerprint } = JSON.parse(await dtunnel('keygen', name, '--json'));
    return { name, netns, fingerprint: String(fingerprint), dtunnel };
  };
  const [hub, lyon] = await Promise.all([place('hub', internet), place('lyon', 'lyon')]);
  const own = (name: string, address: string, more: string): string => `
[Interface]
Address     = ${address}
Certificate = ${FOLDER}/${name}.crt
PrivateKey  = ${FOLDER}/${name}.key
${more}`;
  write(linked, 'hub.conf', own('hub', '172.31.1.1/32', `ListenPort = ${PORT}\nInclude = spokes.d/*.conf\n`));
  // A spoke knows the hub alone, and everything that is not its own is behind it.
  const behindHub = { Fingerprint: hub.fingerprint, Endpoint: `${HUB}:${PORT}`, AllowedIPs: '10.0.0.0/8, fd10::/16' };
  for (const here of [rig.berlin, rig.paris]) link.configure(here, { peer: { Name: 'hub', ...behindHub } });
  const peer = Object.entries(behindHub).map(([key, value]) => `${key} = ${value}\n`);
  write(linked, 'lyon.conf', own('lyon', `${LYON_HOST}/32`, `\n[Peer hub]\n${peer.join('')}`));
  return { ...linked, hub, lyon };
}

function write({ rig }: LinkedRig, file: string, text: string): void {
  writeFileSync(rig.enclosure.path(`${FOLDER}/${file}`), text, { mode: 0o600 });
}

describe.skipIf(UNABLE !== undefined)('a hub', () => {
  let world: Star;
  beforeAll(async () => {
    world = await star();
  });
  afterAll(async () => {
    await world?.rig.close();
  });

  /** What the hub is told of a spoke, in a file of its own. */
  const include = (name: string, fingerprint: string, allowedIps: string): void =>
    write(world, `spokes.d/${name}.conf`, `[Peer ${name}]\nFingerprint = ${fingerprint}\nAllowedIPs = ${allowedIps}\n`);
  const includeSite = (here: Site): void =>
    include(here.name, world.link.fingerprint(here), `${here.lan4}, ${here.lan6}`);
  const includeLyon = (): void => include('lyon', world.lyon.fingerprint, '10.3.0.0/16');

  const states = async (): Promise<Readonly<Record<string, string>>> => {
    const { peers } = JSON.parse(await world.hub.dtunnel('status', 'hub', '--json'));
    return Object.fromEntries(peers.map(({ name, state }: Record<string, string>) => [name, state]));
  };

  it('passes from spoke to spoke as soon as it knows both, though one called in vain before', async () => {
    const { rig, link, hub } = world;
    includeSite(rig.berlin);
    await hub.dtunnel('up', 'hub', '--no-wait');
    await Promise.all([
      link.dtunnel(rig.berlin, ['up', 'berlin']),
      link.dtunnel(rig.paris, ['up', 'paris', '--no-wait']),
    ]);
    expect((await statusOf(link, rig.paris)).peers[0].state).not.toBe('up');
    expect(await states()).toEqual({ berlin: 'up' });
    includeSite(rig.paris);
    expect(await hub.dtunnel('reload', 'hub')).toMatch(/\+ peer paris .*hitless/);
    expect(await firstPing(rig.enclosure, rig.paris.host, rig.berlin.host4, 15_000)).toBeDefined();
    expect(await states()).toEqual({ berlin: 'up', paris: 'up' });
  });

  it('takes a third spoke in and cuts it off again, and the other two lose nothing', async () => {
    const { rig, hub, lyon } = world;
    await lyon.dtunnel('up', 'lyon', '--no-wait');
    const { result, intact } = await amidTraffic(world, async () => {
      includeLyon();
      expect(await hub.dtunnel('reload', 'hub')).toMatch(/\+ peer lyon .*hitless/);
      expect(await firstPing(rig.enclosure, 'lyon', rig.berlin.host4, 15_000)).toBeDefined();
      const flow = await lyonToBerlin();
      try {
        await delay(300);
        expect((await flow.lap()).received).toBeGreaterThan(10);
        rmSync(rig.enclosure.path(`${FOLDER}/spokes.d/lyon.conf`));
        expect(await hub.dtunnel('reload', 'hub')).toMatch(/- peer lyon .*hitless/);
        await delay(100);
        await flow.lap();
        await delay(1000);
        expect((await flow.lap()).received).toBe(0);
      } finally {
        await flow.close();
      }
    });
    expect([lostOf(result), intact]).toEqual([0, true]);
    for (const { duplicated, reordered } of [result.fromBerlin, result.fromParis]) {
      expect({ duplicated, reordered }).toEqual({ duplicated: 0, reordered: 0 });
    }
    expect(await states()).toEqual({ berlin: 'up', paris: 'up' });
  });

  it('lets the third one in again, and fresh keys with all of them lose nothing', async () => {
    const { rig, hub } = world;
    includeLyon();
    await hub.dtunnel('reload', 'hub');
    expect(await firstPing(rig.enclosure, 'lyon', rig.paris.host4, 15_000)).toBeDefined();
    expect(await states()).toEqual({ berlin: 'up', lyon: 'up', paris: 'up' });
    const { result, intact } = await amidTraffic(world, () => hub.dtunnel('rekey', 'hub'));
    expect([lostOf(result), intact]).toEqual([0, true]);
  });

  /** Numbered datagrams from Lyon to Berlin's LAN, and what comes of them since the lap before. */
  async function lyonToBerlin() {
    const { enclosure, berlin } = world.rig;
    const [port, rate, size] = [5400, 200, 200];
    const [from, to] = [
      { address: LYON_HOST, port },
      { address: berlin.host4, port },
    ];
    const end = (netns: string, local: typeof from, remote: typeof from): Promise<Tool> =>
      startTool(enclosure, netns, { tool: 'flow', seed: port, id: port, rate, size, local, remote });
    const receiver = await end(berlin.host, to, from);
    const sender = await end('lyon', from, to);
    sender.tell({ do: 'start' });
    return {
      lap: async () => {
        receiver.tell({ do: 'lap' });
        return (await receiver.heard('lap')).lap;
      },
      close: () => Promise.all([sender.close(), receiver.close()]),
    };
  }
});
