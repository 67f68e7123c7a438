import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PlaneEvent } from '../../src/plane/plane.ts';
import { connectionId, expectConservation, PEER, PlanePair, SLOT_A, SLOT_B, testKeys } from './support/pair.ts';
import { unable } from './support/rig.ts';

const reason = unable();
if (reason !== undefined) console.log(`native planes under attack skipped: ${reason}`);

type Sent = readonly { readonly data: Uint8Array; readonly port: number }[];

/** A control message, and the IPv4 header of a packet from an address nobody may send from. */
const CONTROL = Uint8Array.of(1, 2, 3, 4);
const ALERT = Uint8Array.of(2, 40);

function record(
  type: number,
  epoch: number,
  sequence: number,
  body: Uint8Array,
  id: readonly number[] = [],
): Uint8Array {
  const out = new Uint8Array(13 + id.length + body.length);
  const view = new DataView(out.buffer);
  out.set([type, 0xfe, 0xfd]);
  view.setUint16(3, epoch);
  view.setUint16(5, Math.floor(sequence / 2 ** 32));
  view.setUint32(7, sequence % 2 ** 32);
  out.set(id, 11);
  view.setUint16(11 + id.length, body.length);
  out.set(body, 13 + id.length);
  return out;
}

describe.skipIf(reason !== undefined).each([{ ids: true }, { ids: false }])(
  'hostile datagrams, ids $ids',
  ({ ids }) => {
    let pair: PlanePair;
    let attacker: number;
    /** Records of A that A sealed but that went to the attacker instead of B. */
    const captured: Uint8Array[] = [];

    beforeAll(async () => {
      pair = await PlanePair.open({ tag: ids ? 'h1' : 'h2', ids });
      attacker = (await pair.hostA.call('udpOpen', '10.77.0.1', 0)) as number;
      for (let i = 0; i < 40; i++) {
        await pair.a.call('sealAndSend', SLOT_A, 23, CONTROL, {
          remote: { address: '10.77.0.1', port: attacker },
          local: undefined,
        });
      }
      await vi.waitFor(async () => expect(await pair.hostA.call('udpCount', attacker)).toBe(40));
      captured.push(...((await pair.hostA.call('udpTake', attacker)) as Sent).map(({ data }) => data));
    });
    afterAll(() => pair?.close());

    const send = (data: Uint8Array): Promise<unknown> =>
      pair.hostA.call('udpSend', attacker, data, pair.portB, '10.77.0.2');
    const drops = async (): Promise<Record<string, number>> => {
      const peer = (await pair.b.stats()).peers.get(PEER);
      return Object.fromEntries(Object.entries(peer?.drops.in ?? {}).map(([name, count]) => [name, Number(count)]));
    };
    const unattributed = async (): Promise<Record<string, number>> =>
      Object.fromEntries(Object.entries((await pair.b.stats()).unattributed).map(([name, n]) => [name, Number(n)]));
    const records = (): (PlaneEvent & { kind: 'record' })[] => pair.b.events.filter((event) => event.kind === 'record');
    /** For ids: false records are found by address, so the attacker must speak from A's own port: let A's plane send. */
    const fromA = (data: Uint8Array): Promise<unknown> =>
      pair.a.call('sendDatagram', { remote: { address: '10.77.0.2', port: pair.portB }, local: undefined }, data);

    it('delivers a record once however often it is replayed (H27)', async () => {
      for (let i = 0; i < 100; i++) await fromA(captured[0] ?? new Uint8Array());
      await expect.poll(async () => (await drops())['replay']).toBe(99);
      expect(records()).toHaveLength(1);
      expect(records()[0]).toMatchObject({ slot: SLOT_B, contentType: 23, newest: true });
      expect(records()[0]?.fragment).toEqual(CONTROL);
      expect(pair.b.events.filter((event) => event.kind === 'confirmed')).toHaveLength(1);
    });

    it('accepts an older record inside the window, once, and says that it is not the newest', async () => {
      await fromA(captured[9] ?? new Uint8Array());
      await fromA(captured[5] ?? new Uint8Array());
      await fromA(captured[5] ?? new Uint8Array());
      await expect.poll(() => records().map((event) => event.newest)).toEqual([true, true, false]);
      expect((await pair.b.stats()).peers.get(PEER)?.reordered).toBe(1n);
    });

    it('drops every record with any octet changed, and moves nothing (H13)', async () => {
      const genuine = captured[20] ?? new Uint8Array();
      const before = await drops();
      const body = 13 + (ids ? 8 : 0);
      let sent = 0;
      for (let at = body; at < genuine.length; at++, sent++) {
        const forged = Uint8Array.from(genuine);
        forged[at] = (forged[at] ?? 0) ^ 0x40;
        await fromA(forged);
      }
      // A number far ahead must not close the window for honest ones.
      const ahead = Uint8Array.from(genuine);
      ahead.set([0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], 5);
      await fromA(ahead);
      sent += 1;
      await expect.poll(async () => ((await drops())['bad_mac'] ?? 0) - (before['bad_mac'] ?? 0)).toBe(sent);
      expect(Number((await pair.b.session(SLOT_B))?.failedOpens)).toBe(sent);
      await fromA(genuine);
      await expect.poll(() => records().length).toBe(4);
    });

    it('drops protected records that are too short (H16)', async () => {
      const before = await drops();
      const id = ids ? [...connectionId(SLOT_B)] : [];
      for (let size = 0; size < 24; size++) {
        await fromA(record(ids ? 25 : 23, 1, 5000 + size, new Uint8Array(size), id));
      }
      await expect.poll(async () => ((await drops())['malformed'] ?? 0) - (before['malformed'] ?? 0)).toBe(24);
    });

    it('knows the wrong epoch', async () => {
      const before = { drops: await drops(), handedUp: (await pair.b.stats()).handedUp };
      const genuine = Uint8Array.from(captured[21] ?? new Uint8Array());
      genuine[4] = 2;
      await fromA(genuine);
      // With an id the session is known; without, no session of that epoch is, and the engine hears of it.
      await expect
        .poll(async () => ({
          dropped: ((await drops())['no_key'] ?? 0) - (before.drops['no_key'] ?? 0),
          handedUp: Number((await pair.b.stats()).handedUp - before.handedUp),
        }))
        .toEqual(ids ? { dropped: 1, handedUp: 0 } : { dropped: 0, handedUp: 1 });
    });

    if (ids) {
      it('drops records without id, and with a wrong one, of a session that has ids (H56)', async () => {
        const before = await drops();
        await fromA(record(23, 1, 6000, new Uint8Array(60)));
        await expect.poll(async () => ((await drops())['no_key'] ?? 0) - (before['no_key'] ?? 0)).toBe(1);
        const events = pair.b.events.length;
        const wrong = Uint8Array.from(captured[22] ?? new Uint8Array());
        wrong[18] = (wrong[18] ?? 0) ^ 1;
        await fromA(wrong);
        await expect.poll(() => pair.b.events.length).toBe(events + 1);
        expect(pair.b.events.at(-1)).toMatchObject({ kind: 'datagram' });
        const counted = await unattributed();
        await fromA(record(25, 0, 1, new Uint8Array(60), [...connectionId(SLOT_B)]));
        await expect.poll(async () => ((await drops())['no_key'] ?? 0) - (before['no_key'] ?? 0)).toBe(2);
        expect(await unattributed()).toEqual(counted);
      });
    }

    it('counts what is no DTLS under one reason each (H4, H20)', async () => {
      const before = await unattributed();
      await send(new Uint8Array(0));
      await send(Uint8Array.of(22));
      await send(record(22, 0, 0, new Uint8Array(50)).subarray(0, 40));
      await send(new Uint8Array(500));
      await send(new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n'));
      const version = record(22, 0, 0, new Uint8Array(50));
      version.set([3, 3], 1);
      await send(version);
      await expect
        .poll(async () => {
          const now = await unattributed();
          return Object.fromEntries(Object.entries(now).map(([name, count]) => [name, count - (before[name] ?? 0)]));
        })
        .toEqual({ unknown_session: 0, short: 3, bad_version: 1, not_dtls: 2, flood: 0 });
    });

    it('hands handshake datagrams up with their path', async () => {
      const events = pair.b.events.length;
      const hello = record(22, 0, 0, new Uint8Array(200).fill(7));
      await send(hello);
      await expect.poll(() => pair.b.events.length).toBe(events + 1);
      expect(pair.b.events.at(-1)).toMatchObject({
        kind: 'datagram',
        path: { remote: { address: '10.77.0.1', port: attacker }, local: '10.77.0.2' },
        datagram: hello,
      });
    });

    it('survives a flood of handshake datagrams and counts all of it', async () => {
      const before = await pair.b.stats();
      const hello = record(22, 0, 0, new Uint8Array(1200).fill(7));
      const count = 6000;
      await Promise.all(Array.from({ length: count }, () => send(hello)));
      await expect
        .poll(async () => {
          const now = await pair.b.stats();
          return Number(now.handedUp - before.handedUp + now.unattributed.flood - before.unattributed.flood);
        })
        .toBe(count);
      expect((await pair.hostA.icmpEcho('192.168.77.2', { count: 3, interval: 10 as never })).rttMs).toHaveLength(3);
    });

    it('opens alerts and handshake messages of a live session and hands them up', async () => {
      const before = records().length;
      await pair.a.call('sealAndSend', SLOT_A, 21, ALERT);
      await pair.a.call('sealAndSend', SLOT_A, 22, Uint8Array.of(20, 0, 0, 0));
      await pair.a.call('sealAndSend', SLOT_A, 20, Uint8Array.of(1));
      await expect
        .poll(() =>
          records()
            .slice(before)
            .map((event) => event.contentType),
        )
        .toEqual([21, 22, 20]);
      expect(records().at(-3)?.fragment).toEqual(ALERT);
    });

    it('refuses packets from addresses the peer may not use, and octets that are no packet', async () => {
      const before = await drops();
      const packet = new Uint8Array(28);
      packet.set([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 172, 16, 0, 1, 192, 168, 77, 2]);
      await pair.a.call('sealAndSend', SLOT_A, 23, packet);
      await pair.a.call('sealAndSend', SLOT_A, 23, Uint8Array.of(0x45, 1, 2));
      await pair.a.call('sealAndSend', SLOT_A, 23, Uint8Array.of(0x99, 1, 2));
      await expect
        .poll(async () => {
          const now = await drops();
          return [now['not_allowed'], (now['malformed'] ?? 0) - (before['malformed'] ?? 0)];
        })
        .toEqual([1, 2]);
      await pair.b.call('inject', PEER, packet);
      expect((await drops())['not_allowed']).toBe(2);
    });

    it('has counted every datagram exactly once', () => expectConservation(pair));

    it('never repeats a number and refuses to go beyond the last (H24)', async () => {
      const last = 2 ** 48 - 1;
      const slot = 99;
      await pair.a.call('install', {
        ...pair.session('a', { slot, nextWrite: last - 1, ourConnectionId: new Uint8Array() }, 50),
        path: { remote: { address: '10.77.0.1', port: attacker }, local: undefined },
        peerConnectionId: new Uint8Array(),
        write: testKeys('aes-128-gcm', 90),
      });
      await pair.hostA.call('udpTake', attacker);
      for (let i = 0; i < 5; i++) await pair.a.call('sealAndSend', slot, 23, CONTROL);
      await expect.poll(() => pair.hostA.call('udpCount', attacker)).toBe(2);
      const sent = (await pair.hostA.call('udpTake', attacker)) as Sent;
      expect(sent.map(({ data }) => [...data.subarray(3, 11)])).toEqual([
        [0, 1, 255, 255, 255, 255, 255, 254],
        [0, 1, 255, 255, 255, 255, 255, 255],
      ]);
      // The explicit nonce is the record number.
      for (const { data } of sent) expect(data.subarray(13, 21)).toEqual(data.subarray(3, 11));
      expect((await pair.a.stats()).peers.get(PEER)?.drops.out.no_key).toBe(3n);
      await pair.a.call('retire', slot);
    });
  },
);
