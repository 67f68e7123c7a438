import type { Instant, SessionSlot } from '../base/brand.ts';
import { assertNever, invariant } from '../base/invariant.ts';
import { type Address, addressFromBytes } from '../net/address.ts';
import type { Path } from '../net/endpoint.ts';
import type { AddonEvents } from './binding.ts';
import type { PlaneEvent } from './plane.ts';
import { OFFLOADS } from './stats.ts';

/** Event kinds in the addon's order (`EventKind` in native/plane/control_ring.h). */
const EVENT_KINDS = ['datagram', 'record', 'confirmed', 'moved', 'offload-disabled', 'failed'] as const;

/** Where the numbers of a row are, by what `native/addon/plane_results.cc` writes; the last three are sizes in octets. */
const AT = {
  kind: 0,
  slot: 1,
  contentType: 2,
  newest: 3,
  offload: 4,
  remotePort: 5,
  milliseconds: 6,
  remote: 7,
  local: 8,
  body: 9,
} as const;
const EVENT_NUMBERS = 10;

/**
 * The events that `raw` holds, oldest first, given to `take` until it says no; yields how many there are. Octets are views
 * into those of the batch.
 */
export function eachEvent(raw: AddonEvents, take: (event: PlaneEvent) => boolean): number {
  const { numbers, octets } = raw;
  let from = 0;
  for (let row = 0; row < numbers.length; row += EVENT_NUMBERS) {
    const number = (at: number): number => numbers[row + at] ?? 0;
    const to = from + number(AT.remote) + number(AT.local) + number(AT.body);
    if (!take(toEvent(number, octets.subarray(from, to)))) break;
    from = to;
  }
  return numbers.length / EVENT_NUMBERS;
}

/** `octets`: remote address, local address, and what came. */
function toEvent(number: (at: number) => number, octets: Uint8Array): PlaneEvent {
  const kind = EVENT_KINDS[number(AT.kind)];
  const slot = number(AT.slot) as SessionSlot;
  const at = number(AT.milliseconds) as Instant;
  const remoteEnd = number(AT.remote);
  const localEnd = remoteEnd + number(AT.local);
  const body = octets.subarray(localEnd);
  const path = (): Path => ({
    remote: { address: toAddress(octets.subarray(0, remoteEnd)), port: number(AT.remotePort) },
    local: localEnd === remoteEnd ? undefined : toAddress(octets.subarray(remoteEnd, localEnd)),
  });
  switch (kind) {
    case 'datagram':
      return { kind, path: path(), datagram: body, at };
    case 'record': {
      const contentType = number(AT.contentType);
      return { kind, slot, contentType, fragment: body, path: path(), newest: number(AT.newest) === 1, at };
    }
    case 'confirmed':
      return { kind, slot, at };
    case 'moved':
      return { kind, slot, path: path(), at };
    case 'offload-disabled': {
      const offload = OFFLOADS[number(AT.offload)];
      invariant(offload !== undefined, 'the addon names a known offload');
      return { kind, offload, error: textOf(body) };
    }
    case 'failed':
      return { kind, error: textOf(body) };
    case undefined:
      throw new Error(`invariant violated: unexpected event kind ${number(AT.kind)}`);
    default:
      return assertNever(kind, 'event kind');
  }
}

/** The address whose 4 or 16 octets the addon gave. */
export function toAddress(octets: Uint8Array): Address {
  const address = addressFromBytes(octets);
  invariant(address !== undefined, 'the addon yields addresses of 4 or 16 octets');
  return address;
}

function textOf(octets: Uint8Array): string {
  return new TextDecoder().decode(octets);
}
