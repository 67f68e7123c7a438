import { describe, expect, it } from 'vitest';
import { identityOf } from '../support/pair.ts';
import { losses, peerSettings, plus, type Site, World, type WorldOptions } from '../support/world.ts';

const BERLIN = await identityOf('p256', 'berlin');
const PARIS = await identityOf('p256', 'paris');

/** Two sites that know each other; who has an endpoint is up to the test. */
function pair(options: WorldOptions & { readonly berlinCalls?: boolean; readonly parisCalls?: boolean } = {}): {
  readonly world: World;
  readonly berlin: Site;
  readonly paris: Site;
} {
  const { berlinCalls = false, parisCalls = true } = options;
  const world = new World(options);
  const berlin = world.site('berlin', {
    identity: BERLIN,
    addresses: ['203.0.113.10'],
    peers: [
      peerSettings({
        name: 'paris',
        fingerprints: [PARIS.fingerprint],
        allowedIps: ['10.2.0.0/16'],
        endpoints: berlinCalls ? ['198.51.100.7:4433'] : [],
      }),
    ],
  });
  const paris = world.site('paris', {
    identity: PARIS,
    addresses: ['198.51.100.7'],
    peers: [
      peerSettings({
        name: 'berlin',
        fingerprints: [BERLIN.fingerprint],
        allowedIps: ['10.1.0.0/16'],
        endpoints: parisCalls ? ['203.0.113.10:4433'] : [],
      }),
    ],
  });
  return { world, berlin, paris };
}

const up = (site: Site, peer: string): boolean => site.peer(peer).up;

describe('a link between two sites', () => {
  it('comes up when the caller starts last', () => {
    const { world, berlin, paris } = pair();
    berlin.start();
    world.run(1000);
    paris.start();
    const took = world.until(() => up(paris, 'berlin') && up(berlin, 'paris'));
    expect(took).toBeLessThan(100);
  });

  it('carries packets both ways', () => {
    const { world, berlin, paris } = pair();
    berlin.start();
    paris.start();
    world.until(() => up(paris, 'berlin') && up(berlin, 'paris'));
    const sent = world.traffic(paris, berlin, ['10.2.0.1', '10.1.0.1'], 5, plus(world.now, 1000));
    const back = world.traffic(berlin, paris, ['10.1.0.1', '10.2.0.1'], 5, plus(world.now, 1000));
    world.run(2000);
    expect(sent.length).toBeGreaterThan(190);
    expect(losses(sent, berlin)).toEqual({ lost: 0, duplicated: 0 });
    expect(losses(back, paris)).toEqual({ lost: 0, duplicated: 0 });
  });
});
