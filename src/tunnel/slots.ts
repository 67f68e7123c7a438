import { type Instant, type SessionSlot, later } from '../base/brand.ts';
import { invariant } from '../base/invariant.ts';
import type { CryptoSource } from '../dtls/options.ts';
import { equalBytes, toHex } from '../wire/bytes.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import type { SlotsExport, SlotsState } from './handover.ts';
import { CONNECTION_ID_LENGTH, MAX_SLOTS, SLOT_QUARANTINE } from './limits.ts';

/** A slot with the connection id issued for it. */
export interface SlotLease {
  readonly slot: SessionSlot;
  /** 8 octets: the slot in 3 (big endian), then 5 random ones (unguessable off the path, HAZARDS H60). */
  readonly connectionId: Uint8Array;
}

/**
 * Which session slots are in use. The smallest free one is given out, so that the data plane's table stays small; a
 * returned slot rests before it is used again, so that late records of its former owner meet nobody.
 */
export class SlotTable {
  readonly #random: CryptoSource;
  readonly #limit: number;
  /** Returned slots in order of return, with when they may be used again and the id they had. */
  #resting: { readonly lease: SlotLease; readonly until: Instant }[] = [];
  /** Rested slots below `#fresh`, a binary min-heap. */
  readonly #free: SessionSlot[] = [];
  /** Ids of resting slots, to tell late records from those of a stranger. */
  readonly #late = new Map<SessionSlot, Uint8Array>();
  /** The smallest slot never used. */
  #fresh = 0;

  constructor(random: CryptoSource, limit: number = MAX_SLOTS) {
    this.#random = random;
    this.#limit = limit;
  }

  /** A free slot with a new id; undefined when all are in use. */
  take(now: Instant): SlotLease | undefined {
    this.#wake(now);
    const slot = heapPop(this.#free) ?? (this.#fresh < this.#limit ? (this.#fresh++ as SessionSlot) : undefined);
    if (slot === undefined) return undefined;
    const w = new Writer(CONNECTION_ID_LENGTH).uint(slot, 3).bytes(this.#random.random(CONNECTION_ID_LENGTH - 3));
    return { slot, connectionId: w.take() };
  }

  /** Gives a slot back. `used`: its id was on the wire under keys; otherwise it needs no rest. */
  release(lease: SlotLease, used: boolean, now: Instant): void {
    invariant(!this.#late.has(lease.slot), 'a slot is returned once');
    if (!used) {
      heapPush(this.#free, lease.slot);
      return;
    }
    this.#resting.push({ lease, until: later(now, SLOT_QUARANTINE) });
    this.#late.set(lease.slot, lease.connectionId);
  }

  /** Whether `connectionId` was ours until a moment ago: its record is late, not a sign that somebody lost state. */
  isLate(connectionId: Uint8Array, now: Instant): boolean {
    this.#wake(now);
    const slot = slotOf(connectionId);
    const late = slot === undefined ? undefined : this.#late.get(slot);
    return late !== undefined && equalBytes(late, connectionId);
  }

  /** For another process to go on with. `lost`: leases in use that it will not know; they rest as if returned now. */
  export(lost: readonly SlotLease[], now: Instant): SlotsExport {
    const until = later(now, SLOT_QUARANTINE);
    const resting = [...this.#resting, ...lost.map((lease) => ({ lease, until }))];
    return {
      fresh: this.#fresh,
      resting: resting.map(({ lease, until: at }) => ({
        slot: lease.slot,
        connectionId: toHex(lease.connectionId),
        until: at,
      })),
    };
  }

  /** Goes on with what another process knew; `used` are the slots of sessions that came along. */
  continueFrom({ fresh, resting }: SlotsState, used: ReadonlySet<SessionSlot>): void {
    this.#fresh = fresh;
    this.#resting = resting.map(({ until, ...lease }) => ({ lease, until }));
    for (const { lease } of this.#resting) this.#late.set(lease.slot, lease.connectionId);
    for (let slot = 0 as SessionSlot; slot < fresh; slot++) {
      if (!used.has(slot) && !this.#late.has(slot)) heapPush(this.#free, slot);
    }
  }

  #wake(now: Instant): void {
    let awake = 0;
    for (const { lease, until } of this.#resting) {
      if (until > now) break;
      this.#late.delete(lease.slot);
      heapPush(this.#free, lease.slot);
      awake++;
    }
    if (awake > 0) this.#resting = this.#resting.slice(awake);
  }
}

/** The slot in a connection id of ours; undefined when its length is not ours. */
export function slotOf(connectionId: Uint8Array): SessionSlot | undefined {
  if (connectionId.length !== CONNECTION_ID_LENGTH) return undefined;
  return new Reader(connectionId).uint(3) as SessionSlot;
}

function heapPush(heap: SessionSlot[], slot: SessionSlot): void {
  let at = heap.push(slot) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent];
    if (above === undefined || above <= slot) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = slot;
}

function heapPop(heap: SessionSlot[]): SessionSlot | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    let smallest = heap[child];
    if (smallest === undefined) break;
    const right = heap[child + 1];
    if (right !== undefined && right < smallest) {
      child++;
      smallest = right;
    }
    if (smallest >= last) break;
    heap[at] = smallest;
    at = child;
  }
  heap[at] = last;
  return top;
}
