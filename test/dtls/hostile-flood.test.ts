import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/base/brand.ts';
import { Listener } from '../../src/dtls/listener.ts';
import { BadClient, BadServer } from '../support/bad-peer.ts';
import { heapAfterCollection } from '../support/heap.ts';
import { CLIENT_ADDRESS, Pair } from '../support/pair.ts';
import { SeededRandom } from '../support/seeded-random.ts';

/** Datagrams to each of the four that are attacked: a million in all. */
const EACH = 250_000;

/** What arrives while somebody who sees the traffic, but has no keys, does what he likes. */
function* hostile(seed: number, count: number): Generator<Uint8Array> {
  const random = new SeededRandom(seed);
  const genuine = new Pair({ client: { maxDatagram: 300 }, server: { maxDatagram: 300 } }).connect().link;
  const models = [...genuine.toServer.log, ...genuine.toClient.log];
  for (let i = 0; i < count; i++) {
    const model = models[random.below(models.length)] ?? new Uint8Array(0);
    const kind = i % 4;
    if (kind === 0) {
      yield random.random(random.below(120));
      continue;
    }
    const changed = kind === 1 ? model.slice(0, random.below(model.length + 1)) : model.slice();
    for (let n = random.below(4); n >= 0 && changed.length > 0; n--) {
      // Mostly in the headers, where it tells.
      const at = random.below(random.chance(0.7) ? Math.min(25, changed.length) : changed.length);
      changed[at] = random.below(256);
    }
    yield changed;
  }
}

/** Feeds all of them; yields by how much the heap grew after the first tenth. */
function flood(seed: number, feed: (datagram: Uint8Array) => void): number {
  let count = 0;
  let before = 0;
  for (const datagram of hostile(seed, EACH)) {
    if (count++ === EACH / 10) before = heapAfterCollection();
    feed(datagram);
  }
  return heapAfterCollection() - before;
}

const FLAT = 2 * 2 ** 20;

describe('a million hostile datagrams', { timeout: 600_000 }, () => {
  it('at the front door leave no memory behind, and nobody is kept out', () => {
    const listener = new Listener({ crypto: new SeededRandom(1) });
    let now = 1000;
    const grown = flood(1, (datagram) => {
      now += 0.1;
      listener.receive(CLIENT_ADDRESS, datagram, now as Instant);
    });
    expect(grown).toBeLessThan(FLAT);
    const peer = new BadClient();
    expect(listener.receive(CLIENT_ADDRESS, peer.record(22, peer.message(peer.hello)), now as Instant).kind).toBe(
      'challenge',
    );
  });

  it('at handshakes under way leave no memory behind: each is bounded, and is over in its time', () => {
    let peer: BadClient | BadServer | undefined;
    let left = 0;
    let handshakes = 0;
    const grown = flood(2, (datagram) => {
      if (peer === undefined || left-- === 0 || peer.closed !== undefined) {
        handshakes++;
        peer = handshakes % 2 === 0 ? new BadServer() : new BadClient();
        if (peer instanceof BadClient) peer.greet();
        left = 500;
      }
      peer.side.connection.receive(datagram, peer.now);
      peer.collect();
      peer.received.length = 0;
    });
    expect(handshakes).toBeGreaterThan(EACH / 501);
    expect(grown).toBeLessThan(FLAT);
  });

  it.each(['client', 'server'] as const)(
    'at an established %s leave no memory behind, and data still passes',
    (role) => {
      const pair = new Pair().connect();
      const side = role === 'client' ? pair.client : pair.accepted;
      const grown = flood(3, (datagram) => {
        side.connection.receive(datagram, pair.clock.now);
        pair.drain();
        side.effects.length = 0;
      });
      expect(grown).toBeLessThan(FLAT);
      expect(side.closed).toBeUndefined();
      expect(side.received).toEqual([]);
      pair.say(role === 'client' ? 'server' : 'client', 'still here');
      pair.drive(() => false, 1000);
      expect(side.texts).toEqual(['still here']);
    },
  );
});
