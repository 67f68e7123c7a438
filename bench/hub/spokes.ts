import { createSocket } from 'node:dgram';
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
import { parseAddress } from '../../src/net/address.ts';
import type { Path } from '../../src/net/endpoint.ts';
import type { TunnelEvent } from '../../src/tunnel/effects.ts';
import { Tunnel } from '../../src/tunnel/tunnel.ts';
import { MemoryPlane } from '../../test/support/memory-plane.ts';
import { HUB_PORT, innerPrefix, outerAddress, SPOKE_PORT, SpokeIdentities } from './names.ts';

/** What this process tells its parent, one JSON object a line, whenever it changed. Times: ms, monotonic. */
export interface SpokesReport {
  /** Handshakes completed since the last mark, and spokes among them. */
  readonly handshakes: number;
  readonly spokes: number;
  /** Attempts that failed since the last mark. */
  readonly failures: number;
  /** When the last spoke completed its first handshake since the mark. */
  readonly lastAt: number;
  readonly state: 'starting' | 'running';
}

/**
 * The far ends of a hub: whole tunnels, each with its own identity, address and socket, on a data plane in memory. Reads
 * `mark` from its standard input to count anew, and ends with it.
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
  for (let index = 0; index < Number(count); index++) {
    await startSpoke(identities.identity(index), spokeSettings(index, hub, fingerprint), hub, index, tally);
  }
  tally.state = 'running';
  const lines = createInterface({ input: process.stdin });
  lines.on('line', () => tally.mark());
  lines.on('close', () => process.exit(0));
  setInterval(() => tally.report(), 50);
}

class Tally {
  state: SpokesReport['state'] = 'starting';
  #handshakes = 0;
  #failures = 0;
  #lastAt = 0;
  #seen = new Set<number>();
  #said = '';

  event(index: number, event: TunnelEvent): void {
    if (event.kind === 'handshake-failed') this.#failures += 1;
    if (event.kind !== 'handshake-completed') return;
    this.#handshakes += 1;
    if (this.#seen.has(index)) return;
    this.#seen.add(index);
    this.#lastAt = Number(process.hrtime.bigint()) / 1e6;
  }

  mark(): void {
    this.#handshakes = 0;
    this.#failures = 0;
    this.#seen = new Set();
    this.report();
  }

  report(): void {
    const report: SpokesReport = {
      handshakes: this.#handshakes,
      spokes: this.#seen.size,
      failures: this.#failures,
      lastAt: this.#lastAt,
      state: this.state,
    };
    const text = JSON.stringify(report);
    if (text === this.#said) return;
    this.#said = text;
    process.stdout.write(`${text}\n`);
  }
}

async function startSpoke(
  identity: Identity,
  settings: Settings,
  hub: string,
  index: number,
  tally: Tally,
): Promise<void> {
  const remote = parseAddress(hub);
  const local = parseAddress(outerAddress(index));
  invariant(remote !== undefined && local !== undefined, 'addresses are addresses');
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 18 });
  await new Promise<void>((resolve) => socket.bind(SPOKE_PORT, outerAddress(index), resolve));
  // The hub may be down: what ICMP says of that is as good as silence.
  socket.on('error', () => undefined);
  const path: Path = { remote: { address: remote, port: HUB_PORT }, local: undefined };
  const plane = new MemoryPlane({
    clock: monotonicClock,
    local: { address: local, port: SPOKE_PORT },
    transmit: (_, datagram) => socket.send(datagram, HUB_PORT, hub),
    deliver: () => undefined,
    onEvent: (event) => driver.planeEvent(event),
  });
  const driver = new Driver({
    tunnel: new Tunnel({
      settings,
      identity,
      crypto: systemRandom,
      session: (slot) => plane.session(slot),
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
  socket.on('message', (datagram) => plane.receive(path, datagram));
  driver.input((tunnel, now) => tunnel.start(now));
}

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
