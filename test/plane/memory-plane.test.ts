import { describe, expect, it } from 'vitest';
import type { Instant, PathMtu, PeerId, SequenceNumber, SessionSlot } from '../../src/base/brand.ts';
import { RecordKeys } from '../../src/crypto/aead.ts';
import { parseAddress } from '../../src/net/address.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { invariant } from '../../src/base/invariant.ts';
import type { PlaneEvent } from '../../src/plane/plane.ts';
import { MemoryPlane, type MemoryPlaneOptions } from '../support/memory-plane.ts';

const PEER = 1 as PeerId;
const SLOT = 5 as SessionSlot;

/** A packet that says who sent it and carries a number. */
function packet(from: number, to: number, number: number): Uint8Array {
  const octets = new Uint8Array(24);
  octets[0] = 0x45;
  octets.set([10, 0, from, 1], 12);
  octets.set([10, 0, to, 1], 16);
  octets[20] = number;
  return octets;
}

/** Two planes joined by a wire that keeps the order; the first can be handed over. */
class Link {
  readonly delivered: number[][] = [[], []];
  readonly events: PlaneEvent[] = [];
  readonly planes: MemoryPlane[];

  constructor() {
    this.planes = [0, 1].map((side) => new MemoryPlane(this.#options(side)));
    for (const [side, plane] of this.planes.entries()) this.#setUp(plane, side);
  }

  at(side: number): MemoryPlane {
    const plane = this.planes[side];
    invariant(plane !== undefined, 'a link has two sides');
    return plane;
  }

  adopt(state: Uint8Array, descriptors = this.at(0).descriptors()): void {
    this.planes[0] = new MemoryPlane({ ...this.#options(0), adopt: { descriptors, state } });
  }

  #options(side: number): MemoryPlaneOptions {
    const path = { remote: local(side), local: undefined };
    return {
      clock: () => 1000 as Instant,
      local: local(side),
      transmit: (_, datagram) => this.at(1 - side).receive(path, datagram),
      deliver: (inner) => this.delivered[side]?.push(inner[20] ?? 0),
      onEvent: (event) => this.events.push(event),
    };
  }

  #setUp(plane: MemoryPlane, side: number): void {
    const keys = (seed: number): RecordKeys =>
      new RecordKeys('aes-128-gcm', new Uint8Array(16).fill(seed), new Uint8Array(4).fill(seed));
    plane.setPeer(PEER, { dscp: 'copy', ecn: true, rateLimit: undefined, clampMss: true });
    plane.setRoutes([{ prefix: prefix('10.0.0.0/8'), outbound: PEER, inbound: [PEER] }]);
    plane.install({
      slot: SLOT,
      peer: PEER,
      epoch: 1,
      read: keys(2 - side),
      write: keys(1 + side),
      nextWrite: 0 as SequenceNumber,
      accepted: [],
      ourConnectionId: new Uint8Array(),
      peerConnectionId: new Uint8Array(),
      path: { remote: local(1 - side), local: undefined },
      pathMtu: 1400 as PathMtu,
      packs: false,
    });
    plane.activate(PEER, SLOT);
  }
}

describe('a plane in memory that is handed over', () => {
  it('loses nothing and goes on counting, and what came meanwhile waits', () => {
    const link = new Link();
    const expected: number[] = [];
    let number = 0;
    const both = (): void => {
      link.at(0).sendPacket(packet(0, 1, number));
      link.at(1).sendPacket(packet(1, 0, number));
      expected.push(number++);
    };
    for (let round = 0; round < 5; round++) {
      both();
      const state = link.at(0).freeze();
      both();
      expect(link.delivered[0]).toEqual(expected.slice(0, -1));
      link.adopt(state);
      expect(link.delivered[0]).toEqual(expected.slice(0, -1));
      link.at(0).thaw();
      both();
      expect(link.delivered).toEqual([expected, expected]);
    }
    expect(link.at(0).session(SLOT)).toMatchObject({ sealedRecords: 15n, openedRecords: 15n });
    expect(link.at(1).stats().peers.get(PEER)?.drops.in.replay).toBe(0n);
    expect(link.events.filter((event) => event.kind === 'confirmed')).toHaveLength(2);
  });

  it('thaws, refuses calls while frozen, and refuses a state that is not its own', () => {
    const link = new Link();
    const state = link.at(0).freeze();
    expect(() => link.at(0).sealAndSend(SLOT, 23, Uint8Array.of(1))).toThrow(/frozen/);
    link.at(1).sendPacket(packet(1, 0, 7));
    expect(() => link.adopt(state.slice(0, 50))).toThrow(/damaged/);
    expect(() => link.adopt(state, [1, 2])).toThrow(/damaged/);
    link.at(0).thaw();
    expect(link.delivered[0]).toEqual([7]);
  });
});

function local(side: number): { address: ReturnType<typeof address>; port: number } {
  return { address: address(`192.0.2.${side + 1}`), port: 4433 };
}

function address(text: string): NonNullable<ReturnType<typeof parseAddress>> {
  const parsed = parseAddress(text);
  invariant(parsed !== undefined, 'test addresses are addresses');
  return parsed;
}

function prefix(text: string): Exclude<ReturnType<typeof parsePrefix>, undefined> {
  const parsed = parsePrefix(text);
  invariant(parsed !== undefined, 'test prefixes are prefixes');
  return parsed;
}
