import type { PeerStatus, StatusDocument } from '../../src/control/status.ts';

/** The status of paris as in the documentation: one peer, up for hours. Times are fixed. */
export function exampleStatus(over: Partial<StatusDocument> = {}): StatusDocument {
  return {
    schema: 'dtunnel.status/1',
    time: '2026-11-22T23:14:07.120Z',
    tunnel: {
      name: 'paris',
      state: 'up',
      since: '2026-11-22T20:02:01.004Z',
      startedAt: '2026-11-22T20:02:00.900Z',
      configHash: '7f3a000000000000000000000000000000000000000000000000000000000000',
      configFile: '/etc/dtunnel/paris.conf',
      generation: 2,
      reloadedAt: '2026-11-22T21:14:01.000Z',
      draining: false,
      device: 'dt-paris',
      deviceMtuBytes: 1430,
      addresses: ['172.31.0.2/30', 'fd31::2/126'],
      listening: [{ address: '0.0.0.0', port: 41641 }],
      fingerprint: colonHex('89'),
      certificate: { notAfter: '2036-11-20T00:00:00.000Z' },
      pid: 812,
      version: '0.1.0',
      dataPlane: { aead: 'openssl', offloads: ['tun-tso', 'udp-gro'], cpuSeconds: 12.5 },
    },
    peers: [examplePeer()],
    health: [],
    ...over,
  };
}

/** Its peer berlin. */
export function examplePeer(over: Partial<PeerStatus> = {}): PeerStatus {
  return {
    name: 'berlin',
    state: 'up',
    since: '2026-11-22T20:02:01.004Z',
    up: true,
    fingerprint: colonHex('cb'),
    fingerprints: [colonHex('cb')],
    allowedIps: ['172.31.0.1/32', 'fd31::1/128', '10.1.0.0/16'],
    priority: 100,
    endpoint: { address: '203.0.113.10', port: 4433, index: 0, host: 'vpn.berlin.example.net' },
    endpoints: [
      { host: 'vpn.berlin.example.net', port: 4433, addresses: ['203.0.113.10'], active: true },
      { host: '198.51.100.7', port: 4433, addresses: ['198.51.100.7'], active: false },
    ],
    handshake: {
      at: '2026-11-22T23:02:07.000Z',
      durationSeconds: 0.031,
      cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256',
      group: 'x25519',
      role: 'client',
      protocol: 'dtunnel/1',
      connectionIds: true,
    },
    rekey: { inSeconds: 2880, afterBytes: 259845521408, keyUsageRatio: 0.004 },
    path: {
      mtuBytes: 1500,
      innerMtuBytes: 1430,
      rttSeconds: 0.0141,
      rttP99Seconds: 0.017,
      jitterSeconds: 0.0006,
      lossRatio: 0,
      reorderedPackets: 3,
    },
    certificate: { notAfter: '2036-11-20T00:00:00.000Z' },
    lastReceive: '2026-11-22T23:14:07.000Z',
    transfer: {
      receiveBytes: 19541893120,
      transmitBytes: 2254857830,
      receivePackets: 13902118,
      transmitPackets: 4118023,
    },
    drops: { replay: 0, bad_mac: 0, not_allowed: 41, too_big: 0, queue_full: 0 },
    ...over,
  };
}

function colonHex(first: string): string {
  return [first, ...Array.from({ length: 31 }, (_, i) => (i + 16).toString(16))].join(':');
}
