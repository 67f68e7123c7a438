import { prefixText } from '../net/prefix.ts';
import { PrefixMap } from '../net/prefix-map.ts';
import type { Report } from './diagnostic.ts';
import type { PeerDraft } from './draft.ts';
import type { Span } from './source.ts';

/** Who wants a prefix. */
interface Claim {
  readonly peer: PeerDraft;
  readonly at: Span;
}

/** Claims on one prefix by priority; the first of equals is kept, the others have been reported. */
type Claims = Map<number, Claim>;

/**
 * Reports every pair of peers whose prefixes overlap although neither has precedence, and yields the peers that share a
 * prefix with one of another priority: those back each other up. Nested blocks count as overlap too: which peer is
 * meant must be said, not guessed from the lengths.
 */
export function claimPrefixes(peers: readonly PeerDraft[], report: Report): ReadonlySet<PeerDraft> {
  const map = new PrefixMap<Claims>();
  const shared = new Set<PeerDraft>();
  for (const peer of peers) {
    const { priority } = peer.settings;
    for (const { value, at } of peer.allowedIps) {
      const claims = map.get(value)?.value;
      if (claims === undefined) {
        map.set(value, new Map([[priority, { peer, at }]]));
        continue;
      }
      const rival = claims.get(priority);
      if (rival !== undefined) {
        report.error('C031', at, `${prefixText(value)} is claimed by two peers`, {
          label: 'again here',
          also: [{ at: rival.at, label: 'first claimed here' }],
          help: `remove one, or set different Priority= values to make ${nameOf(peer)} a standby`,
        });
        continue;
      }
      for (const other of claims.values()) shared.add(other.peer);
      shared.add(peer);
      claims.set(priority, { peer, at });
    }
  }
  reportNested(map, report);
  return shared;
}

function reportNested(map: PrefixMap<Claims>, report: Report): void {
  for (const { prefix, value: claims } of map.entries()) {
    const around = map.covering(prefix).slice(0, -1);
    for (const [priority, claim] of claims) {
      // The nearest enclosing block of another peer is the one that was meant to lose.
      const outer = around.findLast(({ value }) => {
        const rival = value.get(priority);
        return rival !== undefined && rival.peer !== claim.peer;
      });
      const rival = outer?.value.get(priority);
      if (outer === undefined || rival === undefined) continue;
      const inner = `${prefixText(prefix)} of ${claim.peer.title}`;
      report.error('C031', claim.at, `${inner} lies inside ${prefixText(outer.prefix)} of ${rival.peer.title}`, {
        label: 'claimed here',
        also: [{ at: rival.at, label: 'claimed here as well' }],
        help: `say which is meant: give ${nameOf(rival.peer)} a higher Priority= value than ${nameOf(claim.peer)}`,
      });
    }
  }
}

function nameOf(peer: PeerDraft): string {
  return peer.settings.name === '' ? 'one' : peer.settings.name;
}
