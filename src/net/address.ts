import ipaddr from 'ipaddr.js';
import type { Brand } from '../base/brand.ts';

/**
 * An IP address in canonical text: dotted decimal, or RFC 5952 for IPv6. IPv4-mapped IPv6 addresses are turned into
 * IPv4, so that equal addresses are equal strings.
 */
export type Address = Brand<string, 'Address'>;

/** `text` as an address, or undefined when it is none. Scope ids and abbreviated IPv4 forms are refused. */
export function parseAddress(text: string): Address | undefined {
  if (text.includes('%')) return undefined;
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text).toString() as Address;
  if (!ipaddr.IPv6.isValid(text)) return undefined;
  const v6 = ipaddr.IPv6.parse(text);
  return (v6.isIPv4MappedAddress() ? v6.toIPv4Address().toString() : v6.toRFC5952String()) as Address;
}

/** 4 or 6. */
export function family(address: Address): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The 4 or 16 octets of `address` in network order. */
export function addressBytes(address: Address): Uint8Array {
  return Uint8Array.from(ipaddr.parse(address).toByteArray());
}

/** The address whose 4 or 16 octets are given; undefined for any other length. */
export function addressFromBytes(bytes: Uint8Array): Address | undefined {
  if (bytes.length !== 4 && bytes.length !== 16) return undefined;
  return parseAddress(ipaddr.fromByteArray([...bytes]).toString());
}
