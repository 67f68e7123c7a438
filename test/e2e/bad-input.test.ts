import { chmodSync, renameSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { builtProgram } from '../../src/demo/built.ts';
import { FOLDER } from '../../src/demo/link.ts';
import { lostOf, TwoWayFlow } from '../../src/demo/measure.ts';
import { startTool } from '../../src/demo/tools.ts';
import { hostState, killDaemon, type LinkedRig, metricOf, prepareLink, statusOf, UNABLE, upBoth } from './support.ts';

describe.skipIf(UNABLE !== undefined)(
  'what cannot work is refused with a reason, and leaves nothing configured',
  () => {
    let linked: LinkedRig;
    let untouched: string;
    beforeAll(async () => {
      linked = await prepareLink();
      untouched = await hostState(linked.rig, linked.rig.berlin);
    });
    afterAll(async () => {
      await linked?.rig.close();
    });

    beforeEach(() => {
      linked.link.configure(linked.rig.berlin);
    });

    /** `dtunnel up berlin`, through `wrapper` if given, is refused with `status` and says what `expected` matches. */
    async function isRefused(
      status: number,
      expected: readonly RegExp[],
      wrapper: readonly string[] = [],
    ): Promise<void> {
      const { rig } = linked;
      const argv = [...wrapper, process.execPath, builtProgram('main.js'), 'up', 'berlin'];
      const refused = await rig.enclosure.run(argv, {
        netns: rig.berlin.gateway,
        failureOk: true,
        env: { DTUNNEL_CONFIG_DIR: FOLDER, NO_COLOR: '1' },
      });
      expect({ code: refused.code, said: refused.stderr }).toEqual({ code: status, said: refused.stderr });
      for (const pattern of expected) expect(refused.stderr).toMatch(pattern);
      expect(refused.stderr).not.toMatch(/^\s+at .*\.js:\d+/m); // No stack: it is the operator's mistake, not a bug.
      expect(await hostState(rig, rig.berlin)).toBe(untouched);
      const { code } = await linked.link.dtunnel(rig.berlin, ['status', 'berlin'], { failureOk: true });
      expect(code).toBe(3);
    }

    it('an unknown key: with its place and what was probably meant', async () => {
      linked.link.configure(linked.rig.berlin, { peer: { Endpiont: '192.0.2.1:1' } });
      await isRefused(78, [/error\[C012\]/, /berlin\.conf:\d+:\d+/, /\^{8}/, /did you mean 'Endpoint'/]);
      linked.link.configure(linked.rig.berlin);
    });

    it('two peers that claim one network: with both places', async () => {
      const { link, rig } = linked;
      const lyon = '12'.repeat(32);
      link.write(
        rig.berlin,
        `${link.text(rig.berlin)}\n[Peer lyon]\nFingerprint = ${lyon}\nAllowedIPs = 10.2.0.0/16\n`,
      );
      await isRefused(78, [/error\[C031\]/, /10\.2\.0\.0\/16/, /first claimed here/]);
      link.configure(rig.berlin);
    });

    it('a key that is not there', async () => {
      const key = linked.rig.enclosure.path(`${FOLDER}/berlin.key`);
      renameSync(key, `${key}.away`);
      await isRefused(78, [/K001/, /berlin\.key/]);
      renameSync(`${key}.away`, key);
    });

    it('a key that others may read', async () => {
      const key = linked.rig.enclosure.path(`${FOLDER}/berlin.key`);
      chmodSync(key, 0o640);
      await isRefused(78, [/K002/, /berlin\.key/, /chmod 600/]);
      chmodSync(key, 0o600);
    });

    it("a certificate that is not the key's", async () => {
      linked.link.configure(linked.rig.berlin, { interface: { Certificate: `${FOLDER}/paris.crt` } });
      await isRefused(78, [/K003/]);
      linked.link.configure(linked.rig.berlin);
    });

    it('a port that somebody holds', async () => {
      const { rig } = linked;
      const holder = await startTool(rig.enclosure, rig.berlin.gateway, {
        tool: 'relay',
        listen: { address: '0.0.0.0', port: 4433 },
        target: { address: '192.0.2.1', port: 1 },
        seed: 1,
        toTarget: {},
        toClient: {},
      });
      await isRefused(1, [/N001/, /4433/]);
      await holder.close();
    });

    it('no permission to make a TUN device', async () => {
      await isRefused(77, [/S010/, /CAP_NET_ADMIN|root/], ['setpriv', '--bounding-set', '-net_admin', '--']);
    });

    it('no ip(8)', async () => {
      // /usr/bin without it, for this process alone; the links in sbin lead there.
      const hide = [
        'mkdir -p /run/hide && mount -t tmpfs tmpfs /run/hide && mkdir /run/hide/upper /run/hide/work',
        'mount -t overlay -o lowerdir=/usr/bin,upperdir=/run/hide/upper,workdir=/run/hide/work overlay /usr/bin',
        'rm /usr/bin/ip && exec "$@"',
      ].join(' && ');
      await isRefused(1, [/S013/, /iproute2/], ['unshare', '--mount', 'sh', '-c', hide, 'sh']);
    });

    it('a device of that name which is not ours', async () => {
      const { rig } = linked;
      await rig.enclosure.run(['ip', '-n', rig.berlin.gateway, 'link', 'add', 'dt-berlin', 'type', 'veth']);
      const state = untouched;
      untouched = await hostState(rig, rig.berlin);
      await isRefused(1, [/S01[0-9]/, /dt-berlin/]);
      await rig.enclosure.run(['ip', '-n', rig.berlin.gateway, 'link', 'del', 'dt-berlin']);
      untouched = state;
    });

    it('after all of these the right file still works, and `down` takes everything back', async () => {
      const { rig, link } = linked;
      await upBoth(linked);
      await link.dtunnel(rig.berlin, ['down', 'berlin']);
      expect(await hostState(rig, rig.berlin)).toBe(untouched);
      expect((await link.dtunnel(rig.berlin, ['status', 'berlin'], { failureOk: true })).code).toBe(3);
    });

    it('what kill -9 left behind is taken over by the next start, and gone after it', async () => {
      const { rig, link } = linked;
      await link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait']);
      await killDaemon(link, rig.berlin);
      await link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait']);
      await link.dtunnel(rig.berlin, ['down', 'berlin']);
      expect(await hostState(rig, rig.berlin)).toBe(untouched);
    });
  },
);

describe.skipIf(UNABLE !== undefined)('hostile datagrams at the port', () => {
  it('are counted and change nothing: garbage, cut records, every type and epoch, empty and huge', async () => {
    const linked = await prepareLink();
    try {
      await upBoth(linked);
      const { rig, link } = linked;
      const { pid } = (await statusOf(link, rig.berlin)).tunnel;
      const flow = await TwoWayFlow.open(rig, { family: 4, rate: 300, size: 200 });
      flow.start();
      for (const seed of [1, 2]) {
        await rig.enclosure.run([process.execPath, '-e', ATTACK, rig.berlin.public4, '4433', String(seed)], {
          netns: rig.internet ?? '',
        });
      }
      await delay(300);
      const result = await flow.finish();
      expect(lostOf(result)).toBe(0);
      expect(result.fromBerlin.duplicated + result.fromParis.duplicated).toBe(0);
      const status = await statusOf(link, rig.berlin);
      expect([status.tunnel.pid, status.peers[0].state]).toEqual([pid, 'up']);
      expect(await metricOf(link, rig.berlin, 'dtunnel_handshakes_total', 'result="completed"')).toBe(1);
      expect(await metricOf(link, rig.berlin, 'dtunnel_unattributed_datagrams_total')).toBeGreaterThan(300);
    } finally {
      await linked.rig.close();
    }
  });
});

/** Sends 1500 seeded datagrams that look more or less like DTLS to ADDRESS PORT. */
const ATTACK = `
const [address, port, seed] = process.argv.slice(1);
let state = Number(seed) * 2654435761 >>> 0;
const random = (n) => { state ^= state << 13; state ^= state >>> 17; state ^= state << 5; state >>>= 0; return state % n; };
const noise = (n) => Buffer.from(Array.from({ length: n }, () => random(256)));
const record = (type, version, epoch, length, body) => {
  const head = Buffer.alloc(13);
  head[0] = type; head.writeUInt16BE(version, 1); head.writeUInt16BE(epoch, 3); head.writeUIntBE(random(2 ** 31), 5, 6);
  head.writeUInt16BE(length, 11);
  return Buffer.concat([head, body]);
};
const versions = [0xfefd, 0xfeff, 0x0303, 0x0000, 0xffff];
const socket = require('node:dgram').createSocket('udp4');
socket.on('error', () => {});
const make = () => {
  const body = noise(random(300));
  switch (random(8)) {
    case 0: return Buffer.alloc(0);
    case 1: return noise(random(1400));
    case 2: return Buffer.alloc(8000 + random(40000), noise(97));
    case 3: return record(20 + random(8), 0xfefd, random(4), body.length, body);
    case 4: return record(random(256), versions[random(5)], random(65536), random(65536), body);
    case 5: return record(22, 0xfefd, 0, body.length, body).subarray(0, random(40));
    case 6: return Buffer.concat([record(22, 0xfefd, 0, body.length, body), record(23, 0xfefd, 1, body.length, body)]);
    default: {
      const hello = Buffer.concat([Buffer.from([1, 0, 0, 200, 0, 0, random(2), 0, random(2), 0, random(2), 200]), noise(200)]);
      return record(22, 0xfeff, 0, hello.length, hello);
    }
  }
};
let left = 1500;
const next = () => {
  for (let i = 0; i < 50 && left > 0; i++, left--) socket.send(make(), Number(port), address);
  if (left > 0) setTimeout(next, 5); else setTimeout(() => socket.close(), 50);
};
next();
`;
