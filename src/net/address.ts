import ipaddr from 'ipaddr.js';
import type { Brand } from '../base/brand.ts';

/**
 * An IP address in canonical text: dotted decimal, or RFC 5952 for IPv6. IPv4-mapped IPv6 addresses are turned into
 * IPv4, so that equal addresses are equal strings.
 */
export type Address = Brand<string, 'Address'>;

/** `text` as an address, or undefined when it is none. Scope ids and abbreviated IPv4 forms are refused. */
export function parseAddress(text: string): Address | undefined {
  // Without leading zeros there is one way to write an IPv4 address.
  if (DOTTED.test(text)) return text as Address;
  if (!text.includes(':') || text.includes('%') || text.length > MAX_TEXT || !ipaddr.IPv6.isValid(text))
    return undefined;
  return addressFromBytes(Uint8Array.from(ipaddr.IPv6.parse(text).toByteArray()));
}

/** 4 or 6. */
export function family(address: Address): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The 4 or 16 octets of `address` in network order. */
export function addressBytes(address: Address): Uint8Array {
  return address.includes(':') ? bytesOfV6(address) : bytesOfV4(address);
}

/** The address whose 4 or 16 octets are given; undefined for any other length. */
export function addressFromBytes(bytes: Uint8Array): Address | undefined {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` as Address;
  if (bytes.length !== 16) return undefined;
  if (isMapped(bytes)) return addressFromBytes(bytes.slice(12));
  const groups = Array.from({ length: GROUPS }, (_, i) => ((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0));
  const { start, length } = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  // RFC 5952 §4.2.2: a single zero group is not shortened.
  if (length < 2) return hex.join(':') as Address;
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}` as Address;
}

const DOTTED = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;

/** Eight groups of four digits with the last two in dotted form: the longest text an address has (RFC 4291 §2.2). */
const MAX_TEXT = 45;

/** 16-bit groups of an IPv6 address. */
const GROUPS = 8;

// Both read canonical text only, one character at a time: a hub reads tens of thousands of prefixes in one go.

function bytesOfV4(text: string): Uint8Array {
  const bytes = new Uint8Array(4);
  let index = 0;
  let octet = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      bytes[index++] = octet;
      octet = 0;
    } else octet = octet * 10 + code - ZERO;
  }
  bytes[index] = octet;
  return bytes;
}

function bytesOfV6(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  // Groups behind '::' are counted from the end: with as many groups as there are, the first of them is this one.
  const gap = text.indexOf('::');
  let index = 0;
  for (const group of (gap < 0 ? text : text.slice(0, gap)).split(':')) putGroup(bytes, index++, group);
  if (gap < 0) return bytes;
  const tail = text.slice(gap + 2).split(':');
  index = GROUPS - tail.length;
  for (const group of tail) putGroup(bytes, index++, group);
  return bytes;
}

/** An empty group, which '::' leaves at either end, is zero. */
function putGroup(bytes: Uint8Array, index: number, group: string): void {
  const value = group === '' ? 0 : Number.parseInt(group, 16);
  bytes[index * 2] = value >> 8;
  bytes[index * 2 + 1] = value & 0xff;
}

const DOT = 0x2e;
const ZERO = 0x30;

/** RFC 4291 §2.5.5.2. */
function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** RFC 5952 §4.2.3: the longest run of zero groups, the first of equals. */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [i, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: i + 1 - length, length };
  }
  return best;
}
