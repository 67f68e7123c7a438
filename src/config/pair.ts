import type { Fingerprint } from '../base/brand.ts';
import { formatFingerprint } from '../crypto/fingerprint.ts';
import { literalEndpoint } from '../net/endpoint.ts';
import { contains, prefixText, samePrefix } from '../net/prefix.ts';
import { type Diagnostics, Report } from './diagnostic.ts';
import type { PeerDraft } from './draft.ts';
import type { Loaded } from './load.ts';

/** One end of a link: its configuration, and its certificate's fingerprint where the file could be read. */
export interface End {
  readonly loaded: Loaded;
  readonly fingerprint: Fingerprint | undefined;
}

/** What can be said about two ends. */
export interface PairVerdict {
  readonly diagnostics: Diagnostics;
  readonly ok: boolean;
  /** `both`, or whose certificates were not at hand. */
  readonly fingerprintsChecked: boolean;
  /** `NAME:PORT` of each side that the other one calls. */
  readonly reachable: readonly string[];
  /** `auto`, or a number; of the first end, then of the second. */
  readonly mtu: readonly [string, string];
}

/** Whether two configurations describe the two ends of one link. */
export function checkPair(first: End, second: End): PairVerdict {
  const report = new Report();
  const there = peerFor(first, second);
  const here = peerFor(second, first);
  const reachable: string[] = [];
  for (const [from, peer, to] of [
    [first, there, second],
    [second, here, first],
  ] as const) {
    if (peer === undefined) {
      const title = `[Peer ${nameOf(to)}]`;
      report.error(
        'C040',
        from.loaded.draft.interface.header,
        `${nameOf(from)} has no peer that could be ${nameOf(to)}`,
        {
          label: `no ${title} in this file`,
          help: `add ${title} with the fingerprint of its certificate`,
        },
      );
      continue;
    }
    checkPin(from, peer, to, report);
    checkAddresses(peer, to, report);
    if (checkEndpoints(peer, to, report)) reachable.push(`${nameOf(to)}:${to.loaded.settings.interface.listenPort}`);
  }
  if (there !== undefined && here !== undefined) {
    checkClaims(there, here, report);
    checkMtu(first, there, here, report);
    if (reachable.length === 0) {
      report.error('C042', there.header, 'neither side can call the other', {
        label: 'no usable Endpoint',
        also: [{ at: here.header, label: 'nor here' }],
        help: 'give at least one side the Endpoint of the other, whose ListenPort is fixed',
      });
    }
  }
  const files = [...first.loaded.files, ...second.loaded.files];
  return {
    diagnostics: report.diagnostics(files),
    ok: report.errors === 0,
    fingerprintsChecked: first.fingerprint !== undefined && second.fingerprint !== undefined,
    reachable,
    mtu: [`${there?.settings.mtu ?? 'auto'}`, `${here?.settings.mtu ?? 'auto'}`],
  };
}

/** The peer by which `from` means `to`: by its certificate, else by its name, else the only one there is. */
function peerFor(from: End, to: End): PeerDraft | undefined {
  const { peers } = from.loaded.draft;
  const pin = to.fingerprint;
  const pinned = pin && peers.find((peer) => peer.settings.fingerprints.includes(pin));
  const named = pinned ?? peers.find((peer) => peer.settings.name === nameOf(to));
  return named ?? (peers.length === 1 ? peers[0] : undefined);
}

function checkPin(from: End, peer: PeerDraft, to: End, report: Report): void {
  const [written] = peer.fingerprints;
  if (to.fingerprint === undefined || written === undefined) return;
  if (peer.settings.fingerprints.includes(to.fingerprint)) return;
  const actual = formatFingerprint(to.fingerprint);
  report.error('C040', written.at, `${nameOf(from)} expects another certificate than ${nameOf(to)} has`, {
    label: `${nameOf(to)}'s certificate is ${actual.slice(0, 11)}:…:${actual.slice(-5)}`,
    help: `set  Fingerprint = ${actual}`,
  });
}

/** What one side calls itself, the other side must let in and route. */
function checkAddresses(peer: PeerDraft, to: End, report: Report): void {
  const [first] = peer.allowedIps;
  for (const { value, at } of to.loaded.draft.interface.addresses) {
    if (first === undefined || peer.settings.allowedIps.some((prefix) => contains(prefix, value.address))) continue;
    const single = `${value.address}/${value.address.includes(':') ? 128 : 32}`;
    report.error('C041', first.at, `AllowedIPs of ${peer.title} leave out its Address ${value.address}`, {
      label: `does not hold ${value.address}`,
      also: [{ at, label: `Address of ${nameOf(to)}` }],
      help: `add ${single} to AllowedIPs`,
    });
  }
}

/** A network lies behind one side or behind the other. */
function checkClaims(there: PeerDraft, here: PeerDraft, report: Report): void {
  for (const { value, at } of there.allowedIps) {
    const claim = here.allowedIps.find((other) => samePrefix(other.value, value));
    if (claim === undefined) continue;
    report.error('C041', at, `each side says that ${prefixText(value)} is behind the other`, {
      label: 'said here',
      also: [{ at: claim.at, label: 'and here' }],
      help: 'remove it on the side that has the network itself',
    });
  }
}

/** Whether `peer` has an endpoint at which `to` can be listening. */
function checkEndpoints(peer: PeerDraft, to: End, report: Report): boolean {
  const { listenPort, listenAddresses } = to.loaded.settings.interface;
  const name = nameOf(to);
  for (const [index, { value, at }] of peer.endpoints.entries()) {
    const what = index === 0 ? 'endpoint' : 'backup endpoint';
    const literal = literalEndpoint(value);
    if (listenPort === 0) {
      report.warning('C102', at, `${what} ${value.host} cannot be called: ${name} has no fixed ListenPort`);
    } else if (value.port !== listenPort) {
      report.warning('C102', at, `${what} ${value.host} has port ${value.port}, ${name} listens on ${listenPort}`);
    }
    if (literal !== undefined && listenAddresses.length > 0 && !listenAddresses.includes(literal.address)) {
      report.warning('C102', at, `${what} ${value.host} is not among ${name}'s ListenAddress values`);
    }
  }
  return listenPort !== 0 && peer.endpoints.length > 0;
}

function checkMtu(first: End, there: PeerDraft, here: PeerDraft, report: Report): void {
  const a = there.settings.mtu;
  const b = here.settings.mtu;
  if (a === 'auto' || b === 'auto' || a === b) return;
  const at = there.mtu?.at ?? first.loaded.draft.interface.mtu?.at ?? there.header;
  report.warning('C103', at, `MTU is ${a} on one side and ${b} on the other: packets above the smaller are refused`);
}

function nameOf(end: End): string {
  return end.loaded.settings.interface.name;
}
