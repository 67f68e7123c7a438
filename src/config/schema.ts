import { type Fingerprint, seconds } from '../base/brand.ts';
import { checkDraft } from './checks.ts';
import type { Report } from './diagnostic.ts';
import type { Draft, InterfaceDraft, PeerDraft } from './draft.ts';
import type { Environment } from './expand.ts';
import { INTERFACE } from './interface-keys.ts';
import type { KeyInfo } from './key.ts';
import { PEER } from './peer-keys.ts';
import { type KeyNames, type Located, SectionReader } from './section-reader.ts';
import type { Section } from './sections.ts';
import type { InterfaceSettings, PeerSettings, Settings } from './settings.ts';
import type { Span } from './source.ts';
import { parseTunnelName } from './values.ts';

/** What the schema reads from: the sections of all files in order, and the world around them. */
export interface SchemaInput {
  readonly sections: readonly Section[];
  /** The tunnel's name when the file does not set one. */
  readonly defaultName: string;
  /** Directory of the main file with a slash at its end, or empty: what relative paths are joined to. */
  readonly directory: string;
  /** Where to point when there is nothing to point at. */
  readonly start: Span;
  readonly environment: Environment;
}

/** `path` as seen from the working directory; credentials and absolute paths stand. */
export function inDirectory(directory: string, path: string): string {
  return path.startsWith('/') || path.startsWith('credential:') ? path : directory + path;
}

/** The settings that the sections describe, with their places; undefined when the report holds an error. */
export function readSettings(
  input: SchemaInput,
  report: Report,
): { readonly settings: Settings; readonly draft: Draft } | undefined {
  const own = interfaceSection(input, report);
  const iface = own === undefined ? undefined : readInterface(own, input, report);
  const peers = input.sections
    .filter((section) => section.kind === 'Peer')
    .map((section) => readPeer(section, iface?.settings, input, report));
  const standby = checkDraft(iface, peers, report);
  if (iface === undefined || report.errors > 0) return undefined;
  return {
    settings: { interface: iface.settings, peers: peers.map((peer) => withDeadAfter(peer, standby.has(peer))) },
    draft: { interface: iface, peers },
  };
}

/** Failure detection where traffic has somewhere else to go, and where it has not. */
const DEAD_AFTER_WITH_STANDBY = seconds(1.5);
const DEAD_AFTER_ALONE = seconds(10);

function withDeadAfter(peer: PeerDraft, standby: boolean): PeerSettings {
  if (peer.deadAfterSet) return peer.settings;
  return { ...peer.settings, deadAfter: standby ? DEAD_AFTER_WITH_STANDBY : DEAD_AFTER_ALONE };
}

const INTERFACE_KEYS: readonly KeyInfo[] = Object.values(INTERFACE);
const PEER_KEYS: readonly KeyInfo[] = Object.values(PEER);
const INTERFACE_NAMES: KeyNames = { own: INTERFACE_KEYS, other: { title: 'Peer', keys: PEER_KEYS } };
const PEER_NAMES: KeyNames = { own: PEER_KEYS, other: { title: 'Interface', keys: INTERFACE_KEYS } };

function interfaceSection(input: SchemaInput, report: Report): Section | undefined {
  const [first, ...more] = input.sections.filter((section) => section.kind === 'Interface');
  if (first === undefined) {
    report.error('C019', input.start, 'there is no [Interface] section', {
      label: 'the file begins here',
      help: 'begin with [Interface], Address, Certificate and PrivateKey',
    });
  }
  for (const section of more) {
    report.error('C019', section.header, 'a second [Interface] section', {
      label: 'again here',
      also: first === undefined ? [] : [{ at: first.header, label: 'first here' }],
      help: 'a configuration has exactly one; further tunnels have files of their own',
    });
  }
  return first;
}

