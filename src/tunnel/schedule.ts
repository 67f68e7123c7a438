import type { Instant } from '../base/brand.ts';

/** Something with a deadline that a schedule keeps in order. */
export interface Scheduled {
  /** Place in the heap, kept by the schedule; −1 while not scheduled. */
  heapIndex: number;
  /** When it is due; written by the schedule. */
  due: Instant | undefined;
}

/**
 * Deadlines of many things: the earliest is at hand at once, a change costs O(log n). A binary min-heap whose entries
 * know their place. Invariant: entry at i has heapIndex i, and no entry is due before its parent.
 */
export class Schedule<T extends Scheduled> {
  readonly #heap: T[] = [];

  /** The earliest deadline; undefined when nothing is scheduled. */
  get deadline(): Instant | undefined {
    return this.#heap[0]?.due;
  }

  /** How many things are scheduled. */
  get size(): number {
    return this.#heap.length;
  }

  /** Sets when `item` is due; undefined takes it out. */
  set(item: T, due: Instant | undefined): void {
    if (due === undefined) {
      this.#remove(item);
      return;
    }
    item.due = due;
    if (item.heapIndex < 0) item.heapIndex = this.#heap.push(item) - 1;
    this.#settle(item, due);
  }

  /** Takes out and yields the item that is most overdue at `now`; undefined when none is due. */
  takeDue(now: Instant): T | undefined {
    const first = this.#heap[0];
    if (first?.due === undefined || first.due > now) return undefined;
    this.#remove(first);
    return first;
  }

  #remove(item: T): void {
    if (item.heapIndex < 0) return;
    const at = item.heapIndex;
    const last = this.#heap.pop();
    item.heapIndex = -1;
    item.due = undefined;
    if (last === undefined || last === item || last.due === undefined) return;
    this.#heap[at] = last;
    last.heapIndex = at;
    this.#settle(last, last.due);
  }

  #settle(item: T, due: Instant): void {
    let at = item.heapIndex;
    while (at > 0) {
      const above = this.#heap[(at - 1) >> 1];
      if (above?.due === undefined || above.due <= due) break;
      this.#place(above, at);
      at = (at - 1) >> 1;
    }
    for (;;) {
      const left = this.#heap[2 * at + 1];
      const right = this.#heap[2 * at + 2];
      const below = right?.due !== undefined && left?.due !== undefined && right.due < left.due ? right : left;
      if (below?.due === undefined || below === item || below.due >= due) break;
      const from = below.heapIndex;
      this.#place(below, at);
      at = from;
    }
    this.#place(item, at);
  }

  #place(item: T, at: number): void {
    this.#heap[at] = item;
    item.heapIndex = at;
  }
}
