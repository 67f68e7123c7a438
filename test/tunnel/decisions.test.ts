import { describe, expect, it } from 'vitest';
import { type Fingerprint, type Instant, ms, type PeerId, seconds } from '../../src/base/brand.ts';
import { type Prefix, parsePrefix } from '../../src/net/prefix.ts';
import { type CallInput, decideCalls } from '../../src/tunnel/calling.ts';
import {
  decideLiveness,
  type LivenessInput,
  type LivenessState,
  lookInterval,
  newLiveness,
  questionedAtRest,
} from '../../src/tunnel/liveness.ts';
import { GCM_BLOCKS, RETIRE_HARD } from '../../src/tunnel/limits.ts';
import { PathMemory } from '../../src/tunnel/path-memory.ts';
import { acknowledgePathMtu, decidePathMtu, newPathMtu, type PathMtuInput } from '../../src/tunnel/path-mtu.ts';
import { judgePeer, type PeerView } from '../../src/tunnel/peer-state.ts';
import { decideRekey, keyUsage, rekeyAfterBytes, rekeyAt } from '../../src/tunnel/rekey.ts';
import { retireAt } from '../../src/tunnel/retirement.ts';
import { decideMove, decideRoaming, provesPath } from '../../src/tunnel/roaming.ts';
import { computeRoutes, type RoutedPeer } from '../../src/tunnel/routes.ts';
import { type Candidate, selectAssociation } from '../../src/tunnel/selection.ts';
import { address } from '../support/world.ts';

const at = (n: number): Instant => n as Instant;

