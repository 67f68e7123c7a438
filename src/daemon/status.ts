import type { Instant } from '../base/brand.ts';
import type { PeerSettings, Settings } from '../config/settings.ts';
import { opensslCipherName } from '../control/cipher-name.ts';
import { type HealthNote, type PeerStatus, STATUS_SCHEMA, type StatusDocument } from '../control/status.ts';
import { outerMtu, sumDrops } from '../metrics/snapshot-metrics.ts';
import { type Endpoint, endpointKey } from '../net/endpoint.ts';
import { prefixText } from '../net/prefix.ts';
import type { DropCounters, PlaneFeatures, PlaneStats } from '../plane/plane.ts';
import type { AssociationSnapshot, PeerGlance, PeerSnapshot } from '../tunnel/effects.ts';
import { percentile } from './recorder.ts';

/** What a status document is made from. */
export interface StatusInput {
  readonly now: Instant;
  /** Epoch milliseconds at `now`. */
  readonly wallNow: number;
  readonly settings: Settings;
  readonly configFile: string;
  readonly configHash: string;
  readonly generation: number;
  /** Undefined before the first reload. */
  readonly reloadedAt: Instant | undefined;
  readonly startedAt: Instant;
  /** Since when the tunnel is in its present state. */
  readonly stateSince: Instant;
  readonly draining: boolean;
  readonly device: string;
  readonly deviceMtu: number;
  readonly listening: readonly Endpoint[];
  readonly features: PlaneFeatures;
  /** Ours, 64 hex digits. */
  readonly fingerprint: string;
  /** Ours, epoch seconds. */
  readonly certificateNotAfter: number;
  readonly pid: number;
  readonly version: string;
  readonly peers: readonly PeerSnapshot[];
  readonly plane: PlaneStats;
  readonly rtts: (peer: string) => readonly number[];
  /** Remarks of others: the host, the metrics listener. */
  readonly health: readonly HealthNote[];
}

/** Days before a certificate's end at which status begins to say so. */
const EXPIRY_NOTICE_DAYS = 30;

/** Loss that is worth a remark. */
const LOSS_NOTICE = 0.05;

/** The document at one moment. */
export function statusDocumentOf(input: StatusInput): StatusDocument {
  const { settings, now, wallNow } = input;
  // Whole milliseconds: a rounding error must not give one instant two times.
  const difference = Math.round(wallNow - now);
  const time = (at: Instant): string => new Date(at + difference).toISOString();
  const configured = new Map(settings.peers.map((peer) => [peer.name, peer]));
  return {
    schema: STATUS_SCHEMA,
    time: new Date(wallNow).toISOString(),
    tunnel: {
      name: settings.interface.name,
      state: tunnelState(input.peers),
      since: time(input.stateSince),
      startedAt: time(input.startedAt),
      configHash: input.configHash,
      configFile: input.configFile,
      generation: input.generation,
      ...(input.reloadedAt === undefined ? {} : { reloadedAt: time(input.reloadedAt) }),
      draining: input.draining,
      device: input.device,
      deviceMtuBytes: input.deviceMtu,
      addresses: settings.interface.addresses.map(prefixText),
      listening: input.listening.map(({ address, port }) => ({ address, port })),
      fingerprint: colonHex(input.fingerprint),
      certificate: { notAfter: new Date(input.certificateNotAfter * 1000).toISOString() },
      pid: input.pid,
      version: input.version,
      dataPlane: {
        aead: input.features.aead,
        offloads: [...input.features.offloads],
        cpuSeconds: input.plane.threads.reduce((sum, one) => sum + one.userSeconds + one.systemSeconds, 0),
      },
    },
    peers: input.peers.map((peer) => peerStatus(peer, configured.get(peer.name), input, time)),
    health: [...input.health, ...healthOf(input)],
  };
}

/** `up` when every enabled peer is, `degraded` when some are, `down` when none is. */
export function tunnelState(peers: readonly Pick<PeerGlance, 'state' | 'up'>[]): 'up' | 'degraded' | 'down' {
  const enabled = peers.filter((peer) => peer.state !== 'disabled');
  const up = enabled.filter((peer) => peer.up);
  if (up.length === 0) return 'down';
  return up.length === enabled.length && up.every((peer) => peer.state === 'up') ? 'up' : 'degraded';
}

