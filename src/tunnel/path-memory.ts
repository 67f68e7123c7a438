import type { Instant } from '../base/brand.ts';
import type { Address } from '../net/address.ts';
import type { MemoryExport, MemoryState } from './handover.ts';
import { newPathMtu, type PathMtuState } from './path-mtu.ts';
import { PathQuality } from './rtt.ts';

/** What is known of the way to one address of a peer; outlives the associations that use it. */
export class PathMemory {
  readonly quality = new PathQuality();
  pathMtu: PathMtuState;

  constructor(now: Instant) {
    this.pathMtu = newPathMtu(now);
  }

  /** For another process to go on with; a probe under way is begun anew there. */
  export(): Omit<MemoryExport, 'address'> {
    const { mtu, failed, raiseAt, confirmedAt } = this.pathMtu;
    return {
      ...this.quality.export(),
      mtu,
      failed: Number.isFinite(failed) ? failed : undefined,
      raiseAt,
      confirmedAt,
    };
  }

  /** Goes on with what another process had learned. */
  continueFrom({ mtu, failed, raiseAt, confirmedAt, ...quality }: MemoryState): void {
    this.quality.continueFrom(quality);
    const reset = { probe: undefined, fruitless: 0 };
    this.pathMtu = { mtu, failed: failed ?? Number.POSITIVE_INFINITY, raiseAt, confirmedAt, ...reset };
  }
}

/** What is known of the ways to a peer, for a bounded number of addresses: the one learned first is forgotten first. */
export class PathMemories {
  readonly #byAddress = new Map<Address, PathMemory>();

  /** What is known of the way to `address`; undefined when nothing is. */
  get(address: Address): PathMemory | undefined {
    return this.#byAddress.get(address);
  }

  /** The same, begun afresh when nothing is known. Those `inUse` are not forgotten. */
  at(address: Address, inUse: readonly PathMemory[], now: Instant): PathMemory {
    const known = this.#byAddress.get(address);
    if (known !== undefined) return known;
    const memory = new PathMemory(now);
    for (const [key, old] of this.#byAddress) {
      if (this.#byAddress.size < MEMORIES) break;
      if (!inUse.includes(old)) this.#byAddress.delete(key);
    }
    this.#byAddress.set(address, memory);
    return memory;
  }

  /** For another process to go on with. */
  export(): MemoryExport[] {
    return [...this.#byAddress].map(([address, memory]) => ({ address, ...memory.export() }));
  }

  /** Goes on with what another process had learned, in its order. */
  continueFrom(memories: readonly MemoryState[], now: Instant): void {
    for (const state of memories) {
      const memory = new PathMemory(now);
      memory.continueFrom(state);
      this.#byAddress.set(state.address, memory);
    }
  }
}

/** Addresses remembered per peer: two families of four endpoints. */
const MEMORIES = 8;