describe('liveness', () => {
  const usual: LivenessInput = {
    now: at(0),
    lastReceive: at(0),
    sent: false,
    busy: false,
    checkBusy: ms(250),
    checkIdle: ms(0),
    measure: seconds(5),
    purpose: 'current',
    answersProbes: true,
    keepalive: seconds(25),
    questioned: undefined,
    leads: false,
    deadAfter: seconds(10),
    timeout: ms(50),
    loss: 0,
  };
  /** Checks whenever one is due, until the health is `until`; yields when that was and how many probes went out. */
  function silence(over: Partial<LivenessInput>, until: string): { readonly at: number; readonly probes: number } {
    let state: LivenessState = newLiveness(at(0));
    let probes = 0;
    for (let now = at(1); now < 100_000; ) {
      const decision = decideLiveness(state, { ...usual, now, sent: true, busy: true, ...over });
      state = decision.state;
      if (decision.probe !== 'none') probes++;
      if (decision.health === until) return { at: now, probes };
      now = decision.nextCheck;
    }
    return { at: Number.POSITIVE_INFINITY, probes };
  }

  it('an idle association is not silent: nothing was asked', () => {
    const decision = decideLiveness(newLiveness(at(0)), { ...usual, now: at(24_000) });
    expect(decision).toMatchObject({ health: 'alive', probe: 'none' });
  });

  it('asks when something was sent and it is quiet for a tenth of DeadAfter, twice a second at most', () => {
    const asked = (over: Partial<LivenessInput>, lastProbe = 0): boolean =>
      decideLiveness(
        { ...newLiveness(at(lastProbe)), lastCheck: at(850), plannedCheck: at(1000) },
        { ...usual, deadAfter: ms(800), now: at(1000), lastReceive: at(900), sent: true, busy: true, ...over },
      ).state.askedAt === 1000;
    expect(asked({})).toBe(true);
    expect(asked({ deadAfter: ms(1500) })).toBe(false);
    expect(asked({ sent: false })).toBe(false);
    expect(asked({ lastReceive: at(950) })).toBe(false);
    expect(asked({ answersProbes: false })).toBe(false);
    expect(asked({}, 501)).toBe(false);
  });

  it('probes an idle association after the keepalive, and none when that is off', () => {
    const idle = { ...newLiveness(at(0)), plannedCheck: at(25_000), lastCheck: at(24_000) };
    expect(decideLiveness(idle, { ...usual, now: at(25_000) }).probe).toBe('small');
    expect(decideLiveness(idle, { ...usual, now: at(25_000), keepalive: undefined }).probe).toBe('none');
  });

  it('looks at idle associations on a common grid, less often with many peers, at half of DeadAfter at the latest', () => {
    const next = (over: Partial<LivenessInput>): number =>
      decideLiveness(newLiveness(at(0)), { ...usual, now: at(1013), lastReceive: at(1000), ...over }).nextCheck;
    expect(next({})).toBe(3550);
    expect(next({ checkIdle: ms(4000) })).toBe(5050);
    expect(next({ checkIdle: ms(50_000) })).toBe(6050);
    expect(next({ busy: true })).toBe(1300);
  });

  it('the far end asks and is answered: nobody else need ask, until nobody has asked for a keepalive', () => {
    const probeAt = (now: number, over: Partial<LivenessInput>): string =>
      decideLiveness({ ...newLiveness(at(0)), lastCheck: at(now - 1000) }, { ...usual, now: at(now), ...over }).probe;
    expect(probeAt(48_999, { questioned: at(24_000) })).toBe('none');
    expect(probeAt(49_000, { questioned: at(24_000) })).toBe('small');
    // What asked before the latest probe of ours says nothing.
    expect(probeAt(25_000, { questioned: at(-1000) })).toBe('small');
  });

  it('one end asks a little earlier, so that they do not both ask at the same time', () => {
    const probeAt = (now: number, leads: boolean): string =>
      decideLiveness({ ...newLiveness(at(0)), lastCheck: at(now - 1000) }, { ...usual, now: at(now), leads }).probe;
    expect(probeAt(23_999, true)).toBe('none');
    expect(probeAt(24_000, true)).toBe('small');
    expect(probeAt(24_000, false)).toBe('none');
  });

  it('asks all the same once in four keepalives, for figures of its own', () => {
    const probeAt = (now: number): string =>
      decideLiveness(newLiveness(at(0)), { ...usual, now: at(now), questioned: at(now - 1000) }).probe;
    expect(probeAt(99_999)).toBe('none');
    expect(probeAt(100_000)).toBe('small');
  });

  it('measures while there is traffic, less often with many peers, at the keepalive at least', () => {
    const probeAt = (now: number, over: Partial<LivenessInput>): string =>
      decideLiveness(
        { ...newLiveness(at(0)), lastCheck: at(now - 100) },
        { ...usual, now: at(now), busy: true, ...over },
      ).probe;
    expect([probeAt(4999, {}), probeAt(5000, {})]).toEqual(['none', 'small']);
    expect([probeAt(19_999, { measure: seconds(20) }), probeAt(20_000, { measure: seconds(20) })]).toEqual([
      'none',
      'small',
    ]);
    expect(probeAt(25_000, { measure: seconds(100) })).toBe('small');
    expect(probeAt(100_000, { measure: seconds(100), keepalive: undefined })).toBe('small');
  });

  it('trouble is asked about at once, whoever has asked before', () => {
    const asked = { ...newLiveness(at(0)), askedAt: at(1000), unanswered: 1, lastProbe: at(1000), lastCheck: at(1000) };
    const decision = decideLiveness(asked, { ...usual, now: at(1100), lastReceive: at(900), questioned: at(1050) });
    expect(decision.probe).toBe('padded');
  });

  it('rests until its next probe, which a question of the far end puts off', () => {
    const { state, rest } = decideLiveness(newLiveness(at(0)), { ...usual, now: at(1013) });
    if (rest === undefined) throw new Error('nothing was asked');
    expect(rest.until).toBe(25_000);
    expect(questionedAtRest(state, rest, at(20_000)).until).toBe(45_000);
    expect(questionedAtRest(state, rest, at(90_000)).until).toBe(100_000);
    expect(decideLiveness(state, { ...usual, now: at(20_001), questioned: at(20_000) }).rest?.until).toBe(45_000);
  });

  it('rests for ten minutes at most', () => {
    const { state, rest } = decideLiveness(newLiveness(at(0)), { ...usual, now: at(0), keepalive: undefined });
    if (rest === undefined) throw new Error('nothing was asked');
    expect(rest.until).toBe(600_000);
    expect(questionedAtRest(state, rest, at(20_000))).toBe(rest);
  });

  it('looks at counters several times in DeadAfter, less often with many peers, at half of it at the latest', () => {
    expect(lookInterval(seconds(10), ms(0))).toBe(2500);
    expect(lookInterval(seconds(10), ms(4000))).toBe(4000);
    expect(lookInterval(seconds(10), ms(50_000))).toBe(5000);
    expect(lookInterval(ms(1500), ms(0))).toBe(375);
    expect(lookInterval(seconds(60), ms(0))).toBe(5000);
  });

  it('is not at rest while something is asked, flows, or is a standby', () => {
    const restWith = (over: Partial<LivenessInput>, state = newLiveness(at(0))) =>
      decideLiveness(state, { ...usual, now: at(1000), ...over }).rest;
    expect(restWith({})).toEqual({ until: 25_000, keepalive: 25_000, leads: false });
    expect(restWith({ sent: true })).toBeUndefined();
    expect(restWith({ busy: true })).toBeUndefined();
    expect(restWith({ purpose: 'standby' })).toBeUndefined();
    expect(restWith({}, { ...newLiveness(at(0)), askedAt: at(500), unanswered: 1 })).toBeUndefined();
    expect(restWith({ now: at(25_000) })).toBeUndefined(); // its probe is under way
  });

  it('goes from troubled over suspect to dead, in DeadAfter', () => {
    const [troubled, suspect, dead] = ['troubled', 'suspect', 'dead'].map((health) => silence({}, health));
    expect(troubled?.at).toBeLessThan(1500);
    expect(suspect?.at).toBeLessThan(7000);
    expect(dead?.at).toBeLessThanOrEqual(10_100);
    expect(dead?.probes).toBeGreaterThan(25);
    expect(dead?.probes).toBeLessThan(60);
  });

  it('fits a failover into a DeadAfter of 1.5 s', () => {
    expect(silence({ deadAfter: ms(1500) }, 'suspect').at).toBeLessThan(1200);
  });

  it('asks more often before it judges a path that loses much', () => {
    const clean = silence({}, 'dead').probes;
    expect(silence({ loss: 0.5 }, 'dead').probes).toBeGreaterThan(2 * clean);
  });

  it('gives a slow path the time that it needs', () => {
    expect(silence({ deadAfter: ms(1500), timeout: seconds(3) }, 'dead').at).toBeGreaterThan(8900);
  });

  it('pads what follows an unanswered probe, so that a hello fits in the answer', () => {
    let state: LivenessState = newLiveness(at(0));
    const kinds: string[] = [];
    for (let now = at(1); kinds.length < 3; ) {
      const decision = decideLiveness(state, { ...usual, now, sent: true, busy: true });
      state = decision.state;
      if (decision.probe !== 'none') kinds.push(decision.probe);
      now = decision.nextCheck;
    }
    expect(kinds).toEqual(['small', 'padded', 'padded']);
  });

  it('blames nobody for the time in which this process did not run', () => {
    const asked: LivenessState = {
      askedAt: at(1000),
      unanswered: 5,
      lastProbe: at(1400),
      lastCheck: at(1400),
      plannedCheck: at(1500),
    };
    expect(decideLiveness(asked, { ...usual, now: at(600_000) }).health).toBe('alive');
  });

  it('never probes a peer that would not understand, and judges it by what it does not answer', () => {
    const plain = silence({ answersProbes: false }, 'dead');
    expect(plain.probes).toBe(0);
    expect(plain.at).toBeLessThanOrEqual(10_500);
  });
});

