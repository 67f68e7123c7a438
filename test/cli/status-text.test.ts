import { describe, expect, it } from 'vitest';
import { picture, sparkline } from '../../src/cli/commands/top.ts';
import { doctorText } from '../../src/cli/commands/doctor.ts';
import { judge } from '../../src/cli/examine.ts';
import { peerText, tunnelText, upLine } from '../../src/cli/status-text.ts';
import type { Fingerprint } from '../../src/base/brand.ts';
import type { CloseReason } from '../../src/dtls/effects.ts';
import { examplePeer, exampleStatus } from '../support/status-example.ts';
import { testIdentity } from '../support/daemon-bench.ts';
import { address, peerSettings } from '../support/world.ts';

const PLAIN = { colour: false, unicode: true } as const;

describe('status', () => {
  it('of a tunnel has a head, a line per peer and its health', () => {
    expect(
      tunnelText(exampleStatus(), PLAIN),
    ).toBe(`● paris  up 3 h 12 min                       listening 41641  1 peer  config 7f3a (reloaded 2 h ago)

  PEER    STATE  ENDPOINT           SINCE    HANDSHAKE  RTT      LOSS   PATH-MTU  RECEIVED  SENT
  berlin  up     203.0.113.10:4433  3 h ago  12 min     14.1 ms  0.0 %  1500      18.2 GiB  2.10 GiB

  health: ok
`);
  });

  it('shows what is not known as such, and what is wrong', () => {
    const {
      endpoint: _e,
      handshake: _h,
      rekey: _r,
      path: _p,
      certificate: _c,
      ...known
    } = examplePeer({ state: 'connecting', up: false });
    const status = exampleStatus({
      peers: [known],
      health: [
        { code: 'peer-down', peer: 'berlin', text: 'it does not answer' },
        { code: 'x', text: 'y' },
      ],
    });
    const text = tunnelText(status, PLAIN);
    expect(text).toContain(
      '  berlin  connecting  –         3 h ago  –          –    –     –         18.2 GiB  2.10 GiB\n',
    );
    expect(text).toContain('  health: berlin: it does not answer\n          y\n');
  });

  it('of a peer has everything, a fact a line', () => {
    expect(peerText(exampleStatus(), examplePeer(), PLAIN)).toBe(`● berlin  up 3 h 12 min  via endpoint 1 of 2
        fingerprint  cb:10:11:12:…:2d:2e   (certificate expires in 10 y)
           endpoint  203.0.113.10:4433  (vpn.berlin.example.net)
            standby  198.51.100.7:4433
          handshake  12 min ago, 31.0 ms   next rekey in 48 min or 242 GiB
             cipher  ECDHE-ECDSA-AES128-GCM-SHA256  x25519  key use 0.4 %
               path  mtu 1500 (inner 1430)  rtt 14.1 ms  p99 17.0 ms  jitter 0.60 ms  loss 0.00 %  reordered 3
        allowed ips  172.31.0.1/32 fd31::1/128 10.1.0.0/16
           transfer  18.2 GiB received (13,902,118 packets)  2.10 GiB sent (4,118,023)
            dropped  41  (replay 0, bad-mac 0, not-allowed 41, too-big 0, queue-full 0)
`);
  });

  it('says with both values why a handshake failed', () => {
    const lastFailure = {
      at: '2026-11-22T23:14:00.120Z',
      reason: 'unknown_fingerprint',
      by: 'peer',
      seen: '89:10',
      expected: '12:aa',
    } as const;
    expect(peerText(exampleStatus(), examplePeer({ lastFailure, nextAttemptInSeconds: 12 }), PLAIN)).toContain(
      '       last failure  unknown fingerprint (by the peer) 7 s ago  saw 89:10  expected 12:aa  next attempt in 12 s\n',
    );
  });

  it('is ASCII where the terminal shows nothing else', () => {
    const text = tunnelText(exampleStatus(), { colour: false, unicode: false });
    expect(Array.from(text).every((c) => c.charCodeAt(0) < 128)).toBe(true);
    expect(text.startsWith('* paris')).toBe(true);
  });

  it('has colours only when they were asked for', () => {
    expect(tunnelText(exampleStatus(), PLAIN)).not.toContain('\u001b');
    expect(tunnelText(exampleStatus(), { colour: true, unicode: true })).toContain('\u001b[32mup\u001b[0m');
  });
});

