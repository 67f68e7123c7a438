import { type Address, addressBytes, family } from './address.ts';
import { type Prefix, samePrefix } from './prefix.ts';

/** A prefix with the value it maps to. */
export interface PrefixEntry<T> {
  readonly prefix: Prefix;
  readonly value: T;
}

/**
 * A map from address blocks to values with longest-match look-up: one path-compressed binary trie per family. Every
 * operation costs at most one step per bit of an address, whatever the number of entries.
 */
export class PrefixMap<T> {
  /** Roots of the tries; absent while a family has no entry. */
  readonly #roots = new Map<4 | 6, Node<T>>();
  #size = 0;

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Maps `prefix` to `value`, replacing what it mapped to. */
  set(prefix: Prefix, value: T): void {
    const bits = addressBytes(prefix.address);
    const leaf: Node<T> = { bits, length: prefix.length, entry: { prefix, value }, zero: undefined, one: undefined };
    if (this.get(prefix) === undefined) this.#size++;
    const kind = family(prefix.address);
    this.#roots.set(kind, insert(this.#roots.get(kind), leaf));
  }

  /** The entry of exactly this block. */
  get(prefix: Prefix): PrefixEntry<T> | undefined {
    const last = this.covering(prefix).at(-1);
    return last !== undefined && samePrefix(last.prefix, prefix) ? last : undefined;
  }

  /** Forgets the entry of exactly this block; whether there was one. */
  delete(prefix: Prefix): boolean {
    if (this.get(prefix) === undefined) return false;
    this.#size--;
    const kind = family(prefix.address);
    const root = remove(this.#roots.get(kind), addressBytes(prefix.address), prefix.length);
    if (root === undefined) this.#roots.delete(kind);
    else this.#roots.set(kind, root);
    return true;
  }

  /** The longest block that holds `address`. */
  lookup(address: Address): PrefixEntry<T> | undefined {
    const bits = addressBytes(address);
    return this.#path(family(address), bits, bits.length * 8).at(-1);
  }

  /** Every block that holds all of `prefix`, itself included, the shortest first. */
  covering(prefix: Prefix): readonly PrefixEntry<T>[] {
    return this.#path(family(prefix.address), addressBytes(prefix.address), prefix.length);
  }

  /** Every entry: IPv4 first, by address, shorter blocks before longer ones. */
  *entries(): Generator<PrefixEntry<T>> {
    for (const kind of FAMILIES) yield* walk(this.#roots.get(kind));
  }

  #path(kind: 4 | 6, bits: Uint8Array, length: number): readonly PrefixEntry<T>[] {
    const found: PrefixEntry<T>[] = [];
    let node = this.#roots.get(kind);
    while (node !== undefined && node.length <= length && commonLength(node.bits, bits, node.length) === node.length) {
      if (node.entry !== undefined) found.push(node.entry);
      if (node.length === length) break;
      node = bitAt(bits, node.length) ? node.one : node.zero;
    }
    return found;
  }
}

/** A branch or an entry. Both children hold blocks inside this one; a node without entry has two children. */
interface Node<T> {
  /** Address octets; bits behind `length` are not looked at. */
  readonly bits: Uint8Array;
  readonly length: number;
  entry: PrefixEntry<T> | undefined;
  zero: Node<T> | undefined;
  one: Node<T> | undefined;
}

const FAMILIES = [4, 6] as const;

function insert<T>(node: Node<T> | undefined, leaf: Node<T>): Node<T> {
  if (node === undefined) return leaf;
  const common = commonLength(node.bits, leaf.bits, Math.min(node.length, leaf.length));
  if (common < node.length) {
    const parent: Node<T> =
      common === leaf.length
        ? leaf
        : { bits: leaf.bits, length: common, entry: undefined, zero: undefined, one: undefined };
    setChild(parent, node);
    if (parent !== leaf) setChild(parent, leaf);
    return parent;
  }
  if (leaf.length === node.length) node.entry = leaf.entry;
  else if (bitAt(leaf.bits, node.length)) node.one = insert(node.one, leaf);
  else node.zero = insert(node.zero, leaf);
  return node;
}

function remove<T>(node: Node<T> | undefined, bits: Uint8Array, length: number): Node<T> | undefined {
  if (node === undefined) return undefined;
  if (node.length === length) node.entry = undefined;
  else if (bitAt(bits, node.length)) node.one = remove(node.one, bits, length);
  else node.zero = remove(node.zero, bits, length);
  if (node.entry !== undefined || (node.zero !== undefined && node.one !== undefined)) return node;
  return node.zero ?? node.one;
}

function* walk<T>(node: Node<T> | undefined): Generator<PrefixEntry<T>> {
  if (node === undefined) return;
  if (node.entry !== undefined) yield node.entry;
  yield* walk(node.zero);
  yield* walk(node.one);
}

function setChild<T>(parent: Node<T>, child: Node<T>): void {
  if (bitAt(child.bits, parent.length)) parent.one = child;
  else parent.zero = child;
}

function bitAt(bits: Uint8Array, index: number): boolean {
  return (((bits[index >> 3] ?? 0) >> (7 - (index & 7))) & 1) === 1;
}

/** How many leading bits are equal, at most `limit`. */
function commonLength(a: Uint8Array, b: Uint8Array, limit: number): number {
  for (let octet = 0; octet * 8 < limit; octet++) {
    const difference = (a[octet] ?? 0) ^ (b[octet] ?? 0);
    if (difference !== 0) return Math.min(limit, octet * 8 + Math.clz32(difference) - 24);
  }
  return limit;
}