describe('rekey', () => {
  const readings = {
    sealedRecords: 1000n,
    sealedBytes: 1_000_000n,
    sealedLarge: 1000n,
    openedRecords: 0n,
    openedBytes: 0n,
    failedOpens: 0n,
    lastReceive: undefined,
  };
  const usual = {
    now: at(0),
    role: 'client',
    aead: 'aes-128-gcm',
    readings,
    scheduledAt: undefined,
    afterBytes: 'auto',
  } as const;

  it('keeps what is young and little used', () => {
    expect(decideRekey(usual)).toEqual({ kind: 'keep' });
  });

  it('by time: the client in the last tenth before RekeyAfter, the server after it', () => {
    for (const uniform of [0, 0.5, 1]) {
      const client = rekeyAt(at(0), seconds(1000), 'client', uniform) ?? 0;
      const server = rekeyAt(at(0), seconds(1000), 'server', uniform) ?? 0;
      expect(client).toBeGreaterThanOrEqual(900_000);
      expect(client).toBeLessThanOrEqual(1_000_000);
      expect(server).toBeGreaterThan(1_000_000);
    }
    expect(rekeyAt(at(0), 'off', 'client', 0.5)).toBeUndefined();
    expect(decideRekey({ ...usual, scheduledAt: at(5), now: at(5) })).toEqual({ kind: 'rekey', trigger: 'time' });
  });

  it('by volume: as configured', () => {
    expect(decideRekey({ ...usual, afterBytes: 1_000_000 })).toEqual({ kind: 'rekey', trigger: 'data' });
    expect(decideRekey({ ...usual, afterBytes: 1_000_001 })).toEqual({ kind: 'keep' });
    expect(decideRekey({ ...usual, role: 'server', afterBytes: 1_000_000 })).toEqual({ kind: 'keep' });
  });

  it('by what the AEAD allows: at a quarter, and an end at nine tenths (RFC 9147 §4.5.3)', () => {
    const used = (share: number) => ({ ...readings, sealedBytes: BigInt(Math.ceil(GCM_BLOCKS * 16 * share)) });
    expect(decideRekey({ ...usual, readings: used(0.24) }).kind).toBe('keep');
    expect(decideRekey({ ...usual, readings: used(0.26) }).kind).toBe('rekey');
    expect(decideRekey({ ...usual, readings: used(0.91) }).kind).toBe('stop');
    expect(decideRekey({ ...usual, readings: { ...readings, failedOpens: 2n ** 35n } }).kind).toBe('rekey');
    expect(decideRekey({ ...usual, readings: { ...readings, failedOpens: 2n ** 36n } }).kind).toBe('stop');
    expect(decideRekey({ ...usual, aead: 'chacha20-poly1305', readings: used(0.26) }).kind).toBe('keep');
    expect(
      decideRekey({ ...usual, aead: 'chacha20-poly1305', readings: { ...readings, sealedRecords: 2n ** 47n } }).kind,
    ).toBe('rekey');
  });

  it('says after how many octets, and what share is used', () => {
    expect(rekeyAfterBytes(5000, 'aes-128-gcm')).toBe(5000);
    expect(rekeyAfterBytes('auto', 'aes-256-gcm') / 2 ** 30).toBeCloseTo(90.5, 0);
    expect(
      keyUsage({ ...readings, sealedBytes: BigInt(Math.floor(GCM_BLOCKS * 8)), sealedRecords: 0n }, 'aes-128-gcm')
        .transmit,
    ).toBeCloseTo(0.5, 5);
  });
});