describe('up', () => {
  it('ends with one line that says what is up and how good it is', () => {
    expect(upLine(exampleStatus(), examplePeer(), 0.046, PLAIN)).toBe(
      '● paris up in 46 ms   berlin 203.0.113.10:4433  AES128-GCM  rtt 14.1 ms  path-mtu 1500\n',
    );
  });
});

describe('top', () => {
  it('shows rates between two looks, CPU per packet, and drops', () => {
    const later = exampleStatus({ time: '2026-11-22T23:14:09.120Z' });
    const { transfer } = examplePeer();
    const moved = examplePeer({
      transfer: {
        receiveBytes: transfer.receiveBytes + 1e9,
        transmitBytes: transfer.transmitBytes + 5e6,
        receivePackets: transfer.receivePackets + 900_000,
        transmitPackets: transfer.transmitPackets + 100_000,
      },
      drops: { not_allowed: 61, replay: 0 },
    });
    const now = {
      ...later,
      tunnel: { ...later.tunnel, dataPlane: { ...later.tunnel.dataPlane, cpuSeconds: 14.5 } },
      peers: [moved],
    };
    const text = picture(new Map([['paris', exampleStatus()]]), new Map([['paris', now]]), new Map(), PLAIN);
    expect(text).toContain('● paris  up  cpu 100 %  2000 ns/packet\n');
    expect(text).toMatch(/berlin {2}up +4\.00 Gb\/s +450 kpps +20\.0 Mb\/s +50\.0 kpps +14\.1 ms +0\.0 % +10 {2}█\n/);
  });

  it('says so when nothing runs', () => {
    expect(picture(new Map(), new Map(), new Map(), PLAIN)).toBe('no tunnel is running\n');
  });

  it('draws from nothing to the largest', () => {
    expect(sparkline([0, 1, 2, 4, 8])).toBe('▁▂▃▅█');
    expect(sparkline([0, 0])).toBe('▁▁');
  });
});

describe('doctor', () => {
  const peer = peerSettings({
    name: 'berlin',
    fingerprints: ['cb'.repeat(32) as Fingerprint],
    allowedIps: ['10.1.0.0/16'],
  });
  const result = {
    endpoint: { address: address('203.0.113.10'), port: 4433 },
    fingerprint: 'cb'.repeat(32) as Fingerprint,
    cookieRttMs: 14,
    handshakeMs: undefined,
    sent: [151, 172],
    received: [49],
  } as const;
  const reason: CloseReason = { code: 'peer_alert', by: 'peer', alert: 49, seen: 'access_denied', expected: undefined };

  it('knows a silent endpoint, a stranger, and a peer that does not know us', async () => {
    const own = await testIdentity('paris');
    const knock = { isStranger: false, own };
    expect(judge(peer, 'b:1', { ...result, outcome: { kind: 'silent' } }, knock)).toMatchObject({
      verdict: 'bad',
      what: 'UDP b:1 (peer berlin): nobody answered',
    });
    const stranger = {
      ...result,
      fingerprint: '12'.repeat(32) as Fingerprint,
      outcome: { kind: 'closed', reason },
    } as const;
    expect(judge(peer, 'b:1', stranger, knock)).toMatchObject({
      verdict: 'bad',
      what: 'b:1 is not berlin: it shows another certificate',
    });
    const rejected = judge(peer, 'b:1', { ...result, outcome: { kind: 'closed', reason } }, knock);
    expect(rejected).toMatchObject({ verdict: 'bad', what: 'peer berlin rejected us: peer alert' });
    expect(rejected.detail.join('\n')).toContain(own.fingerprint.match(/../g)?.join(':') ?? '?');
    // Presented as a stranger, being rejected is as it should be.
    expect(judge(peer, 'b:1', { ...result, outcome: { kind: 'closed', reason } }, { isStranger: true, own })).toEqual({
      what: 'UDP b:1 reachable (cookie answered in 14.0 ms)',
      verdict: 'good',
      detail: [],
    });
  });

  it('puts what is good together and what is not on lines of its own', () => {
    const text = doctorText(
      [
        { what: 'config', verdict: 'good', detail: [] },
        { what: 'key permissions', verdict: 'good', detail: [] },
        { what: 'peer berlin rejected us', verdict: 'bad', detail: ['fix: on berlin …'] },
        { what: 'clock', verdict: 'good', detail: [] },
      ],
      PLAIN,
    );
    expect(text).toBe('✓ config     ✓ key permissions\n✗ peer berlin rejected us\n    fix: on berlin …\n✓ clock\n');
  });
});
