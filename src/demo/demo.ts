import { setTimeout as delay } from 'node:timers/promises';
import { monotonicClock } from '../base/clock.ts';
import { DtunnelError } from '../base/errors.ts';
import { type BadPath, leaveBadPath, overBadPath } from './bad-path.ts';
import { Link } from './link.ts';
import { type FlowResult, firstPing, lostOf, median, ping, TwoWayFlow, transfer } from './measure.ts';
import type { Narrator } from './narrator.ts';
import { buildRig, type Rig, type Site } from './rig.ts';

/** What the demo measured. */
export interface DemoReport {
  readonly schema: 'dtunnel.demo/1';
  /** Whether everything arrived, unharmed and on time. */
  readonly ok: boolean;
  readonly asRoot: boolean;
  readonly firstPingSeconds: number;
  readonly rttMs: { readonly ipv4: number | undefined; readonly ipv6: number | undefined };
  readonly tcp: { readonly bitsPerSecond: number; readonly bytes: number; readonly intact: boolean };
  readonly rekey: UnderTraffic;
  readonly reload: UnderTraffic;
  readonly badPath: BadPath;
  /** The status document of paris, as `dtunnel status --json` prints it. */
  readonly status: unknown;
}

/** What a change under traffic cost, both directions together. */
export interface UnderTraffic {
  readonly sent: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly reordered: number;
  /** Longest time without an arrival in either direction. */
  readonly longestGapMs: number;
}

/** How to run it. */
export interface DemoOptions {
  readonly narrator: Narrator;
  /** Called with the link when all is shown, before it goes. */
  readonly keep?: (link: Link) => Promise<void>;
  /** Ends the demo early: everything made so far is undone. */
  readonly signal: AbortSignal;
}

/**
 * Builds two sites and an internet, links them, and shows with real packets what the link does. Whatever happens,
 * nothing is left behind. Throws DtunnelError when a step fails.
 */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const began = monotonicClock();
  const { narrator, signal } = options;
  narrator.begin('two sites and an internet, in namespaces');
  const rig = await buildRig();
  const abort = (): void => void rig.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    signal.throwIfAborted();
    narrator.done(seconds(began));
    return await story(rig, began, options);
  } finally {
    signal.removeEventListener('abort', abort);
    await rig.close();
  }
}

async function story(rig: Rig, began: number, options: DemoOptions): Promise<DemoReport> {
  const { narrator } = options;
  const link = await linkUp(rig, narrator);

  narrator.begin('first ping, berlin-lan to paris-lan');
  const first = await firstPing(rig.enclosure, rig.berlin.host, rig.paris.host4, 15_000);
  if (first === undefined) throw await failure(link, 'no ping from LAN to LAN within 15 s');
  const firstPingSeconds = (monotonicClock() - began) / 1000;
  narrator.done(`${firstPingSeconds.toFixed(1)} s after start`);

  const rttMs = await bothFamilies(rig, narrator);
  const tcp = await rate(rig, narrator);
  const rekey = await underTraffic(rig, narrator, 'rekey under traffic both ways', () =>
    link.dtunnel(rig.paris, ['rekey', 'paris']),
  );
  const reload = await underTraffic(rig, narrator, 'reload under traffic both ways', () => addNetwork(link));
  const badPath = await overBadPath(link, narrator);
  const status = await look(link, narrator);
  if (options.keep !== undefined) {
    await leaveBadPath(link);
    await options.keep(link);
  }
  const ok = tcp.intact && badPath.intact && rekey.lost === 0 && reload.lost === 0;
  const asRoot = process.getuid?.() === 0;
  return { schema: 'dtunnel.demo/1', ok, asRoot, firstPingSeconds, rttMs, tcp, rekey, reload, badPath, status };
}

async function linkUp(rig: Rig, narrator: Narrator): Promise<Link> {
  let at = monotonicClock();
  narrator.begin('dtunnel keygen, configuration files');
  const link = await Link.prepare(rig);
  narrator.done(seconds(at));
  at = monotonicClock();
  narrator.begin('dtunnel up berlin, dtunnel up paris');
  // Paris calls, Berlin only listens: it is started without waiting for a peer that may come later.
  await Promise.all([
    link.dtunnel(rig.berlin, ['up', 'berlin', '--no-wait']),
    link.dtunnel(rig.paris, ['up', 'paris'], { timeoutMs: 20_000 }),
  ]);
  narrator.done(seconds(at));
  return link;
}

async function bothFamilies(rig: Rig, narrator: Narrator): Promise<DemoReport['rttMs']> {
  narrator.begin('ping over IPv4 and IPv6');
  const ask = async (address: string): Promise<number | undefined> =>
    median((await ping(rig.enclosure, rig.berlin.host, address, { count: 10, intervalMs: 20 })).rttMs);
  const ipv4 = await ask(rig.paris.host4);
  const ipv6 = await ask(rig.paris.host6);
  const written = (rtt: number | undefined): string => (rtt === undefined ? 'no answer' : `${rtt.toFixed(2)} ms`);
  narrator.done(`${written(ipv4)}, ${written(ipv6)}`);
  return { ipv4, ipv6 };
}