describe('path MTU (RFC 8899)', () => {
  const usual: PathMtuInput = {
    now: at(0),
    family: 4,
    ceiling: 9168,
    matters: false,
    answering: true,
    timeout: ms(40),
    loss: 0,
    verifyEvery: ms(500),
  };
  /** Lets the search run over a link of `link` octets; yields the size found, the probes sent and the time taken. */
  function search(link: number, over: Partial<PathMtuInput> = {}): { mtu: number; probes: number[]; took: number } {
    const input = { ...usual, ...over };
    const carried = link - (input.family === 4 ? 28 : 48);
    let state = newPathMtu(at(0));
    const probes: number[] = [];
    let took = 0;
    for (let now = at(0); now < 20_000; ) {
      const decision = decidePathMtu(state, { ...input, now });
      state = decision.state;
      if (decision.probe !== undefined) {
        probes.push(decision.probe);
        took = now;
        if (decision.probe <= carried) {
          now = at(now + 10);
          state = acknowledgePathMtu(state, decision.probe, now);
          continue;
        }
      }
      if (decision.nextAt === undefined) break;
      now = at(Math.max(decision.nextAt, now + 1));
    }
    return { mtu: state.mtu, probes, took };
  }

  it.each([1280, 1400, 1420, 1442, 1450, 1460, 1480, 1492, 1500, 4470, 8896, 9001])(
    'finds a link of %i octets',
    (link) => {
      expect(search(link).mtu).toBe(link - 28);
      expect(search(link, { family: 6 }).mtu).toBe(link - 48);
    },
  );

  it("asks Ethernet's question first", () => {
    expect(search(1500).probes[0]).toBe(1472);
  });

  it('a small probe goes with what is asked again, and with the question whether a size is still carried', () => {
    const first = decidePathMtu(newPathMtu(at(0)), usual);
    expect(first).toMatchObject({ probe: 1472, alone: true });
    // Nothing came meanwhile, as nothing was asked that a narrow path carries: it is asked again as soon, with company.
    const again = decidePathMtu(first.state, { ...usual, answering: false, now: at(60) });
    expect(again).toMatchObject({ probe: 1472, alone: false, state: { probe: { sent: 1 } } });
    // Now silence is the path's.
    expect(decidePathMtu(again.state, { ...usual, answering: false, now: at(120) }).probe).toBeUndefined();
    const settled = { ...newPathMtu(at(0), 1472), raiseAt: undefined };
    const verified = decidePathMtu(settled, { ...usual, now: at(1000), matters: true });
    expect(verified).toMatchObject({ probe: 1472, alone: false });
  });

  it('never exceeds the ceiling', () => {
    const { mtu, probes } = search(1500, { ceiling: 1311 });
    expect(mtu).toBe(1311);
    expect(Math.max(...probes)).toBe(1311);
  });

  it('falls back to the base size when what worked is carried no longer, and to the least when that is not either', () => {
    let state = { ...newPathMtu(at(0), 1472), raiseAt: undefined };
    const sizes: number[] = [];
    for (let now = at(1000); now < 10_000; ) {
      const decision = decidePathMtu(state, { ...usual, now, matters: true });
      state = decision.state as typeof state;
      sizes.push(state.mtu);
      if (decision.nextAt === undefined || state.mtu === 548) break;
      now = at(Math.max(decision.nextAt, now + 1));
    }
    expect([...new Set(sizes)]).toEqual([1472, 1200, 548]);
  });

  it('takes silence for a matter of size only while the peer answers', () => {
    let state = newPathMtu(at(0), 1472);
    for (let now = at(1000); now < 100_000; now = at(now + 50)) {
      state = decidePathMtu(state, { ...usual, now, matters: true, answering: false }).state;
    }
    expect(state.mtu).toBe(1472);
  });

  it('looks upward again after 30 s on a path narrower than Ethernet, and ever later while that finds nothing', () => {
    // Twice a minute for ever was a loss of one in a hundred to a link of sixty packets a second.
    const pauses: number[] = [];
    let state = newPathMtu(at(0));
    let link = 1450;
    let last = 0;
    for (let now = at(0); now < 4_000_000; ) {
      const decision = decidePathMtu(state, { ...usual, now });
      state = decision.state;
      if (decision.probe !== undefined) {
        if (now - last > 10_000) pauses.push(Math.round((now - last) / 10_000) * 10);
        last = now;
        if (decision.probe <= link - 28) {
          state = acknowledgePathMtu(state, decision.probe, now);
          continue;
        }
      }
      if (pauses.length === 7) link = 1492;
      now = at(Math.max(decision.nextAt ?? 4_000_000, now + 1));
    }
    expect(pauses.slice(0, 10)).toEqual([30, 60, 120, 240, 480, 600, 600, 30, 60, 120]);
  });

  it('is confirmed only while packets are sent', () => {
    const settled = { ...newPathMtu(at(0), 1472), raiseAt: undefined };
    expect(decidePathMtu(settled, { ...usual, now: at(60_000) }).probe).toBeUndefined();
    expect(decidePathMtu(settled, { ...usual, now: at(60_000), matters: true }).probe).toBe(1472);
  });
});

