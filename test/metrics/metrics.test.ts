import { spawnSync } from 'node:child_process';
import perfHooks from 'node:perf_hooks';
import { describe, expect, it, vi } from 'vitest';
import type { Duration } from '../../src/base/brand.ts';
import { EventMetrics } from '../../src/metrics/event-metrics.ts';
import { negotiate, writeExposition } from '../../src/metrics/exposition.ts';
import { MetricsRegistry } from '../../src/metrics/registry.ts';
import { type MetricsInput, snapshotFamilies } from '../../src/metrics/snapshot-metrics.ts';
import type { TunnelEvent } from '../../src/tunnel/effects.ts';
import { association, at, downPeer, drops, peerId, peerSnapshot, peerStats, planeStats } from '../support/snapshots.ts';

function input(over: Partial<MetricsInput> = {}): MetricsInput {
  return {
    tunnel: 'paris',
    detail: 'full',
    build: { version: '0.1.0', commit: 'abc', node: 'v20', dataplane: 'openssl' },
    config: { hash: '7f3a'.padEnd(64, '0'), lastReloadSuccessful: true, lastSuccess: 1_700_000_000 },
    draining: false,
    localCertificateNotAfter: 2_100_000_000,
    peers: [peerSnapshot()],
    plane: planeStats(),
    handshakesInProgress: 0,
    tunOverflows: 0,
    controlMemory: 5_000_000,
    wall: (instant) => 1_700_000_000 + instant / 1000,
    ...over,
  };
}

