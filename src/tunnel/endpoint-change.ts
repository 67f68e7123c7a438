import { sameEndpoint } from '../net/endpoint.ts';
import type { TunnelEvent } from './effects.ts';
import type { Session } from './session.ts';

/** Why a peer is reached elsewhere now that `chosen` carries the traffic; undefined: it is reached where it was. */
export function endpointChange(
  previous: Session,
  chosen: Session,
): Extract<TunnelEvent, { kind: 'endpoint-changed' }>['reason'] | undefined {
  if (sameEndpoint(previous.association.path.remote, chosen.association.path.remote)) return undefined;
  const [from, to] = [previous.leg?.index, chosen.leg?.index];
  if (from !== undefined && to !== undefined && to < from) return 'failback';
  if (previous.leg !== undefined && previous.leg === chosen.leg) return 'dns';
  const healthy = previous.health === 'alive' && !previous.draining && !previous.association.closed;
  return chosen.leg === undefined && healthy ? 'roam' : 'failover';
}
