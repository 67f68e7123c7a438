import { describe, expect, it } from 'vitest';
import type { Epoch, SequenceNumber } from '../../../src/base/brand.ts';
import { sealRecord } from '../../../src/dtls/protection.ts';
import { recordsIn, writeRecord } from '../../../src/dtls/record.ts';
import { BadClient } from '../../support/bad-peer.ts';
import { Pair } from '../../support/pair.ts';

/** Hazards of section F: connection ids (RFC 9146). */

const OURS = new Uint8Array([0xa1, 0xa2, 0xa3, 0xa4]);
const THEIRS = new Uint8Array([0xb1, 0xb2]);

/** A client whose server carries `THEIRS` and wants `OURS`, established. */
function established(offer = true): BadClient {
  const peer = new BadClient({ connectionId: OURS });
  const { extensions } = peer.hello;
  if (offer) {
    peer.sealId = OURS;
    peer.ourIdLength = THEIRS.length;
    peer.greet({ extensions: [...extensions, { type: 'connection_id', id: THEIRS }] });
  } else {
    peer.greet();
  }
  peer.completeProperly();
  if (peer.side.session?.connectionIds !== offer) throw new Error('not as agreed');
  return peer;
}

/** A protected record with any type, id and contents. */
function sealed(
  peer: BadClient,
  id: Uint8Array,
  contentType: number,
  fragment: Uint8Array,
  sequence: number,
): Uint8Array {
  if (peer.keys === undefined) throw new Error('no keys');
  return sealRecord(peer.keys.write, 1 as Epoch, sequence as SequenceNumber, id, contentType, fragment);
}

const text = (payload: string) => new TextEncoder().encode(payload);

describe('H55 which address a record came from', () => {
  it('is the business of the driver: the engine delivers an older record and a newer one alike, once', () => {
    // The engine never sees addresses; roaming (newest authentic record, return routability) is tested with the tunnel.
    const peer = established();
    peer.deliver(sealed(peer, OURS, 23, text('newer'), 50));
    peer.deliver(sealed(peer, OURS, 23, text('older'), 40));
    peer.deliver(sealed(peer, OURS, 23, text('older'), 40));
    expect(peer.side.texts).toEqual(['newer', 'older']);
  });
});

describe('H56 records of another form than was agreed', () => {
  it('an id was agreed: types 20 to 24 without it are dropped', () => {
    const peer = established();
    for (let type = 20; type <= 24; type++) {
      peer.deliver(sealed(peer, new Uint8Array(0), type, text('no id'), 60 + type));
      // Type 25 rewritten to look like any other.
      const disguised = sealed(peer, OURS, 23, text('disguised'), 90 + type);
      disguised[0] = type;
      peer.deliver(disguised);
    }
    expect(peer.side.received).toEqual([]);
    expect(peer.side.connection.drops.connection_id).toBeGreaterThanOrEqual(5);
    peer.deliver(sealed(peer, OURS, 23, text('with id'), 200));
    expect(peer.side.texts).toEqual(['with id']);
  });

  it.each([
    ['another id', new Uint8Array([1, 2, 3, 4])],
    ['a shorter one', OURS.slice(0, 3)],
    ['a longer one', new Uint8Array([...OURS, 0])],
  ])('%s is dropped', (_what, id) => {
    const peer = established();
    peer.deliver(sealed(peer, id, 23, text('wrong id'), 70));
    expect(peer.side.received).toEqual([]);
  });

  it('none was agreed: type 25 is dropped, and in clear always', () => {
    const without = established(false);
    without.deliver(sealed(without, OURS, 23, text('id'), 70));
    expect(without.side.received).toEqual([]);
    for (const peer of [without, established()]) {
      const header = { type: 25, version: 0xfefd, epoch: 0 as Epoch, sequence: 9 as SequenceNumber };
      peer.deliver(writeRecord({ ...header, connectionId: OURS, fragment: text('clear') }));
      expect(peer.side.received).toEqual([]);
      expect(peer.closed).toBeUndefined();
    }
  });
});

