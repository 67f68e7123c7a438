import type { Fingerprint, PeerId } from '../base/brand.ts';
import type { Address } from '../net/address.ts';
import type { Peer } from './peer.ts';

/**
 * All peers, found by id, name, fingerprint and address in O(1). Invariants: ids are the smallest that were free; a
 * fingerprint belongs to one peer; several peers may share an address (sites behind one NAT).
 */
export class PeerTable {
  readonly #byId = new Map<PeerId, Peer>();
  readonly #byName = new Map<string, Peer>();
  readonly #byFingerprint = new Map<Fingerprint, Peer>();
  readonly #byAddress = new Map<Address, readonly Peer[]>();
  /** What each peer is entered under, to take it out again. */
  readonly #entered = new Map<Peer, readonly Address[]>();
  /** Enabled peers without an association that answers. */
  readonly #unreachable = new Set<Peer>();
  /** In the order of the settings. */
  #ordered: readonly Peer[] = [];

  get size(): number {
    return this.#byId.size;
  }

  /** In the order of the settings. */
  get all(): readonly Peer[] {
    return this.#ordered;
  }

  /** Whether some enabled peer has no association that answers. */
  get someUnreachable(): boolean {
    return this.#unreachable.size > 0;
  }

  byId(id: PeerId): Peer | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): Peer | undefined {
    return this.#byName.get(name);
  }

  byFingerprint(fingerprint: Fingerprint): Peer | undefined {
    return this.#byFingerprint.get(fingerprint);
  }

  /** The peers one of whose endpoints or associations has this address. */
  at(address: Address): readonly Peer[] {
    return this.#byAddress.get(address) ?? [];
  }

  /** Replaces the order and the indexes of names and fingerprints, whose peers have their new settings already. */
  arrange(peers: readonly Peer[]): void {
    const staying = new Set(peers);
    const gone = this.#ordered.filter((peer) => !staying.has(peer));
    for (const peer of gone) this.#remove(peer);
    this.#ordered = peers;
    this.#byName.clear();
    this.#byFingerprint.clear();
    for (const peer of peers) {
      this.#byId.set(peer.id, peer);
      this.#byName.set(peer.name, peer);
      for (const fingerprint of peer.settings.fingerprints) this.#byFingerprint.set(fingerprint, peer);
      this.refresh(peer);
    }
  }

  /** Brings the indexes up to date with where `peer` is and whether it answers. */
  refresh(peer: Peer): void {
    if (!this.#byId.has(peer.id)) return;
    if (peer.settings.enabled && !peer.reachable) this.#unreachable.add(peer);
    else this.#unreachable.delete(peer);
    const addresses = peer.addresses();
    const before = this.#entered.get(peer) ?? [];
    if (addresses.length === before.length && addresses.every((address, i) => address === before[i])) return;
    this.#leave(peer);
    for (const address of new Set(addresses)) this.#byAddress.set(address, [...this.at(address), peer]);
    this.#entered.set(peer, addresses);
  }

  /** The ids in use, to find a free one. */
  freeIds(): () => PeerId {
    let next = 0;
    const taken = new Set(this.#byId.keys());
    return () => {
      while (taken.has(next as PeerId)) next++;
      return next++ as PeerId;
    };
  }

  #remove(peer: Peer): void {
    this.#byId.delete(peer.id);
    this.#unreachable.delete(peer);
    this.#leave(peer);
  }

  #leave(peer: Peer): void {
    for (const address of this.#entered.get(peer) ?? []) {
      const rest = this.at(address).filter((other) => other !== peer);
      if (rest.length > 0) this.#byAddress.set(address, rest);
      else this.#byAddress.delete(address);
    }
    this.#entered.delete(peer);
  }
}
