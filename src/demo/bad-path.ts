import { setTimeout as delay } from 'node:timers/promises';
import { DtunnelError } from '../base/errors.ts';
import type { Narrator } from './narrator.ts';
import { type Link, PORT } from './link.ts';
import { median, ping, transfer } from './measure.ts';
import { startTool } from './tools.ts';

/** The same link over a bad internet. */
export interface BadPath {
  /** One way. */
  readonly delayMs: number;
  readonly loss: number;
  readonly pingsSent: number;
  readonly pingsAnswered: number;
  readonly medianRttMs: number | undefined;
  readonly intact: boolean;
}

/**
 * Moves the link onto a bad path and shows how it does there: a relay that delays and loses datagrams by a seed stands in
 * the internet, and a reload makes paris call it. (The kernel's own impairment, netem, is not everywhere.) The relay
 * stays until the rig goes.
 */
export async function overBadPath(link: Link, narrator: Narrator): Promise<BadPath> {
  const { rig } = link;
  const { delayMs, loss } = BAD;
  narrator.begin(`a bad internet: ${delayMs * 2} ms, ${loss * 100} % loss each way`);
  await startTool(rig.enclosure, rig.internet ?? '', {
    tool: 'relay',
    listen: { address: RELAY_ADDRESS, port: RELAY_PORT },
    target: { address: rig.berlin.public4, port: PORT },
    seed: 1,
    toTarget: BAD,
    toClient: BAD,
  });
  link.configure(rig.paris, { peer: { Endpoint: `${RELAY_ADDRESS}:${RELAY_PORT}` } });
  await link.dtunnel(rig.paris, ['reload', 'paris']);
  await untilRtt(link, (rttMs) => rttMs >= delayMs * 2);
  const pings = { count: 100, intervalMs: 20, waitMs: 500 };
  const { sent, received, rttMs } = await ping(rig.enclosure, rig.berlin.host, rig.paris.host4, pings);
  const { intact } = await transfer(rig, rig.paris, { family: 6, amount: { bytes: 500_000 } });
  const medianRttMs = median(rttMs);
  const rtt = medianRttMs === undefined ? 'no answer' : `${medianRttMs.toFixed(0)} ms`;
  narrator.done(`ping ${rtt}, ${sent - received} of ${sent} lost, TCP ${intact ? 'intact' : 'DAMAGED'}`);
  return { delayMs, loss, pingsSent: sent, pingsAnswered: received, medianRttMs, intact };
}

/** Makes paris call berlin itself again, and waits until it does. */
export async function leaveBadPath(link: Link): Promise<void> {
  link.configure(link.rig.paris);
  await link.dtunnel(link.rig.paris, ['reload', 'paris']);
  await untilRtt(link, (rttMs) => rttMs < BAD.delayMs);
}

async function untilRtt({ rig }: Link, good: (rttMs: number) => boolean): Promise<void> {
  for (let tries = 0; tries < 60; tries++) {
    const [rttMs] = (await ping(rig.enclosure, rig.berlin.host, rig.paris.host4)).rttMs;
    if (rttMs !== undefined && good(rttMs)) return;
    await delay(100);
  }
  throw new DtunnelError('S022', 'the tunnel did not move to its new endpoint within 6 s');
}

const BAD = { delayMs: 10, loss: 0.01 } as const;
/** The internet's own address at berlin's side. */
const RELAY_ADDRESS = '203.0.113.1';
const RELAY_PORT = 4500;
