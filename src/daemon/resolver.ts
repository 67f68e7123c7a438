import { lookup } from 'node:dns/promises';
import { type Address, parseAddress } from '../net/address.ts';
import type { Resolution } from '../tunnel/face.ts';

/** Looks `host` up as every other program of the machine would (getaddrinfo: hosts file, resolver, both families). */
export async function resolveHost(host: string): Promise<Resolution> {
  try {
    const answers = await lookup(host, { all: true, order: 'verbatim' });
    const addresses = answers
      .map(({ address }) => parseAddress(address))
      .filter((known): known is Address => known !== undefined);
    // getaddrinfo does not tell how long its answer holds.
    if (addresses.length > 0) return { kind: 'addresses', addresses, ttl: undefined };
    return { kind: 'failed', reason: 'nxdomain' };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return { kind: 'failed', reason: code === 'ENOTFOUND' ? 'nxdomain' : 'timeout' };
  }
}
