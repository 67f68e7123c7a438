import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/base/brand.ts';
import type { DaemonEvent } from '../../src/daemon/log.ts';
import { Recorder } from '../../src/daemon/recorder.ts';
import { statusDocumentOf } from '../../src/daemon/status.ts';
import { CLOSE_CODES, type CloseCode } from '../../src/dtls/close-codes.ts';
import type { CloseReason } from '../../src/dtls/effects.ts';
import { EventMetrics } from '../../src/metrics/event-metrics.ts';
import { writeExposition } from '../../src/metrics/exposition.ts';
import { association, at, downPeer, planeStats } from '../support/snapshots.ts';
import { interfaceSettings } from '../support/world.ts';

const FAILURES = Object.keys(CLOSE_CODES).filter((code): code is CloseCode => code !== 'closed');

function reasonOf(code: CloseCode): CloseReason {
  return { code, by: code === 'peer_alert' ? 'peer' : 'local', alert: 40, seen: `seen ${code}`, expected: 'another' };
}

/** A tunnel whose one peer failed to connect for `reason`. */
function statusAfter(reason: CloseReason) {
  return statusDocumentOf({
    now: at(10_000),
    wallNow: 1.8e12,
    settings: { interface: interfaceSettings(), peers: [] },
    configFile: '/etc/dtunnel/paris.conf',
    configHash: 'ab',
    generation: 1,
    reloadedAt: undefined,
    startedAt: at(0),
    stateSince: at(0),
    draining: false,
    device: 'dt-paris',
    deviceMtu: 1420,
    listening: [],
    features: { offloads: [], aead: 'openssl', realtime: false },
    fingerprint: 'ab'.repeat(32),
    certificateNotAfter: 2.1e9,
    pid: 1,
    version: '0',
    peers: [downPeer({ lastFailure: { at: at(9000), reason } })],
    plane: planeStats(),
    rtts: () => [],
    health: [],
  });
}

describe('a handshake that failed is explained in log, metric and status alike', () => {
  it.each(FAILURES)('%s', async (code) => {
    const reason = reasonOf(code);
    const metrics = new EventMetrics('paris', 'full');
    await metrics.setPeers(['berlin']);
    const lines: DaemonEvent[] = [];
    const recorder = new Recorder({
      metrics,
      log: (event) => lines.push(event),
      onPeerState: () => undefined,
      onProbe: () => undefined,
    });
    recorder.record(
      {
        kind: 'handshake-failed',
        peer: 'berlin',
        role: 'client',
        path: association().path,
        reason,
        trigger: 'start',
        isRekey: false,
        retryIn: undefined,
      },
      10_000 as Instant,
    );

    const [line] = lines;
    const seenAs = code === 'unknown_fingerprint' ? 'fingerprint' : 'seen';
    expect(line).toMatchObject({
      level: 'warn',
      peer: 'berlin',
      fields: { reason: code, by: reason.by, alert: 40, [seenAs]: reason.seen, expected: 'another' },
    });

    const counted = (await writeExposition(metrics.families(), 'text'))
      .split('\n')
      .filter((text) => text.startsWith('dtunnel_handshake_failures_total') && text.endsWith(' 1'));
    expect(counted).toHaveLength(1);
    expect(counted[0]).toMatch(/peer="berlin",reason="[a-z_]+"/);

    const { peers, health } = statusAfter(reason);
    expect(peers[0]?.lastFailure).toMatchObject({
      reason: code,
      by: reason.by,
      seen: reason.seen,
      expected: 'another',
    });
    const note = health.find(({ code: kind }) => kind === 'peer-down');
    expect(note?.text).toContain(reason.seen);
    expect(note?.text).toContain('expected another');
    if (code !== 'timeout') expect(note?.text).toContain(code.replaceAll('_', ' '));
  });
});
