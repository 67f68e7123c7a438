import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { pairwiseCases } from '../soak/design.ts';
import {
  type Case,
  PLAIN,
  type PlaneReport,
  type SoakOptions,
  type SoakResult,
  soak,
  type Verdict,
} from '../soak/soak.ts';
import { unable } from './support/rig.ts';

const FOLDER = fileURLToPath(new URL('../soak/', import.meta.url));
const BUILT = fileURLToPath(new URL('../../build/soak/', import.meta.url));
/** Building with a sanitizer takes minutes on a busy machine. */
const TIMEOUT = 900_000;

/** A long run: minutes to spend, shared by all cases over and over with other seeds. */
const MINUTES = Number(process.env['DTUNNEL_SOAK'] ?? 0);
const CASES = pairwiseCases();

const ENVIRONMENT = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

const reason = missing();
if (reason !== undefined) console.log(`the soak skipped: ${reason}`);

function missing(): string | undefined {
  const why = unable();
  if (why !== undefined) return why;
  for (const program of ['make', 'g++', 'ethtool', 'nft']) {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore', env: ENVIRONMENT });
    } catch {
      return `needs ${program}`;
    }
  }
  return undefined;
}

function make(...args: string[]): void {
  try {
    execFileSync('nice', ['make', '-s', '-j2', '-C', FOLDER, ...args], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new Error(`make ${args.join(' ')} failed:\n${stderr ?? ''}`.slice(-4000));
  }
}

const NOTHING_LOST = { lost: 0, late: 0, twice: 0, damaged: 0, examples: [] };

/** Nothing is excused: queues are larger than what is on the way at once. */
function expectPerfect(result: SoakResult): void {
  const { raw, udp, tcp } = result.traffic;
  const seen = { raw: faults(raw), udp: faults(udp), tcp: { damaged: tcp.damaged, incomplete: tcp.incomplete } };
  const context = { a: faultsOf(result.a), b: faultsOf(result.b), kernel: result.kernelDrops };
  expect({ ...seen, a: context.a, b: context.b }, JSON.stringify(context)).toEqual({
    raw: NOTHING_LOST,
    udp: NOTHING_LOST,
    tcp: { damaged: 0, incomplete: 0 },
    a: NO_FAULTS,
    b: NO_FAULTS,
  });
}

function faults({ lost, late, twice, damaged, examples }: Verdict): typeof NOTHING_LOST {
  return { lost, late, twice, damaged, examples: [...examples] as never[] };
}

const NO_FAULTS = {
  balanceIn: 0,
  balanceOut: 0,
  unattributed: 0,
  overflows: 0,
  gaps: 0,
  reordered: 0,
  duplicates: 0,
  dropsIn: {},
  dropsOut: {},
  disabled: 0,
};

function faultsOf(plane: PlaneReport): typeof NO_FAULTS {
  const { balanceIn, balanceOut, unattributed, overflows, gaps, reordered, duplicates, dropsIn, dropsOut, disabled } =
    plane;
  return { balanceIn, balanceOut, unattributed, overflows, gaps, reordered, duplicates, dropsIn, dropsOut, disabled };
}

/** Enough of everything went through for the verdict to mean something. */
function expectTraffic(result: SoakResult): void {
  const { raw, udp, tcp } = result.traffic;
  expect(raw.sent).toBeGreaterThan(1000);
  expect(udp.sent).toBeGreaterThan(500);
  expect(tcp.streams).toBe(8);
  expect(tcp.octets).toBeGreaterThan(1 << 20);
}

describe.skipIf(reason !== undefined)('every octet between two LANs arrives once, in order and as it was sent', () => {
  beforeAll(() => make('traffic'), TIMEOUT);

  it.each(CASES.map((one) => [JSON.stringify(one), one] as const))('%s', async (_, one) => {
    const result = await soak(one, { seconds: 1.5, seed: CASES.indexOf(one) + 1 });
    expectPerfect(result);
    expectTraffic(result);
    // The switches do what they say.
    expect([result.a.offloads & one.disableA, result.b.offloads & one.disableB]).toEqual([0, 0]);
  });

  // A sender whose fragments are on their way beside whole datagrams of the same ports is two flows to the kernel's hash.
  it.each([
    { ...PLAIN, lanes: 3 },
    { ...PLAIN, lanes: 4, churn: true, outer: 'off' },
    { ...PLAIN, lanes: 2, ids: false, outer: 'nic', family: 6 },
  ] satisfies readonly Case[])('also over $lanes lanes, ids $ids, outer path $outer', async (one) => {
    const result = await soak(one, { seconds: 3, seed: 17, only: 'raw,tcp' });
    // Records of several lanes pass each other on the way, on two processors also by so much that one counts as missing
    // until it comes; without ids they must not.
    const byLane = (plane: PlaneReport): PlaneReport =>
      one.ids ? { ...plane, reordered: 0, gaps: Math.max(0, plane.gaps - plane.reordered) } : plane;
    expectPerfect({ ...result, a: byLane(result.a), b: byLane(result.b) });
    expect(result.traffic.raw.sent).toBeGreaterThan(1000);
  });

  it('also over a path that loses and marks: nothing is damaged, doubled or overtaken, and marks arrive', async () => {
    for (const one of [PLAIN, { ...PLAIN, outer: 'off', family: 6, lan: 'cut' } satisfies Case]) {
      const { traffic } = await soak(one, { seconds: 3, seed: 7, impaired: true });
      for (const { late, twice, damaged, examples, marked, lost, sent } of [traffic.raw, traffic.udp]) {
        expect({ late, twice, damaged }, examples.join('\n')).toEqual({ late: 0, twice: 0, damaged: 0 });
        expect(marked).toBeGreaterThan(0);
        expect(lost).toBeLessThan(sent / 2);
      }
      expect(traffic.tcp).toMatchObject({ streams: 8, damaged: 0, incomplete: 0 });
    }
  });

  it.each([
    { outerEcn: 0, family: 4 },
    { outerEcn: 1, family: 6 },
    { outerEcn: 2, family: 4 },
    { outerEcn: 3, family: 4 },
  ] as const)('and outer ECN $outerEcn becomes what RFC 6040 §4.2 makes of it', async ({ outerEcn, family }) => {
    const { traffic, a, b, kernelDrops } = await soak(
      { ...PLAIN, family },
      { seconds: 1, seed: 11, only: 'raw', outerEcn },
    );
    const context = { a: faultsOf(a), b: faultsOf(b), kernel: kernelDrops };
    expect(faults(traffic.raw), JSON.stringify(context)).toEqual(NOTHING_LOST);
    expect(traffic.raw.sent).toBeGreaterThan(1000);
  });

  it('and the judge sees what is done to packets on purpose', async () => {
    const sabotage = ['numgen random mod 200 < 1 ip ttl set 7', 'numgen random mod 200 < 1 drop'];
    const { traffic } = await soak(PLAIN, { seconds: 1, seed: 13, only: 'raw,udp', sabotage, patience: 0.3 });
    expect(traffic.raw.damaged).toBeGreaterThan(0);
    expect(traffic.raw.lost).toBeGreaterThan(traffic.raw.damaged);
    expect(traffic.udp.lost).toBeGreaterThan(0);
    expect(traffic.raw.intact + traffic.raw.lost).toBe(traffic.raw.sent);
  });
});

describe.skipIf(reason !== undefined).each(['address,undefined', 'thread'])('under the %s sanitizer', (sanitizer) => {
  const options: SoakOptions = {
    seconds: 4,
    seed: 21,
    host: [`${BUILT}plane-host-${sanitizer.replace(',', '-')}`],
    patience: 30,
    window: 60,
  };

  it('the same traffic finds no fault while the planes are changed under it', { timeout: TIMEOUT }, async () => {
    make('traffic');
    make('plane-host', `SAN=${sanitizer}`);
    const cases: readonly Case[] = [
      { ...PLAIN, churn: true },
      { ...PLAIN, churn: true, outer: 'nic', family: 6, aead: 2, ids: false, pathMtu: 1326, disableA: 0b001010 },
    ];
    for (const one of cases) {
      const result = await soak(one, options);
      expectPerfect(result);
      expect(result.traffic.raw.sent).toBeGreaterThan(200);
    }
  });
});

describe.skipIf(reason !== undefined || !(MINUTES > 0))(`for ${MINUTES} minutes`, () => {
  beforeAll(() => make('traffic'), TIMEOUT);

  it('nothing is damaged, doubled, overtaken or lost', { timeout: MINUTES * 60_000 + TIMEOUT }, async () => {
    const started = process.hrtime.bigint();
    const elapsed = (): number => Number(process.hrtime.bigint() - started) / 60e9;
    let packets = 0;
    for (let round = 0; elapsed() < MINUTES; round++) {
      const one = CASES[round % CASES.length] ?? PLAIN;
      const result = await soak(one, { seconds: Math.min(30, MINUTES * 10), seed: 1000 + round });
      expectPerfect(result);
      packets += result.a.readPackets + result.b.readPackets;
      console.log(`${elapsed().toFixed(1)} min, ${packets} packets: ${JSON.stringify(one)}`);
    }
  });
});