function readInterface(section: Section, input: SchemaInput, report: Report): InterfaceDraft {
  const read = new SectionReader(section, INTERFACE_NAMES, input.environment, report);
  const name = read.one(INTERFACE.name);
  const addresses = read.list(INTERFACE.addresses);
  const listenPort = read.one(INTERFACE.listenPort);
  const mtu = read.one(INTERFACE.mtu);
  const metrics = read.one(INTERFACE.metrics);
  const metricsToken = read.one(INTERFACE.metricsToken);
  const routeMetric = read.one(INTERFACE.routeMetric);
  const ciphers = values(read.list(INTERFACE.ciphers));
  if (!read.has(INTERFACE.name)) checkDefaultName(input.defaultName, section, report);
  return {
    header: section.header,
    addresses,
    listenPort,
    mtu,
    metrics,
    metricsToken,
    routeMetric,
    settings: {
      name: name?.value ?? input.defaultName,
      addresses: values(addresses),
      // Absent only together with an error in the report, which keeps these settings from anybody's hands.
      certificate: inDirectory(input.directory, read.one(INTERFACE.certificate)?.value ?? ''),
      privateKey: inDirectory(input.directory, read.one(INTERFACE.privateKey)?.value ?? ''),
      listenPort: listenPort?.value ?? 0,
      listenAddresses: values(read.list(INTERFACE.listenAddresses)),
      mtu: mtu?.value ?? INTERFACE.mtu.initial,
      table: read.one(INTERFACE.table)?.value ?? INTERFACE.table.initial,
      routeMetric: routeMetric?.value,
      forwarding: read.one(INTERFACE.forwarding)?.value ?? INTERFACE.forwarding.initial,
      failClosed: read.one(INTERFACE.failClosed)?.value ?? INTERFACE.failClosed.initial,
      fwMark: read.one(INTERFACE.fwMark)?.value,
      dscp: read.one(INTERFACE.dscp)?.value ?? INTERFACE.dscp.initial,
      ecn: read.one(INTERFACE.ecn)?.value ?? INTERFACE.ecn.initial,
      ciphers: ciphers.length === 0 ? 'auto' : ciphers,
      crypto: read.one(INTERFACE.crypto)?.value ?? INTERFACE.crypto.initial,
      rekeyAfter: read.one(INTERFACE.rekeyAfter)?.value ?? INTERFACE.rekeyAfter.initial,
      rekeyAfterData: read.one(INTERFACE.rekeyAfterData)?.value ?? INTERFACE.rekeyAfterData.initial,
      unknown: read.one(INTERFACE.unknown)?.value ?? INTERFACE.unknown.initial,
      maxHandshakes: read.one(INTERFACE.maxHandshakes)?.value ?? INTERFACE.maxHandshakes.initial,
      metrics: metrics?.value ?? INTERFACE.metrics.initial,
      metricsToken: metricsToken?.value,
      metricsDetail: read.one(INTERFACE.metricsDetail)?.value ?? INTERFACE.metricsDetail.initial,
      logLevel: read.one(INTERFACE.logLevel)?.value ?? INTERFACE.logLevel.initial,
      logFormat: read.one(INTERFACE.logFormat)?.value ?? INTERFACE.logFormat.initial,
      lanes: read.one(INTERFACE.lanes)?.value ?? INTERFACE.lanes.initial,
      disableOffloads: values(read.list(INTERFACE.disableOffloads)),
      realtime: read.one(INTERFACE.realtime)?.value ?? INTERFACE.realtime.initial,
      onUp: read.command(INTERFACE.onUp)?.value,
      onDown: read.command(INTERFACE.onDown)?.value,
      onPeerState: read.command(INTERFACE.onPeerState)?.value,
    },
  };
}

function readPeer(
  section: Section,
  iface: InterfaceSettings | undefined,
  input: SchemaInput,
  report: Report,
): PeerDraft {
  const before = report.errors;
  const read = new SectionReader(section, PEER_NAMES, input.environment, report);
  const name = read.titled(PEER.name);
  const fingerprints = read.list(PEER.fingerprints);
  const endpoints = read.list(PEER.endpoints);
  const allowedIps = read.list(PEER.allowedIps);
  const mtu = read.one(PEER.mtu);
  const deadAfter = read.one(PEER.deadAfter);
  const priority = read.one(PEER.priority);
  checkFingerprintCount(fingerprints, read.title, report);
  return {
    header: section.header,
    title: read.title,
    name,
    fingerprints,
    endpoints,
    allowedIps,
    mtu,
    flawed: report.errors > before,
    priorityKnown: priority !== undefined || !read.has(PEER.priority),
    deadAfterSet: deadAfter !== undefined,
    settings: {
      name: name?.value ?? fingerprints[0]?.value.slice(0, 8) ?? '',
      fingerprints: values(fingerprints),
      endpoints: values(endpoints),
      allowedIps: values(allowedIps),
      priority: priority?.value ?? PEER.priority.initial,
      failback: read.one(PEER.failback)?.value ?? PEER.failback.initial,
      persistentKeepalive: read.one(PEER.persistentKeepalive)?.value ?? PEER.persistentKeepalive.initial,
      deadAfter: deadAfter?.value ?? DEAD_AFTER_ALONE,
      mtu: mtu?.value ?? iface?.mtu ?? INTERFACE.mtu.initial,
      dscp: read.one(PEER.dscp)?.value ?? iface?.dscp ?? INTERFACE.dscp.initial,
      rekeyAfter: read.one(PEER.rekeyAfter)?.value ?? iface?.rekeyAfter ?? INTERFACE.rekeyAfter.initial,
      expirePolicy: read.one(PEER.expirePolicy)?.value ?? PEER.expirePolicy.initial,
      rateLimit: read.one(PEER.rateLimit)?.value,
      allowLegacyPeer: read.one(PEER.allowLegacyPeer)?.value ?? PEER.allowLegacyPeer.initial,
      enabled: read.one(PEER.enabled)?.value ?? PEER.enabled.initial,
    },
  };
}

function values<T>(located: readonly Located<T>[]): readonly T[] {
  return located.map((item) => item.value);
}

function checkDefaultName(name: string, section: Section, report: Report): void {
  const parsed = parseTunnelName(name);
  if (parsed.ok) return;
  report.error('C028', section.header, `the file's name does not make a tunnel name: ${parsed.error.message}`, {
    label: 'no Name here',
    help: 'set  Name =  to 1 to 15 of A-Z a-z 0-9 _ = + . -',
  });
}

/** A rotation has an old and a new certificate; more pins than that are forgotten ones. */
const MAX_FINGERPRINTS = 2;

function checkFingerprintCount(fingerprints: readonly Located<Fingerprint>[], title: string, report: Report): void {
  const surplus = fingerprints[MAX_FINGERPRINTS];
  if (surplus === undefined) return;
  report.error('C020', surplus.at, `${title} has ${fingerprints.length} fingerprints, two are allowed`, {
    label: 'one too many',
    help: 'keep the old and the new one of a rotation',
  });
}
