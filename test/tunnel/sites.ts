import type { Identity } from '../../src/crypto/identity.ts';
import type { InterfaceSettings, PeerSettings } from '../../src/config/settings.ts';
import { systemEngines } from '../../src/tunnel/engines.ts';
import { REAL_CIPHER } from '../support/memory-plane.ts';
import { identityOf } from '../support/pair.ts';
import { QUICK_CIPHER, QUICK_ENGINES } from '../support/quick-engine.ts';
import { peerSettings, type Site, World, type WorldOptions } from '../support/world.ts';

const [ONE, OTHER] = [await identityOf('p256', 'one'), await identityOf('p256', 'other')];

/** Identities of the two sites; Berlin's fingerprint is the smaller one. */
export const [BERLIN, PARIS]: readonly [Identity, Identity] =
  ONE.fingerprint < OTHER.fingerprint ? [ONE, OTHER] : [OTHER, ONE];

/** The real engine and real record protection, for tests in which they matter; the others run without cryptography. */
export const REAL = { engines: systemEngines, cipher: REAL_CIPHER } as const;

/** Neither hidden nor signed: see quick-engine.ts. */
export const QUICK = { engines: QUICK_ENGINES, cipher: QUICK_CIPHER } as const;

/** A multi-homed Berlin. */
export const BERLIN_ADDRESSES: readonly string[] = ['203.0.113.10', '203.0.113.11'];

/** How a pair of sites differs from the usual: Paris calls Berlin. */
export interface PairOptions extends WorldOptions {
  /** Berlin has an endpoint of Paris. */
  readonly berlinCalls?: boolean;
  /** Paris has an endpoint of Berlin (default). */
  readonly parisCalls?: boolean;
  readonly berlinPeer?: Partial<PeerSettings>;
  readonly parisPeer?: Partial<PeerSettings>;
  readonly berlinInterface?: Partial<InterfaceSettings>;
  readonly parisInterface?: Partial<InterfaceSettings>;
  /** Both know after a restart where the other was. */
  readonly remember?: boolean;
  /** Berlin's, the one that Paris calls among them; the first is its source. */
  readonly berlinAddresses?: readonly string[];
  /** Paris is behind this NAT. */
  readonly nat?: string;
}

/** What a pair of sites consists of. */
export interface PairOfSites {
  readonly world: World;
  readonly berlin: Site;
  readonly paris: Site;
}

/** Berlin (203.0.113.10, 10.1/16) and Paris (198.51.100.7, 10.2/16), not started. */
export function twoSites(options: PairOptions = {}): PairOfSites {
  const { berlinCalls = false, parisCalls = true, remember = false, nat } = options;
  const world = new World({ ...QUICK, ...options });
  const berlin = world.site('berlin', {
    identity: BERLIN,
    addresses: options.berlinAddresses ?? ['203.0.113.10'],
    remembers: remember,
    interface: options.berlinInterface ?? {},
    peers: [
      {
        ...peerSettings({
          name: 'paris',
          fingerprints: [PARIS.fingerprint],
          allowedIps: ['10.2.0.0/16'],
          endpoints: berlinCalls ? ['198.51.100.7:4433'] : [],
        }),
        ...options.berlinPeer,
      },
    ],
  });
  const paris = world.site('paris', {
    identity: PARIS,
    addresses: ['198.51.100.7'],
    remembers: remember,
    interface: options.parisInterface ?? {},
    ...(nat === undefined ? {} : { nat }),
    peers: [
      {
        ...peerSettings({
          name: 'berlin',
          fingerprints: [BERLIN.fingerprint],
          allowedIps: ['10.1.0.0/16'],
          endpoints: parisCalls ? ['203.0.113.10:4433'] : [],
        }),
        ...options.parisPeer,
      },
    ],
  });
  return { world, berlin, paris };
}

/** The same, started and up. */
export function linkedSites(options: PairOptions = {}): PairOfSites {
  const sites = twoSites(options);
  sites.berlin.start();
  sites.paris.start();
  sites.world.until(() => linked(sites));
  return sites;
}

/** Both ends say that the other answers. */
export function linked({ berlin, paris }: PairOfSites): boolean {
  return berlin.peer('paris').up && paris.peer('berlin').up;
}

/** Steady numbered traffic both ways; call the result when it has come to its end. */
export function bothWays(
  { world, berlin, paris }: PairOfSites,
  interval: number,
  duration: number,
  size = 100,
): { readonly toBerlin: number[]; readonly toParis: number[] } {
  const until = (world.now + duration) as typeof world.now;
  return {
    toBerlin: world.traffic(paris, ['10.2.0.1', '10.1.0.1'], interval, until, 0, size),
    toParis: world.traffic(berlin, ['10.1.0.1', '10.2.0.1'], interval, until, 0, size),
  };
}
