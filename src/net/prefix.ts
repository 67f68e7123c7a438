import { type Address, addressBytes, addressFromBytes, family, parseAddress } from './address.ts';

/** An address block: `address` has every bit behind `length` cleared. */
export interface Prefix {
  readonly address: Address;
  /** 0 … 32 for IPv4, 0 … 128 for IPv6. */
  readonly length: number;
}

/** An interface address: a host address with the length of its on-link prefix. */
export interface InterfaceAddress {
  readonly address: Address;
  readonly length: number;
}

/** `address/length`, or a bare address meaning one host; host bits are kept. Undefined when `text` is neither. */
export function parseInterfaceAddress(text: string): InterfaceAddress | undefined {
  const [host, lengthText, more] = text.split('/');
  if (host === undefined || more !== undefined) return undefined;
  const address = parseAddress(host);
  if (address === undefined) return undefined;
  const bits = family(address) === 4 ? 32 : 128;
  // The length of a mapped address counts IPv6 bits: as an IPv4 length it would mean another block.
  if (host.includes(':') && bits === 32 && lengthText !== undefined) return undefined;
  if (lengthText === undefined) return { address, length: bits };
  if (!/^\d{1,3}$/.test(lengthText) || Number(lengthText) > bits) return undefined;
  return { address, length: Number(lengthText) };
}

/** Like `parseInterfaceAddress`, with host bits cleared as `ip route` would want them. */
export function parsePrefix(text: string): Prefix | undefined {
  const host = parseInterfaceAddress(text);
  return host === undefined ? undefined : networkOf(host);
}

/** The block that `host` lies in. */
export function networkOf(host: InterfaceAddress): Prefix {
  const bytes = addressBytes(host.address);
  if (host.length >= bytes.length * 8) return { address: host.address, length: host.length };
  const masked = new Uint8Array(bytes.length);
  for (let i = 0; i * 8 < host.length; i++) masked[i] = (bytes[i] ?? 0) & maskOctet(host.length - i * 8);
  const address = addressFromBytes(masked);
  return { address: address ?? host.address, length: host.length };
}

/** `address/length`. */
export function prefixText(prefix: Prefix | InterfaceAddress): string {
  return `${prefix.address}/${prefix.length}`;
}

/** Whether both are the same block. */
export function samePrefix(a: Prefix, b: Prefix): boolean {
  return a.length === b.length && a.address === b.address;
}

/** Whether `prefix` covers `address`. */
export function contains(prefix: Prefix, address: Address): boolean {
  if (family(prefix.address) !== family(address)) return false;
  return networkOf({ address, length: prefix.length }).address === prefix.address;
}

function maskOctet(bits: number): number {
  if (bits >= 8) return 0xff;
  return bits <= 0 ? 0 : (0xff << (8 - bits)) & 0xff;
}
