import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { stop } from '../src/demo/enclosure.ts';
import type { Rig } from '../src/demo/rig.ts';
import { machineBusySeconds, usageOf } from './machine.ts';
import type { Started } from './peers/support.ts';
import { RateSearch } from './rate-search.ts';

/** What is measured, and for how long. */
export type Test =
  | {
      readonly kind: 'tcp';
      readonly name: string;
      readonly streams: number;
      readonly reverse: boolean;
      /** LAN host to LAN host (forwarded by the gateways), or gateway to gateway. */
      readonly traffic: 'lan' | 'local';
      readonly seconds: number;
    }
  | {
      readonly kind: 'udp';
      readonly name: string;
      readonly sizes: string;
      readonly tries: number;
      readonly seconds: number;
    }
  | { readonly kind: 'rtt'; readonly name: string; readonly loaded: boolean; readonly seconds: number }
  /** As it stands by then. */
  | { readonly kind: 'memory'; readonly name: string };

/** Figures of one test, by name; what could not be measured is missing. */
export type Figures = Readonly<Record<string, number>>;

/** Runs one test over a peer that is up. */
export async function measure(rig: Rig, peer: Started, udpLoad: string, test: Test): Promise<Figures> {
  switch (test.kind) {
    case 'tcp':
      return await tcp(rig, peer, test);
    case 'udp':
      return await udp(rig, peer, udpLoad, test);
    case 'rtt':
      return await rtt(rig, udpLoad, test);
    case 'memory':
      return memory(peer);
  }
}

/** Resident memory of the two daemons, MiB. */
function memory(peer: Started): Figures {
  if (peer.daemons.length === 0) return {};
  const [berlin = 0, paris = 0] = usageOf(pids(peer)).rssMiB;
  return { rssMiB: Math.max(berlin, paris) };
}

async function tcp(rig: Rig, peer: Started, test: Extract<Test, { kind: 'tcp' }>): Promise<Figures> {
  const local = test.traffic === 'local';
  const server = local ? rig.paris.gateway : rig.paris.host;
  const client = local ? rig.berlin.gateway : rig.berlin.host;
  const address = local ? peer.inner.paris : rig.paris.host4;
  const listening = rig.enclosure.start(['iperf3', '-s', '-1', '-p', '5201'], { netns: server, stdio: 'ignore' });
  try {
    await delay(300);
    const before = reading(peer);
    const argv = ['iperf3', '-J', '-c', address, '-p', '5201', '-t', String(test.seconds), '-P', String(test.streams)];
    const { stdout } = await rig.enclosure.run([...argv, ...(test.reverse ? ['-R'] : [])], {
      netns: client,
      timeoutMs: test.seconds * 1000 + 20_000,
    });
    const after = reading(peer);
    const { end } = JSON.parse(stdout);
    const gigabytes = Number(end.sum_received.bytes) / 1e9;
    return {
      gbps: Number(end.sum_received.bits_per_second) / 1e9,
      retransmits: Number(end.sum_sent.retransmits ?? 0),
      ...(gigabytes > 0 && {
        daemonSecondsPerGB: (after.daemons - before.daemons) / gigabytes,
        machineSecondsPerGB: (after.machine - before.machine) / gigabytes,
      }),
    };
  } finally {
    await stop(listening, 'SIGKILL');
  }
}

/** The best rate that arrives, whatever is lost on the way, and the best at which less than 1 % is lost. */
async function udp(rig: Rig, peer: Started, udpLoad: string, test: Extract<Test, { kind: 'udp' }>): Promise<Figures> {
  const attempt = async (rate: number) => {
    const receiver = await listen(rig, rig.paris.host, [udpLoad, 'recv', '5400']);
    const before = reading(peer);
    const send = [udpLoad, 'send', rig.paris.host4, '5400', test.sizes, String(rate), String(test.seconds)];
    const sent = JSON.parse((await rig.enclosure.run(send, { netns: rig.berlin.host })).stdout);
    const got = JSON.parse(await receiver.rest());
    const after = reading(peer);
    return {
      offered: Number(sent.packets) / Number(sent.seconds),
      delivered: Number(got.packets) / Number(sent.seconds),
      micros: ((after.daemons - before.daemons) * 1e6) / Math.max(1, Number(got.packets)),
    };
  };
  const unpaced = await attempt(0);
  const search = new RateSearch(unpaced);
  let micros = unpaced.micros;
  for (let i = 0; i < test.tries; i++) {
    const burst = await attempt(search.next);
    search.record(burst);
    if (burst === search.best) micros = burst.micros;
  }
  return {
    kpps: search.best.delivered / 1e3,
    cleanKpps: search.cleanRate / 1e3,
    unpacedKpps: unpaced.delivered / 1e3,
    daemonMicrosPerPacket: micros,
  };
}

async function rtt(rig: Rig, udpLoad: string, test: Extract<Test, { kind: 'rtt' }>): Promise<Figures> {
  const echo = await listen(rig, rig.paris.host, [udpLoad, 'echo', '5401']);
  const load = test.loaded ? startLoad(rig, test.seconds + 2) : undefined;
  try {
    if (load !== undefined) await delay(1000); // Measured in the steady state, after slow start.
    const count = String(Math.round((test.seconds * 1e6) / RTT_EVERY_US));
    const argv = [udpLoad, 'rtt', rig.paris.host4, '5401', '64', String(RTT_EVERY_US), count];
    const timeoutMs = test.seconds * 1000 + 60_000;
    const { stdout } = await rig.enclosure.run(argv, { netns: rig.berlin.host, timeoutMs });
    const { sent, answered, p50Us, p99Us } = JSON.parse(stdout);
    return { p50Us: Number(p50Us), p99Us: Number(p99Us), lostShare: 1 - Number(answered) / Number(sent) };
  } finally {
    await Promise.all([echo.end(), ...(load ?? []).map((child) => stop(child, 'SIGKILL'))]);
  }
}

/** One TCP stream LAN to LAN beside the round trips. */
function startLoad(rig: Rig, seconds: number): readonly ChildProcess[] {
  const server = rig.enclosure.start(['iperf3', '-s', '-1', '-p', '5202'], { netns: rig.paris.host, stdio: 'ignore' });
  const client = ['sh', '-c', `sleep 0.3; exec iperf3 -c ${rig.paris.host4} -p 5202 -t ${seconds}`];
  return [server, rig.enclosure.start(client, { netns: rig.berlin.host, stdio: 'ignore' })];
}

/** Starts a program that says `{"ready":true}`, and later a result. */
async function listen(rig: Rig, netns: string, argv: readonly string[]) {
  const child = rig.enclosure.start(argv, { netns, stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  const closed = once(child, 'close');
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('\n')) resolve();
    });
    child.once('close', () => reject(new Error(`${argv.join(' ')} ended`)));
  });
  await ready;
  return {
    rest: async (): Promise<string> => {
      await closed;
      return text.slice(text.indexOf('\n') + 1);
    },
    end: async (): Promise<void> => {
      child.stdin?.end();
      await closed;
    },
  };
}

function reading(peer: Started): { readonly daemons: number; readonly machine: number } {
  return { daemons: usageOf(pids(peer)).cpuSeconds, machine: machineBusySeconds() };
}

function pids(peer: Started): readonly number[] {
  return peer.daemons.flatMap((child) => (child.pid === undefined ? [] : [child.pid]));
}

const RTT_EVERY_US = 2000;
