import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PlanePair } from './support/pair.ts';
import { unable } from './support/rig.ts';

const reason = unable();
if (reason !== undefined) console.log(`native planes skipped: ${reason}`);

const flavours = [
  { tag: 'p1', aead: 'aes-128-gcm', ids: true, outer: 4 },
  { tag: 'p2', aead: 'aes-256-gcm', ids: false, outer: 6 },
  { tag: 'p3', aead: 'chacha20-poly1305', ids: true, outer: 6 },
  { tag: 'p4', aead: 'chacha20-poly1305', ids: false, outer: 4 },
] as const;

describe.skipIf(reason !== undefined).each(flavours)('two planes, $aead, ids $ids, IPv$outer outside', (flavour) => {
  let pair: PlanePair;
  beforeAll(async () => {
    pair = await PlanePair.open(flavour);
  });
  afterAll(() => pair?.close());

  it('carry IPv4 and IPv6 pings', async () => {
    for (const address of ['192.168.77.2', 'fd78::2']) {
      const report = await pair.a.icmpEcho(address, { count: 5, interval: 10 as never });
      expect(report.rttMs).toHaveLength(5);
    }
  });
});