describe('roaming (RFC 9146 §6)', () => {
  const path = { remote: { address: address('192.0.2.1'), port: 1 }, local: undefined };
  const token = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

  it('challenges a new path, once more when nothing comes, and forgets it', () => {
    const begun = decideMove(undefined, path, token, at(0));
    expect(begun.challenge).toBe(true);
    const again = decideRoaming(begun.state, 50, at(60));
    expect(again.challenge).toBe(true);
    expect(decideRoaming(again.state, 50, at(500)).challenge).toBe(false);
    expect(decideRoaming(again.state, 50, at(3000)).state).toBeUndefined();
  });

  it('believes only the token of the path, in time', () => {
    const { state } = decideMove(undefined, path, token, at(0));
    expect(provesPath(state, token, at(100))).toBe(true);
    expect(provesPath(state, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 9), at(100))).toBe(false);
    expect(provesPath(state, token, at(3001))).toBe(false);
  });

  it('keeps the token while the same path is reported again', () => {
    const { state } = decideMove(undefined, path, token, at(0));
    const other = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9);
    expect(decideMove(state, path, other, at(1000)).state?.token).toEqual(token);
    const elsewhere = { ...path, remote: { ...path.remote, port: 2 } };
    expect(decideMove(state, elsewhere, other, at(1000)).state?.token).toEqual(other);
  });
});

