import { type Address, parseAddress } from '../net/address.ts';
import { literalEndpoint } from '../net/endpoint.ts';
import { contains, prefixText } from '../net/prefix.ts';
import type { Report } from './diagnostic.ts';
import { claimPrefixes } from './overlap.ts';
import type { InterfaceDraft, PeerDraft } from './draft.ts';
import type { Located } from './section-reader.ts';
import type { Span } from './source.ts';
import { MIN_MTU_V6, metricsText } from './values.ts';

/**
 * What must hold between values that are each right by themselves. Yields the peers that have a standby. Peers that are
 * not enabled claim no prefixes and need not be reachable, but their names and fingerprints stay theirs.
 */
export function checkDraft(
  iface: InterfaceDraft | undefined,
  peers: readonly PeerDraft[],
  report: Report,
): ReadonlySet<PeerDraft> {
  checkNames(peers, report);
  checkFingerprints(peers, report);
  const enabled = peers.filter((peer) => peer.settings.enabled);
  const standby = new Set(
    claimPrefixes(
      enabled.filter((peer) => peer.priorityKnown),
      report,
    ),
  );
  for (const peer of enabled) if (peer.settings.endpoints.length > 1) standby.add(peer);
  if (iface === undefined) return standby;
  checkListenPort(iface, enabled, report);
  checkOwnAddresses(iface, enabled, report);
  checkMtu(iface, peers, report);
  checkMetrics(iface, report);
  checkLoops(iface, enabled, report);
  checkUnused(iface, peers, report);
  return standby;
}

function checkNames(peers: readonly PeerDraft[], report: Report): void {
  const seen = new Map<string, Span>();
  for (const peer of peers) {
    const { name } = peer.settings;
    if (name === '') continue;
    const at = peer.name?.at ?? peer.header;
    const first = seen.get(name);
    if (first === undefined) seen.set(name, at);
    else {
      report.error('C032', at, `two peers are called ${name}`, {
        label: 'again here',
        also: [{ at: first, label: 'first here' }],
        help: 'give each peer a Name of its own',
      });
    }
  }
}

function checkFingerprints(peers: readonly PeerDraft[], report: Report): void {
  const seen = new Map<string, { readonly at: Span; readonly title: string }>();
  for (const peer of peers) {
    for (const { value, at } of peer.fingerprints) {
      const first = seen.get(value);
      if (first === undefined) seen.set(value, { at, title: peer.title });
      else {
        report.error('C033', at, `${first.title} and ${peer.title} have the same fingerprint`, {
          label: 'again here',
          also: [{ at: first.at, label: 'first here' }],
          help: 'each peer has a certificate of its own: make one with  dtunnel keygen',
        });
      }
    }
  }
}

function checkListenPort(iface: InterfaceDraft, peers: readonly PeerDraft[], report: Report): void {
  const caller = peers.find((peer) => peer.settings.endpoints.length === 0 && !peer.flawed);
  if (iface.settings.listenPort !== 0 || caller === undefined || iface.listenPort !== undefined) return;
  report.error('C034', iface.header, 'a ListenPort is needed: not every peer has an Endpoint', {
    label: 'no ListenPort here',
    also: [{ at: caller.header, label: 'no Endpoint here: this peer has to call us' }],
    help: 'add  ListenPort = 4433  to [Interface], or an Endpoint to the peer',
  });
}

function checkOwnAddresses(iface: InterfaceDraft, peers: readonly PeerDraft[], report: Report): void {
  const own = new Map<Address, Span>(iface.addresses.map(({ value, at }) => [value.address, at]));
  for (const peer of peers) {
    for (const { value, at } of peer.allowedIps) {
      const mine = own.get(value.address);
      const single = value.length === (value.address.includes(':') ? 128 : 32);
      if (mine === undefined || !single) continue;
      report.error('C035', at, `${prefixText(value)} is the Address of this side, not of ${peer.title}`, {
        label: 'said to be behind the peer',
        also: [{ at: mine, label: 'ours' }],
        help: "AllowedIPs hold the peer's inner address and the networks behind it",
      });
    }
  }
}

function checkMtu(iface: InterfaceDraft, peers: readonly PeerDraft[], report: Report): void {
  const v6 = iface.addresses.find(({ value }) => value.address.includes(':'));
  if (v6 === undefined) return;
  const check = (mtu: Located<number | 'auto'> | undefined): void => {
    if (mtu === undefined || mtu.value === 'auto' || mtu.value >= MIN_MTU_V6) return;
    report.error('C036', mtu.at, `MTU ${mtu.value} is too small for IPv6`, {
      label: `less than ${MIN_MTU_V6}`,
      also: [{ at: v6.at, label: 'an IPv6 address' }],
      help: `set MTU to ${MIN_MTU_V6} or more, or auto`,
    });
  };
  check(iface.mtu);
  for (const peer of peers) check(peer.mtu);
}

function checkMetrics(iface: InterfaceDraft, report: Report): void {
  const { metrics, metricsToken } = iface;
  const listener = iface.settings.metrics;
  if (metrics !== undefined && listener.kind === 'tcp' && !isLoopback(listener.host) && metricsToken === undefined) {
    report.error('C037', metrics.at, `${metricsText(listener)} is open to others and no MetricsToken guards it`, {
      label: 'not a loopback address',
      help: 'set MetricsToken, or listen on 127.0.0.1 or unix:/run/dtunnel/metrics.sock',
    });
  }
  if (metricsToken !== undefined && listener.kind === 'off') {
    report.warning('C107', metricsToken.at, 'MetricsToken has no effect: Metrics is off', { label: 'not used' });
  }
}

/** Only a literal endpoint can be judged here; names are resolved later, and looked at again then. */
function checkLoops(iface: InterfaceDraft, peers: readonly PeerDraft[], report: Report): void {
  if (iface.settings.table === 'off' || iface.settings.fwMark !== undefined) return;
  for (const peer of peers) {
    for (const { value, at } of peer.endpoints) {
      const literal = literalEndpoint(value);
      const around = literal && peer.allowedIps.find((prefix) => contains(prefix.value, literal.address));
      if (literal === undefined || around === undefined) continue;
      const block = prefixText(around.value);
      report.warning('C105', at, `${literal.address} lies inside ${block}, which is routed into the tunnel`, {
        label: 'the tunnel itself would be routed into the tunnel',
        also: [{ at: around.at, label: 'holds that address' }],
        help: 'leave the endpoint out of AllowedIPs, or set FwMark and a routing rule for it',
      });
    }
  }
}

function checkUnused(iface: InterfaceDraft, peers: readonly PeerDraft[], report: Report): void {
  if (iface.routeMetric !== undefined && iface.settings.table === 'off') {
    report.warning('C107', iface.routeMetric.at, 'RouteMetric has no effect: Table is off', { label: 'not used' });
  }
  if (peers.length === 0) {
    report.warning('C106', iface.header, 'there is no [Peer] yet: the tunnel leads nowhere', {
      label: 'alone',
      help: 'paste the [Peer] section that  dtunnel keygen  printed on the other side',
    });
  }
}

function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  const address = parseAddress(host);
  return address !== undefined && (address === '::1' || address.startsWith('127.'));
}
