import { earliest, type Instant, type PeerId } from '../base/brand.ts';
import { type Prefix, prefixText } from '../net/prefix.ts';
import type { TunnelRoute } from './effects.ts';

/** A peer as far as routing matters. */
export interface RoutedPeer {
  readonly id: PeerId;
  readonly enabled: boolean;
  /** Lower wins. */
  readonly priority: number;
  readonly allowedIps: readonly Prefix[];
  readonly reachable: boolean;
  /** It has said that it stops soon, or its answers are missing: any other that answers is better. */
  readonly wavering: boolean;
  /** It came back only recently: traffic returns to it then; undefined: at once. */
  readonly heldUntil: Instant | undefined;
}

/** The routing table, who carries each prefix that several peers claim, and when that may change by itself. */
export interface Routing {
  readonly routes: readonly TunnelRoute[];
  /** Prefix text to the peer chosen, for prefixes with several claimants. */
  readonly choices: ReadonlyMap<string, PeerId>;
  readonly nextAt: Instant | undefined;
}

/**
 * Who gets and who may send packets of each prefix. Of several claimants the one with the best priority that answers
 * carries the traffic, all may send; going back to a better one that had failed waits for its hold-down. `before`: the
 * choices in force.
 */
export function computeRoutes(
  peers: readonly RoutedPeer[],
  before: ReadonlyMap<string, PeerId>,
  now: Instant,
): Routing {
  const claims = new Map<string, { readonly prefix: Prefix; readonly claimants: RoutedPeer[] }>();
  for (const peer of peers) {
    for (const prefix of peer.allowedIps) {
      const key = prefixText(prefix);
      const claim = claims.get(key) ?? { prefix, claimants: [] };
      if (peer.enabled) claim.claimants.push(peer);
      claims.set(key, claim);
    }
  }
  const choices = new Map<string, PeerId>();
  const routes: TunnelRoute[] = [];
  let nextAt: Instant | undefined;
  for (const [key, { prefix, claimants }] of claims) {
    const ranked = [...claimants].sort((a, b) => a.priority - b.priority);
    const chosen = choose(ranked, before.get(key), now);
    if (ranked.length > 1 && chosen !== undefined) choices.set(key, chosen.id);
    for (const better of ranked.slice(0, chosen === undefined ? 0 : ranked.indexOf(chosen))) {
      if (better.reachable) nextAt = earliest(nextAt, better.heldUntil);
    }
    routes.push({ prefix, outbound: chosen?.id, inbound: claimants.map((peer) => peer.id) });
  }
  return { routes, choices, nextAt };
}

/** Whether both tables say the same. */
export function sameRoutes(a: readonly TunnelRoute[], b: readonly TunnelRoute[]): boolean {
  return (
    a.length === b.length &&
    a.every((route, i) => {
      const other = b[i];
      return (
        other !== undefined &&
        route.outbound === other.outbound &&
        prefixText(route.prefix) === prefixText(other.prefix) &&
        route.inbound.length === other.inbound.length &&
        route.inbound.every((id, n) => id === other.inbound[n])
      );
    })
  );
}

function choose(ranked: readonly RoutedPeer[], before: PeerId | undefined, now: Instant): RoutedPeer | undefined {
  const current = ranked.find((peer) => peer.id === before);
  const ready = ranked.find(
    (peer) =>
      peer.reachable && !peer.wavering && (peer === current || peer.heldUntil === undefined || now >= peer.heldUntil),
  );
  // Somebody who answers but is held down or wavers is better than nobody; with nobody the packets fail closed.
  const stays = current?.reachable === true && !current.wavering;
  if (stays) return ready ?? current;
  const any = ranked.find((peer) => peer.reachable && !peer.wavering) ?? ranked.find((peer) => peer.reachable);
  return ready ?? any ?? current ?? ranked[0];
}
