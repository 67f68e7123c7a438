import { describe, expect, it } from 'vitest';
import { type Fingerprint, type Instant, ms } from '../../src/base/brand.ts';
import type { PeerSettings } from '../../src/config/settings.ts';
import { Tunnel } from '../../src/tunnel/tunnel.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { interfaceSettings, peerSettings } from '../support/world.ts';
import { BERLIN, QUICK } from './sites.ts';

const COUNT = 10_000;

const peers: readonly PeerSettings[] = Array.from({ length: COUNT }, (_, i) =>
  peerSettings({
    name: `peer-${i}`,
    fingerprints: [i.toString(16).padStart(64, '0') as Fingerprint],
    allowedIps: [`10.${i >> 8}.${i & 255}.0/24`],
    endpoints: i % 2 === 0 ? [] : [`198.18.${i >> 8}.${i & 255}:4433`],
  }),
);

function tunnelWith(settings: readonly PeerSettings[]): Tunnel {
  return new Tunnel({
    settings: { interface: interfaceSettings(), peers: settings },
    identity: BERLIN,
    crypto: new SeededRandom(1),
    session: () => undefined,
    changed: () => [],
    wallClock: () => 1.8e9,
    engines: QUICK.engines,
  });
}

function drain(tunnel: Tunnel): number {
  let effects = 0;
  while (tunnel.poll() !== undefined) effects++;
  return effects;
}

describe('ten thousand peers', () => {
  it("are called, looked at and reloaded without one standing in another's way", { timeout: 300_000 }, () => {
    const tunnel = tunnelWith(peers);
    tunnel.start(0 as Instant);
    expect(drain(tunnel)).toBeGreaterThan(COUNT);
    let ticks = 0;
    while (tunnel.deadline !== undefined && tunnel.deadline <= 5000) {
      tunnel.tick(tunnel.deadline);
      drain(tunnel);
      ticks++;
    }
    // Retransmissions of 5,000 hellos that nobody answers: a few per peer, however many peers there are.
    expect(ticks).toBeGreaterThan(3);
    expect(ticks).toBeLessThan(10 * COUNT);
    expect(tunnel.snapshot(5000 as Instant).length).toBe(COUNT);
    tunnel.reload({ interface: interfaceSettings(), peers: peers.slice(0, COUNT - 1) }, BERLIN, 5001 as Instant);
    drain(tunnel);
    expect(tunnel.snapshot(5002 as Instant).length).toBe(COUNT - 1);
  });

  it('an input that concerns one of them touches only that one', () => {
    const tunnel = tunnelWith(peers);
    tunnel.start(0 as Instant);
    drain(tunnel);
    expect(tunnel.rekey('peer-5000', 10 as Instant)).toBe(true);
    expect(drain(tunnel)).toBeLessThan(5);
    const path = { remote: { address: '198.18.0.1' as never, port: 4433 }, local: undefined };
    for (let i = 0; i < 1000; i++) tunnel.datagram(path, Uint8Array.of(22, 0xfe, 0xfd, 0, 0), ms(20) as never);
    expect(drain(tunnel)).toBe(0);
  });
});
