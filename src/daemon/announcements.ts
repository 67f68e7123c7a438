import type { Fingerprint } from '../base/brand.ts';
import { formatFingerprint } from '../crypto/fingerprint.ts';
import type { HandoverResult } from '../metrics/event-metrics.ts';
import { endpointKey } from '../net/endpoint.ts';
import type { Plane } from '../plane/plane.ts';
import type { PlaneNotice } from './driver.ts';
import type { Expiring } from './expiry.ts';
import type { DaemonEvent } from './log.ts';
import type { Takeover } from './upgrade/takeover.ts';

/** Events of the daemon itself as log lines; those of peers are the recorder's. */

/** It begins. */
export function startingEvent(version: string, config: string): DaemonEvent {
  return { event: 'daemon.start', level: 'info', msg: 'starting', fields: { version, config } };
}

/** It carries packets from here on. */
export function readyEvent(plane: Plane, startMs: number): DaemonEvent {
  const fields = {
    device: plane.deviceName,
    listening: plane.listening.map(endpointKey).join(' '),
    startMs: Math.round(startMs),
    aead: plane.features.aead,
    offloads: plane.features.offloads.join(' '),
  };
  return { event: 'daemon.ready', level: 'info', msg: 'ready', fields };
}

/** A new process is to take over. */
export function upgradingEvent(): DaemonEvent {
  return { event: 'daemon.upgrade', level: 'info', msg: 'handing over to a new process' };
}

/** What became of that, said by the old process. */
export function upgradeEvent(result: HandoverResult, detail: string, gapMs: number | undefined): DaemonEvent {
  const fields = { result, detail, gapMs: gapMs === undefined ? undefined : Math.round(gapMs * 10) / 10 };
  if (result === 'completed') return { event: 'daemon.upgrade', level: 'info', msg: 'handed over', fields };
  return { event: 'daemon.upgrade', level: 'error', msg: 'could not hand over', fields };
}

/** The same, said by the new one. */
export function tookOverEvent(
  { previous, state }: Takeover,
  version: string,
  gapMs: number,
  dropped: number,
): DaemonEvent {
  const fields = {
    previousPid: previous.pid,
    previousVersion: previous.version,
    version,
    peers: state.tunnel.peers.length,
    gapMs: Math.round(gapMs * 10) / 10,
    droppedPackets: dropped,
  };
  return { event: 'daemon.upgrade', level: 'info', msg: 'took over', fields };
}

/** Something about the host that should be looked at. */
export function hostWarningEvent(text: string): DaemonEvent {
  return { event: 'host.warning', level: 'warn', msg: text };
}

/** Addresses, links or routes of the host are others. */
export function networkEvent(): DaemonEvent {
  return { event: 'network.changed', level: 'debug', msg: 'the network of this host changed' };
}

/** A change of the host, in the words of `[+]` and `[-]` lines. */
export function hostChangedEvent(change: string, done: 'made' | 'undone'): DaemonEvent {
  return { event: 'host.changed', level: 'debug', msg: `${done === 'made' ? '+' : '-'} ${change}` };
}

/** What became of a reload. */
export function reloadEvent(outcome: 'applied' | 'reverted' | 'rejected', detail: string): DaemonEvent {
  const level = outcome === 'rejected' ? 'error' : 'info';
  return { event: `config.${outcome}`, level, msg: `settings ${outcome}`, fields: { detail } };
}

/** The file of the places where peers were last met is of no use. */
export function memoryEvent(what: 'ignored' | 'unwritten', file: string, reason: string): DaemonEvent {
  const msg =
    what === 'ignored'
      ? 'where peers were last met is not known'
      : 'where peers are now will not be known after a restart';
  return { event: `memory.${what}`, level: 'warn', msg, fields: { file, reason } };
}

/** What the data plane has to say of itself. */
export function planeEvent(notice: PlaneNotice): DaemonEvent {
  if (notice.kind === 'failed') {
    return { event: 'daemon.failed', level: 'error', msg: 'the data plane failed', fields: { reason: notice.error } };
  }
  const fields = { offload: notice.offload, reason: notice.error };
  return { event: 'offload.disabled', level: 'warn', msg: 'a kernel offload failed and is off', fields };
}

/** The wall clock was stepped, by so many seconds. */
export function clockEvent(seconds: number): DaemonEvent {
  const fields = { seconds: Math.round(seconds * 10) / 10 };
  return { event: 'clock.jumped', level: 'info', msg: 'the wall clock was set', fields };
}

/** A certificate runs out or has. */
export function expiryEvent({ owner, notAfter, days }: Expiring & { readonly days: number }): DaemonEvent {
  const fields = { days, notAfter: new Date(notAfter * 1000).toISOString() };
  const msg = `${owner === undefined ? 'our' : 'the peer'} certificate ${days < 0 ? 'has expired' : 'expires soon'}`;
  return { event: 'cert.expiring', level: 'warn', msg, peer: owner, fields };
}

/** Another certificate of ours is in force. */
export function rotatedEvent(fingerprint: Fingerprint): DaemonEvent {
  const fields = { fingerprint: formatFingerprint(fingerprint) };
  return { event: 'cert.rotated', level: 'info', msg: 'another certificate is in force', fields };
}

/** A bug: with its stack, which names code and nothing of its data. */
export function bugEvent(event: 'control.bug' | 'daemon.failed', error: unknown): DaemonEvent {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { event, level: 'error', msg: 'unexpected failure, please report', fields: { error: text } };
}