/** Hex in pairs with colons. */
export function colonHex(fingerprint: string): string {
  let text = fingerprint.slice(0, 2);
  for (let at = 2; at < fingerprint.length; at += 2) text += `:${fingerprint.slice(at, at + 2)}`;
  return text;
}

function peerStatus(
  peer: PeerSnapshot,
  configured: PeerSettings | undefined,
  input: StatusInput,
  time: (at: Instant) => string,
): PeerStatus {
  const stats = input.plane.peers.get(peer.id);
  const { association, lastFailure } = peer;
  const texts = configured === undefined ? NO_TEXTS : textsOf(configured);
  return {
    name: peer.name,
    state: peer.state,
    since: time(peer.since),
    up: peer.up,
    fingerprint: colonHex(peer.fingerprint),
    fingerprints: texts.fingerprints,
    allowedIps: texts.allowedIps,
    priority: configured?.priority ?? 0,
    endpoints: peer.endpoints.map(({ host, port, addresses }, index) => ({
      host,
      port,
      addresses: [...addresses],
      active: association?.endpointIndex === index,
    })),
    ...(association === undefined ? {} : associationStatus(peer, association, input, time)),
    ...(peer.lastReceive === undefined ? {} : { lastReceive: time(peer.lastReceive) }),
    ...(lastFailure === undefined
      ? {}
      : {
          lastFailure: {
            at: time(lastFailure.at),
            reason: lastFailure.reason.code,
            by: lastFailure.reason.by,
            ...(lastFailure.reason.seen === undefined ? {} : { seen: lastFailure.reason.seen }),
            ...(lastFailure.reason.expected === undefined ? {} : { expected: lastFailure.reason.expected }),
          },
        }),
    ...(peer.nextAttempt === undefined
      ? {}
      : { nextAttemptInSeconds: Math.max(0, peer.nextAttempt - input.now) / 1000 }),
    transfer: {
      receiveBytes: Number(stats?.receiveBytes ?? 0n),
      transmitBytes: Number(stats?.transmitBytes ?? 0n),
      receivePackets: Number(stats?.receivePackets ?? 0n),
      transmitPackets: Number(stats?.transmitPackets ?? 0n),
    },
    drops: stats === undefined ? {} : dropTotals(stats.drops),
  };
}

function associationStatus(
  peer: PeerSnapshot,
  association: AssociationSnapshot,
  input: StatusInput,
  time: (at: Instant) => string,
): Pick<PeerStatus, 'endpoint' | 'handshake' | 'rekey' | 'path' | 'certificate'> {
  const { remote } = association.path;
  const index = association.endpointIndex;
  const named = index === undefined ? undefined : peer.endpoints[index]?.host;
  const session = input.plane.sessions.get(association.slot);
  const used = Math.max(Number(session?.sealedBytes ?? 0n), Number(session?.openedBytes ?? 0n));
  const p99 = percentile(input.rtts(peer.name), 0.99);
  return {
    endpoint: {
      address: remote.address,
      port: remote.port,
      ...(index === undefined ? {} : { index }),
      ...(named === undefined || named === remote.address ? {} : { host: named }),
    },
    handshake: {
      at: time(association.establishedAt),
      durationSeconds: association.handshakeDuration / 1000,
      cipher: opensslCipherName(association.suite),
      group: association.group,
      role: association.role,
      ...(association.protocol === undefined ? {} : { protocol: association.protocol }),
      connectionIds: association.connectionIds,
    },
    rekey: {
      ...(association.rekeyAt === undefined ? {} : { inSeconds: Math.max(0, association.rekeyAt - input.now) / 1000 }),
      afterBytes: Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, association.rekeyAfterBytes) - used),
      keyUsageRatio: Math.max(association.keyUsage.transmit, association.keyUsage.receive),
    },
    path: {
      mtuBytes: outerMtu(association),
      innerMtuBytes: association.innerMtu,
      ...(peer.rtt === undefined
        ? {}
        : { rttSeconds: peer.rtt.smoothed / 1000, jitterSeconds: peer.rtt.variation / 1000 }),
      ...(p99 === undefined ? {} : { rttP99Seconds: p99 / 1000 }),
      lossRatio: peer.loss,
      reorderedPackets: Number(input.plane.peers.get(peer.id)?.reordered ?? 0n),
    },
    certificate: { notAfter: new Date(association.peerCertificateNotAfter * 1000).toISOString() },
  };
}