describe('which association carries the traffic', () => {
  const SMALL = 'a'.repeat(64) as Fingerprint;
  const LARGE = 'b'.repeat(64) as Fingerprint;
  const candidate = (over: Partial<Candidate> = {}): Candidate => ({
    role: 'client',
    endpointIndex: over.role === 'server' ? undefined : 0,
    startedAt: at(0),
    establishedAt: at(50),
    health: 'alive',
    draining: false,
    announces: true,
    peerUse: undefined,
    peerUseAt: undefined,
    confirmed: true,
    heldDown: false,
    ...over,
  });
  const pick = (candidates: Candidate[], current?: Candidate, ours = SMALL, theirs = LARGE) =>
    selectAssociation(candidates, current, ours, theirs);

  it('a client takes the newest', () => {
    const old = candidate();
    const fresh = candidate({ startedAt: at(1000), establishedAt: at(1050) });
    expect(pick([old, fresh], old)).toBe(fresh);
  });

  it('a server waits until the client says so', () => {
    const old = candidate({ role: 'server', peerUse: 'active', peerUseAt: at(60) });
    const fresh = candidate({ role: 'server', startedAt: at(1000), establishedAt: at(1050) });
    expect(pick([old, fresh], old)).toBe(old);
    const announced = { ...fresh, peerUse: 'active' as const, peerUseAt: at(1100) };
    expect(pick([old, announced], old)).toBe(announced);
  });

  it('a server with nothing else takes what it has', () => {
    const only = candidate({ role: 'server' });
    expect(pick([only])).toBe(only);
  });

  it('of two made at once both ends take the one whose client has the smaller fingerprint', () => {
    const mine = candidate({ startedAt: at(0), establishedAt: at(50) });
    const theirs = candidate({
      role: 'server',
      startedAt: at(10),
      establishedAt: at(60),
      peerUse: 'active',
      peerUseAt: at(70),
    });
    expect(pick([mine, theirs], undefined, SMALL, LARGE)).toBe(mine);
    expect(pick([mine, theirs], undefined, LARGE, SMALL)).toBe(theirs);
  });

  it('a far end that has started again is followed at once, whoever has the smaller fingerprint', () => {
    const dead = candidate({ establishedAt: at(50) });
    const fresh = candidate({
      role: 'server',
      startedAt: at(9000),
      establishedAt: at(9050),
      peerUse: 'active',
      peerUseAt: at(9060),
    });
    expect(pick([dead, fresh], dead, SMALL, LARGE)).toBe(fresh);
    expect(pick([dead, fresh], dead, LARGE, SMALL)).toBe(fresh);
  });

  it('what answers beats what does not, and what stays beats what leaves', () => {
    const silent = candidate({ health: 'suspect' });
    const standby = candidate({ endpointIndex: 1 });
    expect(pick([silent, standby], silent)).toBe(standby);
    const leaving = candidate({ draining: true });
    expect(pick([leaving, standby], leaving)).toBe(standby);
    expect(pick([leaving], leaving)).toBe(leaving);
  });

  it('an endpoint that failed is gone back to after its hold-down only', () => {
    const back = candidate({ endpointIndex: 0, heldDown: true });
    const used = candidate({ endpointIndex: 1 });
    expect(pick([back, used], used)).toBe(used);
    expect(pick([{ ...back, heldDown: false }, used], used)?.endpointIndex).toBe(0);
  });
});

