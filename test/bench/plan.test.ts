import { describe, expect, it } from 'vitest';
import { FULL, PEERS, visitsOf } from '../../bench/plan.ts';

describe('the visits of a full run', () => {
  const visits = visitsOf(FULL, PEERS);
  const idle = visits.slice(-FULL.idleRounds * PEERS.filter((peer) => peer.role !== 'limit').length);
  const long = visits.slice(0, visits.length - idle.length);

  it('take every peer over every outer path once a round, every other round backwards', () => {
    const names = PEERS.map((peer) => peer.name);
    for (let round = 0; round < FULL.rounds; round++) {
      for (const path of FULL.paths) {
        const seen = long.filter((visit) => visit.round === round && visit.path === path).map(({ peer }) => peer.name);
        expect(seen).toEqual(round % 2 === 0 ? names : names.toReversed());
      }
    }
    expect(long).toHaveLength(FULL.rounds * FULL.paths.length * names.length);
  });

  it('measure idle round trips afterwards, in rounds of nothing else', () => {
    expect(new Set(idle.map(({ round }) => round)).size).toBe(FULL.idleRounds);
    for (const { tests } of idle) expect(tests).toMatchObject([{ kind: 'rtt', loaded: false }]);
    expect(long.flatMap(({ tests }) => tests).filter((test) => test.kind === 'rtt' && !test.loaded)).toEqual([]);
  });
});
