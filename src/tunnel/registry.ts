import type { SessionSlot } from '../base/brand.ts';
import { type EndpointKey, endpointKey, type Path } from '../net/endpoint.ts';
import type { Association } from './association.ts';

/**
 * Where every association is found, handshakes included: by its slot, and by the far end of its path. Invariant: an
 * association is in both indexes from its construction until its slot is given back.
 */
export class Registry {
  readonly #bySlot = new Map<SessionSlot, Association>();
  /** In order of age; few per endpoint. */
  readonly #byRemote = new Map<EndpointKey, Association[]>();

  /** The association that owns `slot`. */
  at(slot: SessionSlot): Association | undefined {
    return this.#bySlot.get(slot);
  }

  /** The associations whose datagrams go to the far end of `path`, oldest first. */
  along(path: Path): readonly Association[] {
    return this.#byRemote.get(endpointKey(path.remote)) ?? [];
  }

  /** Every association, handshakes included. */
  get all(): Iterable<Association> {
    return this.#bySlot.values();
  }

  get size(): number {
    return this.#bySlot.size;
  }

  /** Handshakes under way: associations whose keys are not installed. Counted when asked. */
  get handshakes(): number {
    let count = 0;
    for (const association of this.#bySlot.values()) if (!association.installed) count++;
    return count;
  }

  add(association: Association): void {
    this.#bySlot.set(association.lease.slot, association);
    this.#enter(association, association.path);
  }

  /** Its path was `before`. */
  moved(association: Association, before: Path): void {
    this.#leave(association, before);
    this.#enter(association, association.path);
  }

  remove(association: Association): void {
    this.#bySlot.delete(association.lease.slot);
    this.#leave(association, association.path);
  }

  #enter(association: Association, path: Path): void {
    const key = endpointKey(path.remote);
    this.#byRemote.set(key, [...(this.#byRemote.get(key) ?? []), association]);
  }

  #leave(association: Association, path: Path): void {
    const key = endpointKey(path.remote);
    const rest = (this.#byRemote.get(key) ?? []).filter((other) => other !== association);
    if (rest.length > 0) this.#byRemote.set(key, rest);
    else this.#byRemote.delete(key);
  }
}