describe('whom to call', () => {
  const legs = (n: number) =>
    Array.from({ length: n }, (_, index) => ({ index, live: undefined, isCurrent: false, remembered: false }));
  const usual: CallInput = { now: at(0), legs: legs(3), current: undefined, troubleSince: at(0), everUp: false };
  const current = { role: 'client', health: 'alive', speaks: true, draining: false } as const;

  it('all endpoints, a second apart, while nothing answers', () => {
    expect(decideCalls(usual)).toEqual({ triggers: ['start', undefined, undefined], nextAt: 1000 });
    expect(decideCalls({ ...usual, now: at(1000) }).triggers).toEqual(['start', 'start', undefined]);
    expect(decideCalls({ ...usual, now: at(2000), everUp: true }).triggers).toEqual(['retry', 'retry', 'retry']);
  });

  it('one other to keep warm while the first answers', () => {
    const [first, ...others] = legs(3);
    const used = [{ ...first, index: 0, live: 'alive' as const, isCurrent: true, remembered: false }, ...others];
    expect(decideCalls({ ...usual, legs: used, current }).triggers).toEqual([undefined, 'failover', undefined]);
    const plain = { ...current, speaks: false };
    expect(decideCalls({ ...usual, legs: used, current: plain }).triggers).toEqual([undefined, undefined, undefined]);
  });

  it('the better ones while a worse one is used', () => {
    const all = legs(3).map((leg) =>
      leg.index === 2 ? { ...leg, live: 'alive' as const, isCurrent: true, remembered: false } : leg,
    );
    expect(decideCalls({ ...usual, legs: all, current }).triggers).toEqual(['failover', 'failover', undefined]);
  });

  it("nobody while the peer's own call answers", () => {
    const called = { ...current, role: 'server' as const };
    expect(decideCalls({ ...usual, current: called }).triggers).toEqual([undefined, undefined, undefined]);
  });
});