/** Value of the series whose name and labels are exactly these; undefined when it does not exist. */
function series(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  const wanted = Object.entries({ tunnel: 'paris', ...labels })
    .map(([key, value]) => `${key}="${value}"`)
    .sort()
    .join(',');
  for (const line of text.split('\n')) {
    const match = /^([a-z0-9_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (
      match?.[1] === name &&
      (match[2] ?? '')
        .split(/,(?=[a-z_]+=")/)
        .sort()
        .join(',') === wanted
    )
      return Number(match[3]);
  }
  return undefined;
}

const snapshotText = (over: Partial<MetricsInput> = {}): Promise<string> =>
  writeExposition(snapshotFamilies(input(over)), 'text');

const failed = (peer: string | undefined, code: 'timeout' | 'peer_alert' | 'unknown_fingerprint'): TunnelEvent => ({
  kind: 'handshake-failed',
  peer,
  role: 'client',
  path: association().path,
  reason: { code, by: 'local', alert: undefined, seen: undefined, expected: undefined },
  trigger: 'time',
  isRekey: peer !== undefined,
  retryIn: undefined,
});

describe('the first scrape', () => {
  it('has every configured peer with true values, and nothing for what is not known', async () => {
    const text = await snapshotText({
      peers: [peerSnapshot(), downPeer({ id: peerId(1), name: 'lyon' })],
      plane: planeStats({
        peers: new Map([
          [peerId(0), peerStats()],
          [peerId(1), peerStats({ receivePackets: 0n })],
        ]),
      }),
    });
    expect(series(text, 'dtunnel_peer_up', { peer: 'berlin' })).toBe(1);
    expect(series(text, 'dtunnel_peer_up', { peer: 'lyon' })).toBe(0);
    expect(series(text, 'dtunnel_peer_state', { peer: 'lyon', state: 'connecting' })).toBe(1);
    expect(series(text, 'dtunnel_peer_state', { peer: 'lyon', state: 'up' })).toBe(0);
    expect(series(text, 'dtunnel_peer_receive_packets_total', { peer: 'lyon' })).toBe(0);
    expect(series(text, 'dtunnel_peer_last_receive_timestamp_seconds', { peer: 'lyon' })).toBeUndefined();
    expect(series(text, 'dtunnel_peer_last_handshake_timestamp_seconds', { peer: 'lyon' })).toBeUndefined();
    expect(series(text, 'dtunnel_peer_path_mtu_bytes', { peer: 'lyon' })).toBeUndefined();
    expect(series(text, 'dtunnel_peer_last_receive_timestamp_seconds', { peer: 'berlin' })).toBeCloseTo(
      1_700_000_009.9,
      3,
    );
  });

  it('tells path MTUs as sizes of the outer IP packet', async () => {
    expect(series(await snapshotText(), 'dtunnel_peer_path_mtu_bytes', { peer: 'berlin' })).toBe(1500);
    const overV6 = association({
      path: { remote: { address: '2001:db8::1' as never, port: 1 }, local: undefined },
      pathMtu: 1452 as never,
    });
    expect(
      series(await snapshotText({ peers: [peerSnapshot({ association: overV6 })] }), 'dtunnel_peer_path_mtu_bytes', {
        peer: 'berlin',
      }),
    ).toBe(1500);
  });

  it('names identity, endpoint and cipher of a peer in its info only', async () => {
    const text = await snapshotText();
    const withAddress = text.split('\n').filter((line) => line.includes('203.0.113.10') || line.includes('cbcbcb'));
    expect(withAddress).toHaveLength(1);
    expect(withAddress[0]).toMatch(/^dtunnel_peer_info\{/);
  });

  it('keeps the config hash exact in a double', async () => {
    const value = series(await snapshotText(), 'dtunnel_config_hash');
    expect(value).toBe(Number(BigInt('0x7f3a000000000')));
    expect(Number.isSafeInteger(value)).toBe(true);
  });

  it('obeys the conservation law of datagrams', async () => {
    const text = await snapshotText();
    const sum = (pattern: RegExp): number =>
      text
        .split('\n')
        .filter((line) => pattern.test(line))
        .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
    expect(sum(/^dtunnel_udp_receive_datagrams_total\{/) + sum(/^dtunnel_udp_extra_records_total\{/)).toBe(
      sum(/^dtunnel_peer_receive_packets_total\{/) +
        sum(/^dtunnel_control_records_total\{/) +
        sum(/^dtunnel_handshake_datagrams_total\{/) +
        sum(/^dtunnel_dropped_packets_total\{.*direction="in"/) +
        sum(/^dtunnel_unattributed_datagrams_total\{/),
    );
  });

  it('shows a drop of an unusual reason, so that sums stay whole', async () => {
    const plane = planeStats({ drops: drops({ in: { loop: 3n } }) });
    expect(
      series(await snapshotText({ plane }), 'dtunnel_dropped_packets_total', { direction: 'in', reason: 'loop' }),
    ).toBe(3);
    expect(
      series(await snapshotText(), 'dtunnel_dropped_packets_total', { direction: 'in', reason: 'loop' }),
    ).toBeUndefined();
  });
});

describe('detail = summary', () => {
  it('keeps six series a peer, and the same totals of drops', async () => {
    const text = await snapshotText({ detail: 'summary' });
    expect(text.split('\n').filter((line) => line.includes('peer="berlin"'))).toHaveLength(6);
    expect(series(text, 'dtunnel_dropped_packets_total', { direction: 'in', reason: 'not_allowed' })).toBe(41);
  });

  it('does not grow beyond them with ten thousand peers', async () => {
    const peers = Array.from({ length: 10_000 }, (_, i) => peerSnapshot({ id: peerId(i), name: `spoke-${i}` }));
    const plane = planeStats({ peers: new Map(peers.map((peer) => [peer.id, peerStats()])) });
    const lines = (await snapshotText({ detail: 'summary', peers, plane })).split('\n').length;
    expect(lines).toBeGreaterThan(60_000);
    expect(lines).toBeLessThan(60_200);
  });

  it('counts events per tunnel', async () => {
    const metrics = new EventMetrics('paris', 'summary');
    await metrics.setPeers(['berlin']);
    metrics.record(failed('berlin', 'timeout'));
    const text = await writeExposition(metrics.families(), 'text');
    expect(series(text, 'dtunnel_handshake_failures_total', { reason: 'timeout' })).toBe(1);
    expect(text).not.toContain('peer=');
  });
});

describe('events', () => {
  it('are counted from a zero that was visible before', async () => {
    const metrics = new EventMetrics('paris', 'full');
    await metrics.setPeers(['berlin']);
    const before = await writeExposition(metrics.families(), 'text');
    expect(series(before, 'dtunnel_handshake_failures_total', { peer: 'berlin', reason: 'timeout' })).toBe(0);
    expect(series(before, 'dtunnel_peer_rtt_seconds_count', { peer: 'berlin' })).toBe(0);
    expect(series(before, 'dtunnel_config_reloads_total', { result: 'rejected' })).toBe(0);
    metrics.record(failed('berlin', 'timeout'));
    metrics.record({ kind: 'probe', peer: 'berlin', result: 'answered', rtt: 14 as Duration });
    metrics.record({ kind: 'probe', peer: 'berlin', result: 'lost', rtt: undefined });
    const { path } = association();
    metrics.record({ kind: 'endpoint-changed', peer: 'berlin', path, reason: 'failover', silence: 1100 as Duration });
    metrics.record({ kind: 'endpoint-changed', peer: 'berlin', path, reason: 'failback', silence: 20 as Duration });
    metrics.record({
      kind: 'handshake-completed',
      peer: 'berlin',
      role: 'client',
      path,
      duration: 31 as Duration,
      suite: 'x',
      retransmissions: 2,
      trigger: 'manual',
      isRekey: true,
    });
    const text = await writeExposition(metrics.families(), 'text');
    expect(series(text, 'dtunnel_handshake_failures_total', { peer: 'berlin', reason: 'timeout' })).toBe(1);
    expect(series(text, 'dtunnel_rekeys_total', { peer: 'berlin', trigger: 'time', result: 'failed' })).toBe(1);
    expect(series(text, 'dtunnel_rekeys_total', { peer: 'berlin', trigger: 'manual', result: 'completed' })).toBe(1);
    expect(series(text, 'dtunnel_handshake_retransmits_total', { peer: 'berlin' })).toBe(2);
    expect(series(text, 'dtunnel_peer_rtt_seconds_sum', { peer: 'berlin' })).toBeCloseTo(0.014, 9);
    expect(series(text, 'dtunnel_peer_probes_total', { peer: 'berlin', result: 'lost' })).toBe(1);
    // Going back to what works again is no failover.
    expect(series(text, 'dtunnel_failover_duration_seconds_count', { peer: 'berlin' })).toBe(1);
    expect(series(text, 'dtunnel_failover_duration_seconds_sum', { peer: 'berlin' })).toBeCloseTo(1.1, 9);
    expect(
      series(text, 'dtunnel_handshake_duration_seconds_bucket', { peer: 'berlin', role: 'client', le: '0.05' }),
    ).toBe(1);
    expect(
      series(text, 'dtunnel_handshake_duration_seconds_bucket', { peer: 'berlin', role: 'client', le: '0.025' }),
    ).toBe(0);
  });

  it('count every datagram that began no handshake under its reason', async () => {
    const metrics = new EventMetrics('paris', 'full');
    const name = 'dtunnel_handshake_datagrams_ignored_total';
    expect(series(await writeExposition(metrics.families(), 'text'), name, { reason: 'starting' })).toBe(0);
    for (const reason of ['starting', 'starting', 'late'] as const)
      metrics.record({ kind: 'handshake-ignored', path: association().path, reason });
    const text = await writeExposition(metrics.families(), 'text');
    expect(series(text, name, { reason: 'starting' })).toBe(2);
    expect(series(text, name, { reason: 'late' })).toBe(1);
    expect(series(text, name, { reason: 'full' })).toBe(0);
  });

  it('names reasons as the contract does', async () => {
    const metrics = new EventMetrics('paris', 'full');
    metrics.record(failed(undefined, 'peer_alert'));
    metrics.record(failed(undefined, 'unknown_fingerprint'));
    const text = await writeExposition(metrics.families(), 'text');
    expect(series(text, 'dtunnel_handshake_failures_total', { reason: 'peer_refused' })).toBe(1);
    expect(series(text, 'dtunnel_handshake_failures_total', { reason: 'unknown_fingerprint' })).toBe(1);
  });

  it('go on counting when the peers are set again, as every reload does', async () => {
    for (const detail of ['full', 'summary'] as const) {
      const metrics = new EventMetrics('paris', detail);
      await metrics.setPeers(['berlin']);
      metrics.record({ kind: 'probe', peer: 'berlin', result: 'answered', rtt: 14 as Duration });
      await metrics.setPeers(['berlin', 'lyon']);
      const text = await writeExposition(metrics.families(), 'text');
      const labels = detail === 'full' ? { peer: 'berlin' } : {};
      expect(series(text, 'dtunnel_peer_probes_total', { ...labels, result: 'answered' }), detail).toBe(1);
      expect(series(text, 'dtunnel_peer_rtt_seconds_count', labels), detail).toBe(1);
    }
  });

  it('end with their peer, also when a late one comes', async () => {
    const metrics = new EventMetrics('paris', 'full');
    await metrics.setPeers(['berlin', 'lyon']);
    await metrics.setPeers(['lyon']);
    metrics.record(failed('berlin', 'timeout'));
    const text = await writeExposition(metrics.families(), 'text');
    expect(text).not.toContain('berlin');
    expect(series(text, 'dtunnel_handshake_failures_total', { peer: 'lyon', reason: 'timeout' })).toBe(0);
  });
});

describe('exposition', () => {
  it('escapes labels and help, and writes infinities as both formats want', async () => {
    const family = {
      name: 'x_total',
      help: 'a "b" \\ c\nd',
      kind: 'counter',
      samples: [{ labels: { l: 'a"b\\c\nd' }, value: Number.POSITIVE_INFINITY }],
    } as const;
    expect(await writeExposition([family], 'text')).toBe(
      '# HELP x_total a "b" \\\\ c\\nd\n# TYPE x_total counter\nx_total{l="a\\"b\\\\c\\nd"} +Inf\n',
    );
    expect(await writeExposition([family], 'openmetrics')).toBe(
      '# HELP x a \\"b\\" \\\\ c\\nd\n# TYPE x counter\nx_total{l="a\\"b\\\\c\\nd"} +Inf\n# EOF\n',
    );
  });

  it.each([
    [undefined, 'text'],
    ['*/*', 'text'],
    ['application/openmetrics-text; version=1.0.0,text/plain;q=0.5', 'openmetrics'],
    ['text/plain, application/openmetrics-text;q=0', 'text'],
  ] as const)('answers Accept: %s with %s', (accept, format) => {
    expect(negotiate(accept)).toBe(format);
  });

  it('is what promtool accepts', async (context) => {
    const events = new EventMetrics('paris', 'full');
    await events.setPeers(['berlin']);
    events.logged('info');
    const text = await new MetricsRegistry(events, () => input()).expose('text');
    const check = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    if (check.error !== undefined) context.skip('promtool is not installed (Debian: prometheus)');
    expect(`${check.stdout}${check.stderr}`).toBe('');
    expect(check.status).toBe(0);
  });

  it('does not change names in one format because the other was asked for', async () => {
    const registry = new MetricsRegistry(new EventMetrics('paris', 'full'), () => input());
    const names = (text: string): readonly string[] =>
      text
        .split('\n')
        .filter((line) => line.startsWith('# TYPE'))
        .sort();
    const before = names(await registry.expose('text'));
    expect(names(await registry.expose('openmetrics'))).not.toEqual(before);
    expect(names(await registry.expose('text'))).toEqual(before);
  });
});

describe('the metrics of the process', () => {
  it('do not wake it: no timer measures the lag between scrapes', async () => {
    const monitor = vi.spyOn(perfHooks, 'monitorEventLoopDelay');
    const text = await new MetricsRegistry(new EventMetrics('paris', 'full'), input).expose('text');
    expect(monitor).toHaveBeenCalled();
    expect(monitor.mock.calls.every(([options]) => Number(options?.resolution) >= 3_600_000)).toBe(true);
    expect(text).toMatch(/^nodejs_eventloop_lag_seconds /m);
    expect(text).toMatch(/^process_cpu_seconds_total /m);
    expect(text).not.toMatch(/^nodejs_eventloop_lag_(?!seconds )/m);
    monitor.mockRestore();
  });
});

describe('time stamps', () => {
  it('come from the monotonic instant they were taken at', async () => {
    const text = await snapshotText({
      peers: [peerSnapshot({ association: association({ establishedAt: at(7_000) }) })],
    });
    expect(series(text, 'dtunnel_key_installed_timestamp_seconds', { peer: 'berlin' })).toBe(1_700_000_007);
  });
});
