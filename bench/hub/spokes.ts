import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { monotonicClock } from '../../src/base/clock.ts';
import { invariant } from '../../src/base/invariant.ts';
import { NO_FILES, parseSettings } from '../../src/config/load.ts';
import type { Settings } from '../../src/config/settings.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { Driver } from '../../src/daemon/driver.ts';
import { timerAlarms } from '../../src/daemon/timer-alarm.ts';
import { type Address, parseAddress } from '../../src/net/address.ts';
import type { TunnelEvent } from '../../src/tunnel/effects.ts';
import { Tunnel } from '../../src/tunnel/tunnel.ts';
import { MemoryPlane } from '../../test/support/memory-plane.ts';
import { HUB_PORT, innerPrefix, outerAddress, SPOKE_PORT, SpokeIdentities } from './names.ts';
import { ipv4Number, Wire } from './wire.ts';

/** What this process tells its parent, one JSON object a line, whenever it changed. Times: ms, monotonic. */
export interface SpokesReport {
  /** Handshakes completed since the last mark, and spokes among them. */
  readonly handshakes: number;
  readonly spokes: number;
  /** Attempts that failed since the last mark, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  /** When half, nine tenths and all of those spokes had completed their first handshake since the mark. */
  readonly halfAt: number;
  readonly mostAt: number;
  readonly lastAt: number;
  readonly state: 'starting' | 'running';
}