describe('routes', () => {
  const net = (text: string): Prefix => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new Error(text);
    return prefix;
  };
  const peer = (id: number, over: Partial<RoutedPeer> = {}): RoutedPeer => ({
    id: id as PeerId,
    enabled: true,
    priority: id,
    allowedIps: [net('10.0.0.0/8')],
    reachable: true,
    wavering: false,
    heldUntil: undefined,
    ...over,
  });
  const outbound = (peers: RoutedPeer[], before?: number, now = 0) =>
    computeRoutes(peers, new Map(before === undefined ? [] : [['10.0.0.0/8', before as PeerId]]), at(now)).routes[0]
      ?.outbound;

  it('the best that answers carries, all may send', () => {
    const [route] = computeRoutes([peer(2), peer(1)], new Map(), at(0)).routes;
    expect(route).toMatchObject({ outbound: 1, inbound: [2, 1] });
    expect(outbound([peer(1, { reachable: false }), peer(2)])).toBe(2);
  });

  it('fails closed at the best when nobody answers', () => {
    expect(outbound([peer(1, { reachable: false }), peer(2, { reachable: false })])).toBe(1);
  });

  it('goes back only after the hold-down', () => {
    const peers = [peer(1, { heldUntil: at(5000) }), peer(2)];
    expect(outbound(peers, 2, 4999)).toBe(2);
    expect(computeRoutes(peers, new Map([['10.0.0.0/8', 2 as PeerId]]), at(0)).nextAt).toBe(5000);
    expect(outbound(peers, 2, 5000)).toBe(1);
  });

  it('leaves a peer that stops soon when another answers', () => {
    expect(outbound([peer(1, { wavering: true }), peer(2)], 1)).toBe(2);
    expect(outbound([peer(1, { wavering: true }), peer(2, { reachable: false })], 1)).toBe(1);
  });

  it('a disabled peer neither gets nor sends', () => {
    expect(computeRoutes([peer(1, { enabled: false })], new Map(), at(0)).routes[0]).toMatchObject({
      outbound: undefined,
      inbound: [],
    });
  });
});

describe('what is said of a peer', () => {
  const usual: PeerView = {
    enabled: true,
    current: undefined,
    everUp: false,
    failure: undefined,
    legs: [{ resolving: false }],
  };
  it.each([
    [{ enabled: false }, 'disabled'],
    [{}, 'connecting'],
    [{ legs: [{ resolving: true }] }, 'resolving'],
    [{ legs: [] }, 'down'],
    [{ failure: 'timeout' }, 'down'],
    [{ everUp: true }, 'down'],
    [{ current: { health: 'alive', draining: false } }, 'up'],
    [{ current: { health: 'troubled', draining: false } }, 'up'],
    [{ current: { health: 'suspect', draining: false } }, 'degraded'],
    [{ current: { health: 'alive', draining: true } }, 'degraded'],
    [{ current: { health: 'dead', draining: false } }, 'down'],
  ] as const)('%j is %s', (over, state) => {
    expect(judgePeer({ ...usual, ...over }).state).toBe(state);
  });
});

describe('the end of a replaced association', () => {
  const memory = new PathMemory(at(0));
  it("comes after a grace period and the far end's silence, at the latest after a minute", () => {
    const replaced = { supersededAt: at(10_000), lastReceive: at(9000), memory };
    expect(retireAt(replaced, { confirmed: true })).toBe(15_000);
    expect(retireAt({ ...replaced, lastReceive: at(20_000) }, { confirmed: true })).toBe(22_000);
    expect(retireAt({ ...replaced, lastReceive: at(200_000) }, { confirmed: true })).toBe(10_000 + RETIRE_HARD);
    expect(retireAt(replaced, { confirmed: false })).toBe(10_000 + RETIRE_HARD);
    expect(retireAt({ ...replaced, supersededAt: undefined }, { confirmed: true })).toBeUndefined();
  });
});
