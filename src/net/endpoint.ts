import type { Brand } from '../base/brand.ts';
import { type Address, family, parseAddress } from './address.ts';

/** An address and UDP port. Compare with `sameEndpoint`; use `endpointKey` as a map key. */
export interface Endpoint {
  readonly address: Address;
  /** 1 … 65535. */
  readonly port: number;
}

/** Canonical text of an endpoint, `192.0.2.1:4433` or `[2001:db8::1]:4433`: equal endpoints have equal keys. */
export type EndpointKey = Brand<string, 'EndpointKey'>;

/** The canonical text of `endpoint`. */
export function endpointKey(endpoint: Endpoint): EndpointKey {
  const host = family(endpoint.address) === 6 ? `[${endpoint.address}]` : endpoint.address;
  return `${host}:${endpoint.port}` as EndpointKey;
}

/** Whether both name the same address and port. */
export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address;
}

/** A host (name or address) and port as configured; the name is not resolved yet. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `address:port` or `[v6]:port`; undefined when `text` is none of these. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, bracketed, plain, portText] = match;
  const port = Number(portText);
  if (port < 1 || port > 65535) return undefined;
  if (bracketed !== undefined) {
    const address = parseAddress(bracketed);
    return address === undefined ? undefined : { host: address, port };
  }
  if (plain === undefined || !HOST_NAME.test(plain)) return undefined;
  // All digits and dots reads as an address: a wrong one must not become a DNS query.
  if (/^[\d.]+$/.test(plain) && parseAddress(plain) === undefined) return undefined;
  return { host: plain.toLowerCase(), port };
}

/** The text that `parseHostPort` reads as `hostPort`. */
export function endpointText(hostPort: HostPort): string {
  return `${hostPort.host.includes(':') ? `[${hostPort.host}]` : hostPort.host}:${hostPort.port}`;
}

/** Letters, digits, hyphens, underscores and dots, each label 1 … 63 long (RFC 1123 §2.1; underscores occur in practice). */
const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/;

/** The endpoint `hostPort` names when its host is an address already; undefined when it must be resolved. */
export function literalEndpoint(hostPort: HostPort): Endpoint | undefined {
  const address = parseAddress(hostPort.host);
  return address === undefined ? undefined : { address, port: hostPort.port };
}

/**
 * Where datagrams of one association travel: the far endpoint, and the local address to send from (so that a
 * multi-homed gateway answers from the address it was asked at). `local` undefined lets the kernel choose.
 */
export interface Path {
  readonly remote: Endpoint;
  readonly local: Address | undefined;
}