/** What a peer's settings look like in the document: written once, since thousands of peers have thousands of them. */
interface PeerTexts {
  readonly fingerprints: string[];
  readonly allowedIps: string[];
}

const NO_TEXTS: PeerTexts = { fingerprints: [], allowedIps: [] };

const written = new WeakMap<PeerSettings, PeerTexts>();

function textsOf(settings: PeerSettings): PeerTexts {
  const known = written.get(settings);
  if (known !== undefined) return known;
  const texts = {
    fingerprints: settings.fingerprints.map(colonHex),
    allowedIps: settings.allowedIps.map(prefixText),
  };
  written.set(settings, texts);
  return texts;
}

/** Of the same counters the same object: nearly all peers have dropped nothing, and share theirs. */
const totalled = new WeakMap<DropCounters, Readonly<Record<string, number>>>();

function dropTotals(drops: DropCounters): Readonly<Record<string, number>> {
  const known = totalled.get(drops);
  if (known !== undefined) return known;
  const totals = sumOfBoth(drops);
  totalled.set(drops, totals);
  return totals;
}

function sumOfBoth(drops: DropCounters): Readonly<Record<string, number>> {
  const totals: Record<string, number> = {};
  for (const counts of [drops.in, drops.out]) {
    for (const [reason, count] of Object.entries(counts)) totals[reason] = (totals[reason] ?? 0) + Number(count);
  }
  return totals;
}

function healthOf(input: StatusInput): readonly HealthNote[] {
  const notes: HealthNote[] = [];
  if (input.draining) notes.push({ code: 'draining', text: 'draining: no new handshakes are taken' });
  notes.push(...expiry('our certificate', undefined, input.certificateNotAfter, input.wallNow));
  for (const peer of input.peers) {
    const name = peer.name;
    if (!peer.up && peer.state !== 'disabled') notes.push({ code: 'peer-down', peer: name, text: downText(peer) });
    if (peer.up && peer.loss > LOSS_NOTICE) {
      notes.push({ code: 'loss', peer: name, text: `${(peer.loss * 100).toFixed(1)} % of the probes are lost` });
    }
    const { association } = peer;
    if (association === undefined) continue;
    notes.push(...expiry('its certificate', name, association.peerCertificateNotAfter, input.wallNow));
    if (association.endpointIndex !== undefined && association.endpointIndex > 0) {
      notes.push({
        code: 'on-standby',
        peer: name,
        text: `reached at its backup endpoint ${endpointKey(association.path.remote)}`,
      });
    }
  }
  const { receiveOverflows } = input.plane.udp;
  if (receiveOverflows > 0n) {
    notes.push({
      code: 'socket-overflow',
      text: `${receiveOverflows} datagrams were lost because the receive buffer was full`,
    });
  }
  const queueFull = Number(sumDrops([input.plane.drops]).out.queue_full);
  if (queueFull > 0) notes.push({ code: 'queue-full', text: `${queueFull} packets found their queue full` });
  return notes;
}

function downText(peer: PeerSnapshot): string {
  const { lastFailure } = peer;
  if (lastFailure === undefined) {
    return peer.endpoints.length === 0 ? `${peer.state}: it has to call us` : `${peer.state}`;
  }
  const { code, by, seen, expected } = lastFailure.reason;
  const who = by === 'peer' ? 'it refused us' : 'we refused it';
  const detail = [
    seen === undefined ? undefined : `saw ${seen}`,
    expected === undefined ? undefined : `expected ${expected}`,
  ];
  const facts = detail.filter((part) => part !== undefined).join(', ');
  const what = code === 'timeout' ? 'it does not answer' : `${who} (${code.replaceAll('_', ' ')})`;
  return `${what}${facts === '' ? '' : `: ${facts}`}`;
}

function expiry(what: string, peer: string | undefined, notAfter: number, wallNow: number): readonly HealthNote[] {
  const days = Math.floor((notAfter - wallNow / 1000) / 86_400);
  if (days > EXPIRY_NOTICE_DAYS) return [];
  const text = days < 0 ? `${what} expired ${-days} d ago` : `${what} expires in ${days} d`;
  return [{ code: 'certificate-expiring', ...(peer === undefined ? {} : { peer }), text }];
}
