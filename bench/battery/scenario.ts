import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicClock } from '../../src/base/clock.ts';
import { ControlClient } from '../../src/control/client.ts';
import type { PeerStatus, StatusDocument } from '../../src/control/status.ts';
import { PORT } from '../../src/demo/link.ts';
import { seededRandom } from '../../src/demo/pattern.ts';
import type { Site } from '../../src/demo/rig.ts';
import { startTool, type Tool } from '../../src/demo/tools.ts';
import { type LinkedRig, mtuFound } from '../../src/demo/linked-rig.ts';
import type { Floor, Happening, Outcome } from './outcome.ts';
import { Traffic, type TrafficOptions } from './traffic.ts';

/** Something that happens to a link, again and again. */
export interface Scenario {
  readonly name: string;
  /** As the table has it. */
  readonly title: string;
  /** How often in the full run, and in the seconds-long one of the tests. */
  readonly count: number;
  readonly few: number;
  readonly floor: Floor;
  /** The floor in words. */
  readonly promise: string;
  /** Throws when the link cannot even be made; what goes wrong later is a failure in the outcome. */
  run(setting: Setting): Promise<Findings>;
}

/** What a scenario is given. */
export interface Setting {
  readonly count: number;
  readonly seed: number;
  /** Of the checkout, for the raw file. */
  readonly commit?: string;
  /** Told how far it is. */
  readonly progress: (done: number) => void;
}

/** What it gives back. */
export type Findings = Pick<Outcome, 'happenings' | 'totals' | 'inTheClear' | 'skipped' | 'failures'>;

/** Runs `scenario`; whatever it throws is a failure. */
export async function perform(scenario: Scenario, setting: Setting): Promise<Outcome> {
  const load = readFileSync('/proc/loadavg', 'latin1').split(' ').slice(0, 3).join(' ');
  const about = { scenario: scenario.name, seed: setting.seed, commit: setting.commit ?? 'unknown', load };
  try {
    return { ...about, ...(await scenario.run(setting)) };
  } catch (error) {
    const failures = [error instanceof Error ? error.message : String(error)];
    return { ...about, happenings: [], totals: undefined, failures };
  }
}

/** Makes a link by `make`, lets traffic flow across it while `body` does things to it, and takes all away. */
export async function withTraffic(
  make: Promise<LinkedRig>,
  options: TrafficOptions,
  body: (field: Field) => Promise<void>,
): Promise<Findings> {
  const linked = await make;
  const happenings: Happening[] = [];
  const failures: string[] = [];
  try {
    // The search for the path MTU drops what is too large for now; it is over before anything is counted.
    await mtuFound(linked);
    const traffic = await Traffic.open(linked.rig, options);
    try {
      await body(new Field(linked, traffic, happenings, failures));
      return { happenings, failures, totals: await traffic.finish() };
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
      return { happenings, failures, totals: undefined };
    } finally {
      await traffic.close();
    }
  } finally {
    await linked.rig.close();
  }
}

/** A link under traffic, and the means to do things to it. */
export class Field {
  readonly linked: LinkedRig;
  readonly traffic: Traffic;
  readonly #happenings: Happening[];
  readonly #failures: string[];

  constructor(linked: LinkedRig, traffic: Traffic, happenings: Happening[], failures: string[]) {
    this.linked = linked;
    this.traffic = traffic;
    this.#happenings = happenings;
    this.#failures = failures;
  }

  /** Takes note of something done. */
  note(happening: Happening): void {
    this.#happenings.push(happening);
  }

  /** Takes note of something that did not go as it must. */
  fail(why: string): void {
    this.#failures.push(why);
  }

  control(here: Site): ControlClient {
    return controlOf(this.linked, here);
  }

  async status(here: Site): Promise<StatusDocument> {
    return (await this.control(here).status()).document;
  }

  /** The sum over all series of metric `name` whose labels contain `labels`. */
  async metric(here: Site, name: string, labels = ''): Promise<number> {
    const lines = (await this.control(here).metrics()).split('\n');
    const samples = lines.filter((line) => /^\w+/.exec(line)?.[0] === name && line.includes(labels));
    return samples.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** What `here` says of its first peer. */
  async peer(here: Site): Promise<PeerStatus | undefined> {
    return (await this.status(here)).peers[0];
  }
}

/** The daemon at `here`, asked as the CLI asks it but without starting a program each time. */
export function controlOf({ rig }: LinkedRig, here: Site): ControlClient {
  return new ControlClient(here.name, { dir: rig.enclosure.path('/run/dtunnel') });
}

/** Waits until `condition` holds; yields how long that took, undefined when it did not within `limitMs`. */
export async function until(condition: () => Promise<boolean>, limitMs: number): Promise<number | undefined> {
  const began = monotonicClock();
  while (!(await condition())) {
    if (monotonicClock() - began > limitMs) return undefined;
    await delay(5);
  }
  return monotonicClock() - began;
}

/** A relay in the internet that stands for Berlin at another address. */
export function relayToBerlin(
  { rig }: LinkedRig,
  port: number,
  seed: number,
  address: string = RELAY_ADDRESS,
): Promise<Tool> {
  return startTool(rig.enclosure, rig.internet ?? '', {
    tool: 'relay',
    listen: { address, port },
    target: { address: rig.berlin.public4, port: PORT },
    seed,
    toTarget: {},
    toClient: {},
  });
}

/** The internet swallows what goes to `address` and what comes from it, without a word. */
export async function blackhole({ rig }: LinkedRig, address: string, on: boolean): Promise<void> {
  const rule = `ip -n ${rig.internet} ${address.includes(':') ? '-6' : '-4'} rule ${on ? 'add' : 'del'} pref 10`;
  await rig.enclosure.run(['sh', '-eu'], {
    input: `${rule} from ${address} blackhole\n${rule} to ${address} blackhole\n`,
  });
}

/** The internet's own address at Berlin's side. */
export const RELAY_ADDRESS = '203.0.113.1';

/** Choices by a seed. */
export class Choice {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seededRandom(seed);
  }

  /** 0 … n − 1. */
  below(n: number): number {
    return this.#next() % n;
  }

  /** One of them. */
  of<T>(options: readonly T[]): T {
    const chosen = options[this.below(options.length)];
    if (chosen === undefined) throw new Error('there is something to choose from');
    return chosen;
  }
}