async function rate(rig: Rig, narrator: Narrator): Promise<DemoReport['tcp']> {
  narrator.begin(`TCP for ${RATE_SECONDS} s, every byte compared`);
  const report = await transfer(rig, rig.berlin, { family: 4, amount: { seconds: RATE_SECONDS } });
  narrator.done(`${bits(report.bitsPerSecond)}${report.intact ? '' : ', DAMAGED'}`);
  return { bitsPerSecond: report.bitsPerSecond, bytes: report.bytes, intact: report.intact };
}

/** Numbered datagrams flow both ways while `change` happens in their midst. */
async function underTraffic(
  rig: Rig,
  narrator: Narrator,
  title: string,
  change: () => Promise<unknown>,
): Promise<UnderTraffic> {
  narrator.begin(title);
  const flow = await TwoWayFlow.open(rig, { family: 4, rate: 1000, size: 300 });
  try {
    flow.start();
    await delay(FLOW_MARGIN_MS);
    await change();
    await delay(FLOW_MARGIN_MS);
    const cost = costOf(await flow.finish());
    narrator.done(datagrams(cost));
    return cost;
  } finally {
    await flow.close();
  }
}

function costOf(result: FlowResult): UnderTraffic {
  const both = [result.fromBerlin, result.fromParis];
  const sum = (of: (direction: (typeof both)[number]) => number): number => both.reduce((n, d) => n + of(d), 0);
  return {
    sent: sum((d) => d.sent),
    lost: lostOf(result),
    duplicated: sum((d) => d.duplicated),
    reordered: sum((d) => d.reordered),
    longestGapMs: Math.max(...both.map((d) => d.longestGapMs)),
  };
}

/** What is worth saying of a change under traffic: the rest only when there is something to say. */
function datagrams({ sent, lost, duplicated, reordered }: UnderTraffic): string {
  const more = [duplicated > 0 ? `, ${duplicated} twice` : '', reordered > 0 ? `, ${reordered} out of order` : ''];
  return `${lost} of ${sent} datagrams lost${more.join('')}`;
}

/** One more network at each site, announced to the other by editing its file and reloading. */
async function addNetwork(link: Link): Promise<void> {
  for (const [here, prefix] of [
    [link.rig.berlin, '10.12.0.0/16'],
    [link.rig.paris, '10.11.0.0/16'],
  ] as const) {
    link.configure(here, { peer: { AllowedIPs: `${link.allowedIps(here)}, ${prefix}` } });
    await link.dtunnel(here, ['reload', here.name]);
  }
}

/** What an operator would look at. */
async function look(link: Link, narrator: Narrator): Promise<unknown> {
  const { paris } = link.rig;
  narrator.show('dtunnel status', (await link.dtunnel(paris, ['status'])).stdout);
  const metrics = (await link.dtunnel(paris, ['metrics', 'paris'])).stdout.split('\n');
  const shown = SHOWN_METRICS.flatMap((name) =>
    metrics.filter((line) => line.startsWith(name) && !line.endsWith(' 0')),
  );
  narrator.show('dtunnel metrics paris', `${shown.join('\n')}\n`);
  return JSON.parse((await link.dtunnel(paris, ['status', 'paris', '--json'])).stdout);
}

/** Why there is no link, with the last words of both ends. */
async function failure(link: Link, message: string): Promise<DtunnelError> {
  const last = async (here: Site): Promise<string> => {
    const { stdout, stderr } = await link.dtunnel(here, ['logs', here.name], { failureOk: true });
    return `${here.name}:\n${(stdout || stderr).split('\n').slice(-12).join('\n')}`;
  };
  const said = await Promise.all([last(link.rig.berlin), last(link.rig.paris)]);
  return new DtunnelError('S025', `${message}\n${said.join('\n')}`);
}

/** Bits a second, as people write them. */
export function bits(perSecond: number): string {
  return perSecond >= 1e9 ? `${(perSecond / 1e9).toFixed(1)} Gbit/s` : `${(perSecond / 1e6).toFixed(0)} Mbit/s`;
}

function seconds(from: number): string {
  return `${((monotonicClock() - from) / 1000).toFixed(1)} s`;
}

const RATE_SECONDS = 3;
const FLOW_MARGIN_MS = 500;
/** Those of them that are not zero. */
const SHOWN_METRICS = [
  'dtunnel_peer_up',
  'dtunnel_handshakes_total',
  'dtunnel_peer_receive_bytes_total',
  'dtunnel_peer_transmit_bytes_total',
  'dtunnel_rekeys_total',
  'dtunnel_config_reloads_total',
  'dtunnel_dropped_packets_total',
];
