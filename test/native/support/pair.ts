import type { AeadName } from '../../../src/crypto/aead.ts';
import type { PeerId } from '../../../src/base/brand.ts';
import { expect } from 'vitest';
import type { PlaneOptions, PlaneStats } from '../../../src/plane/plane.ts';
import { Namespaces, RemotePlane } from './rig.ts';

/** How two planes are joined. */
export interface PairOptions {
  readonly tag: string;
  readonly aead?: AeadName;
  /** Connection ids in both directions; true. */
  readonly ids?: boolean;
  /** Small packets share datagrams; false. */
  readonly packs?: boolean;
  /** Family of the outer packets; 4. */
  readonly outer?: 4 | 6;
  readonly pathMtu?: number;
  readonly plane?: Partial<Omit<PlaneOptions, 'device' | 'onEvent'>>;
}

/** The peer that each side knows the other by, and the slots of the first session. */
export const PEER = 3 as PeerId;
export const SLOT_A = 0x010203;
export const SLOT_B = 0x0a0b0c;

const KEY_SIZE: Readonly<Record<AeadName, number>> = { 'aes-128-gcm': 16, 'aes-256-gcm': 32, 'chacha20-poly1305': 32 };

/** Fixed test keys: `seed` makes them differ. */
export function testKeys(aead: AeadName, seed: number): { aead: AeadName; key: Uint8Array; iv: Uint8Array } {
  const iv = aead === 'chacha20-poly1305' ? 12 : 4;
  return { aead, key: new Uint8Array(KEY_SIZE[aead]).fill(seed), iv: new Uint8Array(iv).fill(seed + 1) };
}

/** An id of ours for `slot`. */
export function connectionId(slot: number): Uint8Array {
  return Uint8Array.of(slot >> 16, (slot >> 8) & 255, slot & 255, 1, 2, 3, 4, 5);
}

/** Two planes in two namespaces with one session between them, up and routed to each other. */
export class PlanePair {
  readonly namespaces: Namespaces;
  readonly a: RemotePlane;
  readonly b: RemotePlane;
  /** Hosts that make traffic, beside the planes in the same namespaces. */
  readonly hostA: RemotePlane;
  readonly hostB: RemotePlane;
  readonly portA = 4501;
  readonly portB = 4502;
  readonly #options: PairOptions;

  private constructor(options: PairOptions) {
    this.#options = options;
    this.namespaces = new Namespaces(options.tag);
    this.a = new RemotePlane(this.namespaces.a);
    this.b = new RemotePlane(this.namespaces.b);
    this.hostA = new RemotePlane(this.namespaces.a);
    this.hostB = new RemotePlane(this.namespaces.b);
  }

  static async open(options: PairOptions): Promise<PlanePair> {
    const pair = new PlanePair(options);
    try {
      await pair.#connect();
    } catch (error) {
      await pair.close();
      throw error;
    }
    return pair;
  }

  outer(host: 1 | 2): string {
    return (this.#options.outer ?? 4) === 4 ? `10.77.0.${host}` : `fd77::${host}`;
  }

  /** What side `side` installs as a session with the other: `seed` distinguishes sessions. */
  session(side: 'a' | 'b', overrides: Record<string, unknown> = {}, seed = 7): Record<string, unknown> {
    const aead = this.#options.aead ?? 'aes-128-gcm';
    const ids = this.#options.ids ?? true;
    const [ours, theirs] = side === 'a' ? [SLOT_A, SLOT_B] : [SLOT_B, SLOT_A];
    const [read, write] = side === 'a' ? [seed + 20, seed] : [seed, seed + 20];
    const none = new Uint8Array();
    return {
      slot: ours,
      peer: PEER,
      epoch: 1,
      read: testKeys(aead, read),
      write: testKeys(aead, write),
      nextWrite: 1,
      accepted: [0],
      ourConnectionId: ids ? connectionId(ours) : none,
      peerConnectionId: ids ? connectionId(theirs) : none,
      path: {
        remote: {
          address: this.outer(side === 'a' ? 2 : 1),
          port: side === 'a' ? this.portB : this.portA,
        },
        local: undefined,
      },
      pathMtu: this.#options.pathMtu ?? ((this.#options.outer ?? 4) === 4 ? 1472 : 1452),
      packs: this.#options.packs ?? false,
      ...overrides,
    };
  }

  async #connect(): Promise<void> {
    const sides = [
      [this.a, 'a', this.portA, this.namespaces.a, '1'],
      [this.b, 'b', this.portB, this.namespaces.b, '2'],
    ] as const;
    for (const [plane, side, port, namespace, host] of sides) {
      const opened = await plane.open({
        device: { name: `dtn${side}`, mtu: 1400 as never },
        listen: [{ address: undefined, port }],
        lanes: 1,
        crypto: 'auto',
        fwMark: undefined,
        disable: [],
        realtime: false,
        ...this.#options.plane,
      });
      await plane.call('setPeer', PEER, { dscp: 'copy', ecn: true, rateLimit: undefined, clampMss: true });
      await plane.call('setRoutes', [
        { prefix: { address: '192.168.77.0', length: 24 }, outbound: PEER, inbound: [PEER] },
        { prefix: { address: 'fd78::', length: 64 }, outbound: PEER, inbound: [PEER] },
      ]);
      await plane.call('install', this.session(side));
      await plane.call('activate', PEER, side === 'a' ? SLOT_A : SLOT_B);
      this.namespaces.bringUp(namespace, opened.deviceName, host);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.a, this.b, this.hostA, this.hostB].map((end) => end.close()));
    this.namespaces.remove();
  }
}

/** Both conservation laws of PlaneStats, once the planes are quiet. */
export async function expectConservation(pair: PlanePair): Promise<void> {
  for (const plane of [pair.a, pair.b]) {
    await expect
      .poll(async () => balance(await plane.stats()), { timeout: 3000 })
      .toEqual({ inbound: 0n, outbound: 0n });
  }
}

function balance(stats: PlaneStats): { inbound: bigint; outbound: bigint } {
  const sum = (values: Iterable<bigint>): bigint => [...values].reduce((total, value) => total + value, 0n);
  const peers = [...stats.peers.values()];
  const dropsIn = sum([stats.drops, ...peers.map((p) => p.drops)].map((d) => sum(Object.values(d.in))));
  const dropsOut = sum([stats.drops, ...peers.map((p) => p.drops)].map((d) => sum(Object.values(d.out))));
  const accounted =
    stats.handedUp +
    stats.control +
    sum(Object.values(stats.unattributed)) +
    dropsIn +
    sum(peers.map((p) => p.receivePackets));
  return {
    inbound: stats.udp.receiveDatagrams + stats.udp.extraRecords - accounted,
    outbound: stats.tun.readPackets - dropsOut - sum(peers.map((p) => p.transmitPackets)),
  };
}
