import type { Instant } from '../base/brand.ts';
import type { Address } from '../net/address.ts';
import { newPathMtu, type PathMtuState } from './path-mtu.ts';
import { PathQuality } from './rtt.ts';

/** What is known of the way to one address of a peer; outlives the associations that use it. */
export class PathMemory {
  readonly quality = new PathQuality();
  pathMtu: PathMtuState;

  constructor(now: Instant) {
    this.pathMtu = newPathMtu(now);
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
}

/** Addresses remembered per peer: two families of four endpoints. */
const MEMORIES = 8;