describe('H57 ids of unequal lengths (CVE-2022-46393)', () => {
  const lengths = [0, 1, 8, 32, 255];
  it.each(lengths.flatMap((a) => lengths.map((b) => [a, b] as const)))(
    '%i and %i octets carry data at the full size',
    (a, b) => {
      const pair = new Pair({
        client: { connectionId: new Uint8Array(a).fill(1), maxDatagram: 1000 },
        server: { connectionId: new Uint8Array(b).fill(2), maxDatagram: 1000 },
      }).connect();
      expect(pair.client.session?.connectionIds).toBe(true);
      for (const [from, to, idLength] of [
        ['client', pair.accepted, b],
        ['server', pair.client, a],
      ] as const) {
        const side = from === 'client' ? pair.client : pair.accepted;
        const overhead = 13 + 8 + 16 + (idLength > 0 ? idLength + 1 : 0);
        const full = new Uint8Array(1000 - overhead).fill(0x61);
        expect(side.connection.send(new Uint8Array(full.length + 1))).toBe(false);
        expect(side.connection.send(full)).toBe(true);
        pair.drain();
        const way = from === 'client' ? pair.link.toServer : pair.link.toClient;
        const last = way.log.at(-1) ?? new Uint8Array(0);
        expect(last).toHaveLength(1000);
        expect(last[0]).toBe(idLength > 0 ? 25 : 23);
        pair.drive(() => false, 100);
        expect(to.received.at(-1)).toEqual(full);
      }
    },
  );
});

describe('H58 what is inside (RFC 9146 §4)', () => {
  it('zeros alone hold no type and are dropped', () => {
    const peer = established();
    for (const length of [0, 1, 50, 255]) peer.deliver(sealed(peer, OURS, 0, new Uint8Array(length), 100 + length));
    expect(peer.side.connection.drops.bad_mac).toBe(4);
    expect(peer.closed).toBeUndefined();
  });

  it('1 to 255 zeros of padding are taken off', () => {
    const peer = established();
    for (let padding = 1; padding <= 255; padding += 2) {
      // Contents, true type, zeros; the last zero stands where the type of an unpadded record is.
      const inner = new Uint8Array([...text(`${padding}`), 23, ...new Uint8Array(padding - 1)]);
      peer.deliver(sealed(peer, OURS, 0, inner, 100 + padding));
    }
    expect(peer.side.texts).toEqual(Array.from({ length: 128 }, (_, i) => `${2 * i + 1}`));
  });

  it('inner types 20 to 23 are handled as such, others dropped', () => {
    const peer = established();
    for (const type of [20, 24, 25, 26, 255]) peer.deliver(sealed(peer, OURS, type, text('x'), 100 + type));
    expect(peer.side.connection.drops.content_type).toBe(5);
    peer.deliver(sealed(peer, OURS, 21, new Uint8Array([1, 90]), 400));
    expect(peer.closed).toBeUndefined();
    peer.deliver(sealed(peer, OURS, 21, new Uint8Array([1, 0]), 401));
    expect(peer.closed).toMatchObject({ code: 'closed', by: 'peer' });
  });
});

describe('H59 ids in one hello and not in the other', () => {
  it.each([true, false])('the server follows the second (id in the second: %s)', (inSecond) => {
    const peer = new BadClient({ connectionId: OURS });
    const { extensions } = peer.hello;
    const withId = { ...peer.hello, extensions: [...extensions, { type: 'connection_id' as const, id: THEIRS }] };
    const [first, second] = inSecond ? [peer.hello, withId] : [withId, peer.hello];
    const cookie = peer.cookieFor(first);
    expect(peer.knock({ ...second, cookie }).kind).toBe('accept');
    peer.greet(second);
    const answered = peer.latest('server_hello').extensions.some(({ type }) => type === 'connection_id');
    expect(answered).toBe(inSecond);
  });

  it('our client offers the same both times', () => {
    const pair = new Pair({ client: { connectionId: OURS } });
    pair.drive(() => pair.link.toServer.log.length > 1);
    const [first, second] = pair.link.toServer.log.map((datagram) => Buffer.from(datagram).toString('latin1'));
    const extension = Buffer.from([0, 54, 0, 5, 4, ...OURS]).toString('latin1');
    expect(first).toContain(extension);
    expect(second).toContain(extension);
  });
});

describe('H60 an id of another association', () => {
  it('opens nothing and changes nothing in either', () => {
    const [a, b] = [established(), established()];
    const captured = sealed(a, OURS, 23, text('for a'), 50);
    b.deliver(captured);
    expect(b.side.received).toEqual([]);
    expect(b.side.connection.drops.bad_mac).toBe(1);
    a.deliver(captured);
    expect(a.side.texts).toEqual(['for a']);
    for (const record of recordsIn(captured, OURS.length)) expect(record?.connectionId).toEqual(OURS);
  });
});