/**
 * The far ends of a hub: whole tunnels, each with its own identity and address, on a data plane in memory and one TUN
 * device (descriptor 3) for all. Reads from its standard input: `mark` counts anew; `talk` and `hush`: every spoke sends a
 * packet a second, or nothing. Ends with it.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      count: { type: 'string' },
      hub: { type: 'string' },
      fingerprint: { type: 'string' },
      identity: { type: 'string' },
    },
  });
  const { count = '1', hub = '', fingerprint = '', identity = '' } = values;
  const tally = new Tally();
  const identities = new SpokeIdentities(identity);
  const planes: MemoryPlane[] = [];
  const path = { remote: { address: addressOf(hub), port: HUB_PORT }, local: undefined };
  const byAddress = new Map<number, MemoryPlane>();
  const wire = new Wire({
    descriptor: DEVICE,
    hub: { address: ipv4Number(hub), port: HUB_PORT },
    spokePort: SPOKE_PORT,
    onDatagram: (address, datagram) => byAddress.get(address)?.receive(path, datagram),
  });
  for (let index = 0; index < Number(count); index++) {
    const outer = ipv4Number(outerAddress(index));
    const spoke = makeSpoke({
      identity: identities.identity(index),
      settings: spokeSettings(index, hub, fingerprint),
      index,
      tally,
      transmit: (datagram) => wire.send(outer, datagram),
    });
    byAddress.set(outer, spoke.plane);
    planes.push(spoke.plane);
    spoke.start();
    // What has come is taken between the calls.
    if (index % STARTS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  tally.state = 'running';
  const lines = createInterface({ input: process.stdin });
  let talking: NodeJS.Timeout | undefined;
  let turn = 0;
  lines.on('line', (line) => {
    if (line === 'mark') return tally.mark();
    clearInterval(talking);
    if (line !== 'talk') return;
    talking = setInterval(() => {
      // A tenth of them every tenth of a second.
      turn = (turn + 1) % TALK_TURNS;
      for (let i = turn; i < planes.length; i += TALK_TURNS) planes[i]?.sendPacket(smallPacket(i));
    }, TALK_INTERVAL_MS / TALK_TURNS);
  });
  lines.on('close', () => process.exit(0));
  setInterval(() => tally.report(), 50);
}

class Tally {
  state: SpokesReport['state'] = 'starting';
  #handshakes = 0;
  #failures = new Map<string, number>();
  #times: number[] = [];
  #seen = new Set<number>();
  #said = '';

  event(index: number, event: TunnelEvent): void {
    if (event.kind === 'handshake-failed') {
      const reason = `${event.role} ${event.reason.code}`;
      this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + 1);
    }
    if (event.kind !== 'handshake-completed') return;
    this.#handshakes += 1;
    if (this.#seen.has(index)) return;
    this.#seen.add(index);
    this.#times.push(Number(process.hrtime.bigint()) / 1e6);
  }

  mark(): void {
    this.#handshakes = 0;
    this.#failures = new Map();
    this.#times = [];
    this.#seen = new Set();
    this.report();
  }

  report(): void {
    const report: SpokesReport = {
      handshakes: this.#handshakes,
      spokes: this.#seen.size,
      failures: Object.fromEntries(this.#failures),
      halfAt: this.#times[Math.floor(this.#times.length * 0.5)] ?? 0,
      mostAt: this.#times[Math.floor(this.#times.length * 0.9)] ?? 0,
      lastAt: this.#times.at(-1) ?? 0,
      state: this.state,
    };
    const text = JSON.stringify(report);
    if (text === this.#said) return;
    this.#said = text;
    process.stdout.write(`${text}\n`);
  }
}

interface Spoke {
  readonly identity: Identity;
  readonly settings: Settings;
  readonly index: number;
  readonly tally: Tally;
  readonly transmit: (datagram: Uint8Array) => void;
}

function makeSpoke({ identity, settings, index, tally, transmit }: Spoke): { plane: MemoryPlane; start: () => void } {
  const plane = new MemoryPlane({
    clock: monotonicClock,
    local: { address: addressOf(outerAddress(index)), port: SPOKE_PORT },
    transmit: (_, datagram) => transmit(datagram),
    // What Ethernet carries over IPv4.
    largest: 1472,
    deliver: () => undefined,
    onEvent: (event) => driver.planeEvent(event),
  });
  const driver = new Driver({
    tunnel: new Tunnel({
      settings,
      identity,
      crypto: systemRandom,
      session: (slot) => plane.session(slot),
      changed: (part, parts) => plane.changedSessions(part, parts),
      wallClock: () => Date.now() / 1000,
    }),
    plane,
    clock: monotonicClock,
    makeAlarm: timerAlarms(monotonicClock),
    resolve: () => Promise.resolve({ kind: 'failed', reason: 'nxdomain' }),
    onEvent: (event) => tally.event(index, event),
    onFinished: () => undefined,
    onPlaneNotice: () => undefined,
  });
  return { plane, start: () => driver.input((tunnel, now) => tunnel.start(now)) };
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  invariant(address !== undefined, 'addresses are addresses');
  return address;
}

/** An IPv4 packet of an unused protocol from spoke `index` to the hub. */
function smallPacket(index: number): Uint8Array {
  const packet = new Uint8Array(64);
  const prefix = innerPrefix(index).split('/')[0] ?? '';
  packet.set([0x45, 0, 0, 64, 0, 0, 0x40, 0, 64, 253]);
  packet.set(prefix.split('.').map(Number), 12);
  packet.set([172, 31, 0, 1], 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += ((packet[at] ?? 0) << 8) | (packet[at + 1] ?? 0);
  sum = (sum & 0xffff) + (sum >> 16);
  new DataView(packet.buffer).setUint16(10, ~sum & 0xffff);
  return packet;
}

/** The TUN device that this process was started with. */
const DEVICE = 3;
const STARTS_PER_TURN = 16;

const TALK_INTERVAL_MS = 1000;
const TALK_TURNS = 10;

function spokeSettings(index: number, hub: string, fingerprint: string): Settings {
  const text = `[Interface]
Address = ${innerPrefix(index)}
ListenPort = ${SPOKE_PORT}
Certificate = /spoke.crt
PrivateKey = /spoke.key
Metrics = off

[Peer]
Name = hub
Fingerprint = ${fingerprint}
Endpoint = ${hub}:${HUB_PORT}
AllowedIPs = 172.31.0.1/32
`;
  const parsed = parseSettings('spoke.conf', text, NO_FILES);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value.settings;
}

await main();
