import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FOLDER } from '../../src/demo/link.ts';
import { TwoWayFlow } from '../../src/demo/measure.ts';
import type { Site } from '../../src/demo/rig.ts';
import { command } from '../support/command.ts';
import { daemonPid, type LinkedRig, prepareLink, statusOf, UNABLE, upBoth } from './support.ts';

/** A listener for scrapers inside the gateway. */
const METRICS = '127.0.0.1:9469';

/** Sends 300 datagrams of noise to ADDRESS PORT, some with the look of DTLS. */
const NOISE = `
const [address, port] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp4');
const heads = [[], [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 20], [23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30], [25, 254, 253, 0, 1]];
for (let i = 0; i < 300; i++) {
  const body = Buffer.from(Array.from({ length: i }, (_, k) => (i * 31 + k * 17) % 256));
  socket.send(Buffer.concat([Buffer.from(heads[i % 4]), body]), Number(port), address);
}
setTimeout(() => socket.close(), 300);
`;

/** Prints status and body of GET URL with the header Accept. */
const GET = `
const [url, accept] = process.argv.slice(1);
fetch(url, { headers: { accept } }).then(async (r) => console.log(JSON.stringify({ status: r.status, body: await r.text() })));
`;

describe.skipIf(UNABLE !== undefined)('a running link', () => {
  let linked: LinkedRig;

  beforeAll(async () => {
    linked = await prepareLink({ berlin: { interface: { Metrics: METRICS } } });
    await upBoth(linked);
  });

  afterAll(async () => {
    await linked?.rig.close();
  });

  const dtunnel = (here: Site, args: readonly string[]) => linked.link.dtunnel(here, args, { failureOk: true });

  async function get(path: string, accept = '*/*'): Promise<{ readonly status: number; readonly body: string }> {
    const { rig } = linked;
    const argv = [process.execPath, '-e', GET, `http://${METRICS}${path}`, accept];
    return JSON.parse((await rig.enclosure.run(argv, { netns: rig.berlin.gateway })).stdout);
  }

  it('accounts for every datagram, with traffic, new keys and noise from strangers', async () => {
    const { rig, link } = linked;
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 1000, size: 300 });
    flow.start();
    await delay(500);
    await link.dtunnel(rig.paris, ['rekey', 'paris']);
    await rig.enclosure.run([process.execPath, '-e', NOISE, rig.berlin.public4, '4433'], { netns: rig.internet ?? '' });
    await flow.finish();
    const text = (await dtunnel(rig.berlin, ['metrics', 'berlin'])).stdout;
    const sum = (name: string, label = ''): number =>
      text
        .split('\n')
        .filter((line) => line.startsWith(`${name}{`) && line.includes(label))
        .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
    expect(sum('dtunnel_peer_receive_packets_total')).toBeGreaterThan(500);
    expect(sum('dtunnel_unattributed_datagrams_total')).toBeGreaterThan(0);
    expect(sum('dtunnel_udp_receive_datagrams_total') + sum('dtunnel_udp_extra_records_total')).toBe(
      sum('dtunnel_peer_receive_packets_total') +
        sum('dtunnel_control_records_total') +
        sum('dtunnel_handshake_datagrams_total') +
        sum('dtunnel_dropped_packets_total', 'direction="in"') +
        sum('dtunnel_unattributed_datagrams_total'),
    );
    expect(sum('dtunnel_handshakes_in_progress')).toBe(0);
    const check = await command('promtool', ['check', 'metrics'], { stdin: text });
    if (check.output.includes('ENOENT'))
      console.log('promtool is not installed (Debian: prometheus): format not checked');
    else expect(check.output).toBe('');
  });

  it('is scraped in both formats and tells its health', async () => {
    expect(await get('/livez')).toEqual({ status: 200, body: 'ok\n' });
    expect(await get('/readyz')).toEqual({ status: 200, body: 'ok\n' });
    const text = await get('/metrics');
    expect(text.body).toContain('dtunnel_peer_up{tunnel="berlin",peer="paris"} 1\n');
    const open = await get('/metrics', 'application/openmetrics-text');
    expect(open.body.endsWith('# EOF\n')).toBe(true);
    const page = await get('/');
    expect(page.body).toContain('<h1><span class="up">●</span> berlin <span class="up">up</span></h1>');
  });

  it('answers a probe through the tunnel, and one from a stranger outside', async () => {
    const { rig, link } = linked;
    const ping = await dtunnel(rig.paris, ['ping', 'berlin', '-c', '2', '--json']);
    expect(ping.code).toBe(0);
    expect(JSON.parse(ping.stdout)).toMatchObject({ sent: 2, answered: 2 });
    const probe = await dtunnel(rig.paris, ['probe', `${rig.berlin.public4}:4433`, '--json']);
    const seen = JSON.parse(probe.stdout);
    expect(seen.fingerprint).toBe(link.fingerprint(rig.berlin).replaceAll(':', '').toLowerCase());
    expect(seen.cookieRttMs).toBeGreaterThan(0);
    expect(probe.code).toBe(0);
    const known = ['--cert', `${FOLDER}/berlin.crt`, '--key', `${FOLDER}/berlin.key`];
    const refused = await dtunnel(rig.paris, ['probe', `${rig.berlin.public4}:4433`, ...known]);
    expect(refused.code).toBe(7);
    const nobody = await dtunnel(rig.paris, ['probe', `${rig.berlin.public4}:9`, '--timeout', '1s']);
    expect(nobody.code).toBe(8);
    const print = await dtunnel(rig.paris, ['fingerprint', `${rig.berlin.public4}:4433`, '--format', 'hex']);
    expect(print.stdout.trim()).toBe(seen.fingerprint);
  });

  it('is found healthy by the doctor, and still is after that', async () => {
    const { rig, link } = linked;
    const before = (await statusOf(link, rig.paris)).peers[0].handshake.at;
    const { code, stdout } = await dtunnel(rig.paris, ['doctor', 'paris', '--json']);
    const report = JSON.parse(stdout);
    expect(report.findings.filter((finding: { verdict: string }) => finding.verdict === 'bad')).toEqual([]);
    expect(code).toBe(0);
    const after = (await statusOf(link, rig.paris)).peers[0];
    expect([after.state, after.handshake.at]).toEqual(['up', before]);
  });

  it('reloads on HUP, tells its state on USR1 without a debugger, and drains on TERM', async () => {
    const { rig, link } = linked;
    const pid = String(await daemonPid(link, rig.paris));
    await rig.enclosure.run(['kill', '-HUP', pid]);
    await rig.enclosure.run(['kill', '-USR1', pid]);
    await expect
      .poll(async () => (await dtunnel(rig.paris, ['logs', 'paris'])).stdout, { timeout: 10_000 })
      .toMatch(/config\.applied[\s\S]*daemon\.status|daemon\.status[\s\S]*config\.applied/);
    const sockets = (await rig.enclosure.run(['ss', '-ltnH'], { netns: rig.paris.gateway })).stdout;
    expect(sockets).not.toContain(':9229');
    await rig.enclosure.run(['kill', '-TERM', pid]);
    await expect.poll(async () => (await dtunnel(rig.paris, ['status', 'paris'])).code, { timeout: 10_000 }).toBe(3);
    const berlin = await statusOf(link, rig.berlin);
    expect(berlin.peers[0].up).toBe(false);
    const links = (await rig.enclosure.run(['ip', '-n', rig.paris.gateway, '-o', 'link'])).stdout;
    expect(links).not.toContain('dt-paris');
  });
});
