import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ControlClient } from '../../../src/control/client.ts';
import { FOLDER, PORT } from '../../../src/demo/link.ts';
import type { Site } from '../../../src/demo/rig.ts';
import { type LinkedRig, prepareLink, upBoth } from '../../../src/demo/linked-rig.ts';
import { blackhole, type Field, type Scenario, until, withTraffic } from '../scenario.ts';

/** Two gateways at Berlin; Paris prefers the first by Priority, and the first is cut off. */
export const PRIORITY: Scenario = {
  name: 'priority',
  title: 'failover by Priority: one of two gateways of a site is cut off; and back',
  count: 30,
  few: 1,
  floor: { gapP99Ms: 1500, gapMs: 3000 },
  promise: 'p99 ≤ 1.5 s, nothing lost going back',
  run: ({ count, progress }) =>
    withTraffic(twoGateways(), { tcp: false }, async (field) => {
      const { rig } = field.linked;
      for (let i = 0; i < count; i++) {
        await field.traffic.lap();
        await blackhole(field.linked, rig.berlin.public4, true);
        await routeOut(field.linked, 'second');
        await delay(3500);
        const { gapMs, lost } = await field.traffic.lap();
        field.note({ kind: 'over', gapMs, lost });
        await blackhole(field.linked, rig.berlin.public4, false);
        await goBack(field);
        progress(i + 1);
      }
    }),
};

/** The first of two gateways is taken out of service in order, and put back. */
export const DRAIN: Scenario = {
  name: 'drain',
  title: 'drain: one of two gateways of a site is taken out of service, and put back',
  count: 20,
  few: 1,
  floor: { lost: 0 },
  promise: '0 lost with a standby',
  run: ({ count, progress }) =>
    withTraffic(twoGateways(), { tcp: false }, async (field) => {
      const { rig, link } = field.linked;
      for (let i = 0; i < count; i++) {
        await field.traffic.lap();
        // The hosts of the site move as they would by VRRP: the drain is told first, then their router changes.
        const drained = link.dtunnel(rig.berlin, ['drain', 'berlin', '--timeout', '10s'], { timeoutMs: 20_000 });
        await delay(300);
        await routeOut(field.linked, 'second');
        const { code } = await drained;
        if (code !== 0) field.fail(`drain ended with ${code}`);
        const { gapMs, lost } = await field.traffic.lap();
        field.note({ kind: 'drain', gapMs, lost });
        await link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait'], { timeoutMs: 20_000 });
        await goBack(field);
        progress(i + 1);
      }
    }),
};

/** Waits until Paris uses the first gateway again; nothing may be lost on the way. */
async function goBack(field: Field): Promise<void> {
  const { berlin } = field.linked.rig;
  const received = async (): Promise<number> => {
    try {
      return (await field.peer(berlin))?.transfer.receivePackets ?? 0;
    } catch {
      return 0;
    }
  };
  const before = await received();
  if ((await until(async () => (await received()) > before, 30_000)) === undefined) field.fail('it did not go back');
  await routeOut(field.linked, 'first');
  await delay(500);
  const { lost } = await field.traffic.lap();
  field.note({ kind: 'back', lost });
  if (lost > 0) field.fail(`${lost} lost going back`);
}

/** Which gateway Berlin's host sends through. */
async function routeOut({ rig }: LinkedRig, gateway: 'first' | 'second'): Promise<void> {
  const via = gateway === 'first' ? rig.berlin.host4.replace(/\d+$/, '1') : '10.254.0.1';
  await rig.enclosure.run(['ip', '-n', rig.berlin.host, 'route', 'replace', rig.paris.lan4, 'via', via]);
}

/** A link whose Berlin has a second gateway, `berlin2`, with an uplink and a foot in the LAN of its own. */
async function twoGateways(): Promise<LinkedRig> {
  const linked = await prepareLink();
  const { rig, link } = linked;
  const { enclosure, berlin, paris, internet } = rig;
  try {
    const second = 'berlin2';
    const gateway = `ip -n ${second}`;
    await enclosure.run(['sh', '-eu'], {
      input: `
        ip netns add ${second}
        nsenter --net=/run/netns/${second} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
        ${gateway} link set lo up
        ${gateway} link add wan0 type veth peer name berlin20 netns ${internet}
        ${gateway} addr add 192.0.2.10/24 dev wan0
        ${gateway} link set wan0 up
        ip -n ${internet} addr add 192.0.2.1/24 dev berlin20
        ip -n ${internet} link set berlin20 up
        ${gateway} route add default via 192.0.2.1
        ${gateway} link add lan0 type veth peer name eth1 netns ${berlin.host}
        ${gateway} addr add 10.254.0.1/30 dev lan0
        ${gateway} link set lan0 up
        ip -n ${berlin.host} addr add 10.254.0.2/30 dev eth1
        ip -n ${berlin.host} link set eth1 up
        ${gateway} route add ${berlin.lan4} via 10.254.0.2
      `,
    });
    const there: Site = { ...berlin, gateway: second };
    const made = await link.dtunnel(there, ['keygen', second, '--json']);
    const fingerprint = String(JSON.parse(made.stdout).fingerprint);
    const inner = '172.31.0.9/32';
    writeFileSync(
      enclosure.path(`${FOLDER}/${second}.conf`),
      `[Interface]\nAddress = ${inner}\nListenPort = ${PORT}\nCertificate = ${FOLDER}/${second}.crt\nPrivateKey = ${FOLDER}/${second}.key\n` +
        `[Peer paris]\nFingerprint = ${link.fingerprint(paris)}\nAllowedIPs = 172.31.0.2/32, ${paris.lan4}\n`,
      { mode: 0o600 },
    );
    link.configure(paris, { peer: { Priority: '10', Failback: '1s' } });
    link.write(
      paris,
      `${link.text(paris)}\n[Peer ${second}]\nFingerprint = ${fingerprint}\nEndpoint = 192.0.2.10:${PORT}\n` +
        `AllowedIPs = ${inner}, ${berlin.lan4}\nPriority = 20\nFailback = 1s\n`,
    );
    await link.dtunnel(there, ['up', second, '--no-wait'], { timeoutMs: 20_000 });
    await upBoth(linked);
    const client = new ControlClient(second, { dir: enclosure.path('/run/dtunnel') });
    const up = async (): Promise<boolean> => (await client.status()).document.peers[0]?.up === true;
    if ((await until(up, 10_000)) === undefined) throw new Error('the second gateway is not up');
    return linked;
  } catch (error) {
    await rig.close();
    throw error;
  }
}
