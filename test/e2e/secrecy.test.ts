import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stop } from '../../src/demo/enclosure.ts';
import { FOLDER } from '../../src/demo/link.ts';
import { firstPing, transfer } from '../../src/demo/measure.ts';
import type { Site } from '../../src/demo/rig.ts';
import { startTool } from '../../src/demo/tools.ts';
import { type LinkedRig, prepareLink, type Sniffed, sniff, UNABLE } from './support.ts';

/** Nobody but the two ends ever has this: sent through the tunnel, looked for on the wire. */
const MARK = 'the-cheese-is-in-the-third-drawer';
const TOKEN = 'a-token-only-prometheus-knows-0123456789';

describe.skipIf(UNABLE !== undefined)(
  'a run with everything on: debug logs, metrics, status, a rekey, a refused stranger',
  () => {
    let linked: LinkedRig;
    let wire: Sniffed;
    /** Everything that anybody could see, by where. */
    const seen = new Map<string, Buffer>();

    beforeAll(async () => {
      const loud = {
        interface: { LogLevel: 'trace', LogFormat: 'json', Metrics: '0.0.0.0:9469', MetricsToken: TOKEN },
      };
      linked = await prepareLink({ berlin: loud, paris: loud });
      const { rig, link } = linked;
      const sniffer = await sniff(rig);
      const daemons = [rig.berlin, rig.paris].map((here) => {
        const daemon = link.run(here);
        const chunks: Buffer[] = [];
        for (const stream of [daemon.stdout, daemon.stderr]) stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
        return { here, daemon, chunks };
      });
      // Before a tunnel is up for the first time nothing tells its host's packets from others: they wait for it.
      for (const here of [rig.berlin, rig.paris]) await untilReady(linked, here);
      expect(await firstPing(rig.enclosure, rig.berlin.host, rig.paris.host4, 15_000)).toBeDefined();
      await sendMark(linked);
      await transfer(rig, rig.berlin, { family: 6, amount: { bytes: 1_000_000 } });
      await link.dtunnel(rig.paris, ['rekey', 'paris']);
      await delay(500);
      wire = await sniffer.stop();
      for (const { here } of daemons) {
        for (const args of [
          ['status', here.name],
          ['status', here.name, '--json'],
          ['metrics', here.name],
          ['logs', here.name],
        ]) {
          const { stdout, stderr } = await link.dtunnel(here, args, { failureOk: true });
          seen.set(`dtunnel ${args.join(' ')}`, Buffer.from(stdout + stderr));
        }
        const processes = await rig.enclosure.run([
          'sh',
          '-c',
          'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true',
        ]);
        seen.set(`argv and environment at ${here.name}`, Buffer.from(processes.stdout));
      }
      for (const { here, daemon, chunks } of daemons) {
        await stop(daemon);
        seen.set(`output of dtunnel run at ${here.name}`, Buffer.concat(chunks));
      }
      seen.set('the wire', wire.bytes);
    });
    afterAll(async () => {
      await linked?.rig.close();
    });

    it('puts no inner packet and no payload on the wire in the clear', () => {
      expect(wire.bytes.length).toBeGreaterThan(1_000_000);
      expect(wire.clear).toEqual([]);
      expect(wire.bytes.includes(MARK)).toBe(false);
    });

    it('shows nowhere a private key, in any form, nor the token of the metrics listener', () => {
      for (const [where, bytes] of seen) {
        expect(bytes.length, where).toBeGreaterThan(0);
        for (const [what, secret] of secretsOf(linked)) {
          expect(bytes.includes(secret), `${what} in ${where}`).toBe(false);
        }
      }
    });

    it('would notice: the same search finds them where they are', () => {
      const { rig } = linked;
      const files = ['berlin.key', 'paris.key', 'berlin.conf'].map((name) =>
        readFileSync(rig.enclosure.path(`${FOLDER}/${name}`)),
      );
      const found = secretsOf(linked).filter(([, secret]) => files.some((file) => file.includes(secret)));
      expect(found.map(([what]) => what)).toContain('token');
      expect(found.length).toBeGreaterThanOrEqual(3);
    });
  },
);

async function untilReady({ link }: LinkedRig, here: Site): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await link.dtunnel(here, ['status', here.name], { failureOk: true })).stdout !== '') return;
    await delay(50);
  }
  throw new Error(`${here.name} did not become ready`);
}

/** Private keys as the raw scalar, its hexadecimal and base64 forms and the lines of the file; and the token. */
function secretsOf({ rig }: LinkedRig): readonly (readonly [string, Buffer])[] {
  const keys = [rig.berlin, rig.paris].flatMap((here) => {
    const pem = readFileSync(rig.enclosure.path(`${FOLDER}/${here.name}.key`), 'utf8');
    const { d = '' } = createPrivateKey(pem).export({ format: 'jwk' });
    const scalar = Buffer.from(d, 'base64url');
    const lines = pem.split('\n').filter((line) => line !== '' && !line.startsWith('-'));
    const forms = [
      d,
      scalar.toString('hex'),
      scalar.toString('hex').toUpperCase(),
      scalar.toString('base64'),
      ...lines,
    ];
    return [scalar, ...forms.map((text) => Buffer.from(text))].map((form) => [`key of ${here.name}`, form] as const);
  });
  return [...keys, ['token', Buffer.from(TOKEN)]];
}

/** Sends the mark by UDP and TCP from LAN to LAN, so that it is payload of real packets. */
async function sendMark({ rig }: LinkedRig): Promise<void> {
  const sink = await startTool(rig.enclosure, rig.paris.host, { tool: 'receive', port: 7000, seed: 1, streams: 1 });
  const script = `
    const mark = ${JSON.stringify(MARK)}.repeat(20);
    const udp = require('node:dgram').createSocket('udp4');
    const tcp = require('node:net').connect(7000, ${JSON.stringify(rig.paris.host4)}, () => tcp.end(mark));
    tcp.resume().on('close', () => udp.send(mark, 7001, ${JSON.stringify(rig.paris.host4)}, () => udp.close()));
  `;
  await rig.enclosure.run([process.execPath, '-e', script], { netns: rig.berlin.host });
  await sink.heard('transfer-report');
  await sink.close();
}
