import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../../src/crypto/random.ts';
import { Connection } from '../../../src/dtls/connection.ts';
import { fragmentsIn, Reassembly } from '../../../src/dtls/handshake/reassembly.ts';
import { HANDSHAKE_CODES } from '../../../src/dtls/messages/types.ts';
import { recordsIn } from '../../../src/dtls/record.ts';
import { toHex } from '../../../src/wire/bytes.ts';
import { BadClient, BadServer } from '../../support/bad-peer.ts';
import { CLIENT_IDENTITY, Pair } from '../../support/pair.ts';

/** Hazards of section D: randomness, retransmission and what protects the handshake's secrets. */

describe('H37 randomness is random (CVE-2020-11501)', () => {
  it('200 handshakes share no random, cookie, key share or id, and the second hello repeats the first', () => {
    const seen = {
      clientRandom: new Set(),
      serverRandom: new Set(),
      cookie: new Set(),
      share: new Set(),
      points: new Set(),
    };
    const columns = Array.from({ length: 32 }, () => new Set<number>());
    for (let run = 0; run < 200; run++) {
      const peer = new BadServer({ crypto: systemRandom });
      const { random } = peer.clientHello;
      expect(random).toHaveLength(32);
      seen.clientRandom.add(toHex(random));
      for (const [i, octet] of random.entries()) columns[i]?.add(octet);
      peer.send(peer.message({ type: 'hello_verify_request', version: 0xfeff, cookie: new Uint8Array([run]) }));
      expect(peer.clientHello.random).toEqual(random);
      expect([...peer.clientHello.cookie]).toEqual([run]);

      const client = new BadClient({ crypto: systemRandom });
      client.greet();
      seen.serverRandom.add(toHex(client.latest('server_hello').random));
      seen.share.add(toHex(client.latest('server_key_exchange').publicKey));
      expect(client.latest('server_hello').sessionId).toHaveLength(0);
    }
    expect(seen.clientRandom.size).toBe(200);
    expect(seen.serverRandom.size).toBe(200);
    expect(seen.share.size).toBe(200);
    // No position is constant: 200 draws of 256 values hit over a hundred of them.
    for (const column of columns) expect(column.size).toBeGreaterThan(100);
  });

  it('H38 comes from the CSPRNG of the process alone, never from the time', () => {
    // The same instant, the same options: nothing of one run tells another.
    const hellos = new Set<string>();
    for (let run = 0; run < 50; run++) {
      const connection = new Connection({
        role: 'client',
        identity: CLIENT_IDENTITY,
        authorize: () => undefined,
      });
      connection.start(1000 as Parameters<Connection['start']>[0]);
      const effect = connection.poll();
      if (effect?.kind !== 'transmit') throw new Error('no hello');
      hellos.add(toHex(effect.datagram.slice(27, 59)));
    }
    expect(hellos.size).toBe(50);
  });
});

/** Handshake messages in clear and sealed records of a log of datagrams, first and repeated flights apart. */
function flightOf(datagrams: readonly Uint8Array[]) {
  const clear: string[] = [];
  const sealed: { epoch: number; sequence: number; octets: string }[] = [];
  for (const datagram of datagrams) {
    for (const record of recordsIn(datagram, 0)) {
      if (record === undefined) throw new Error('half a record');
      if (record.epoch > 0) sealed.push({ ...record, octets: toHex(record.fragment) });
      else if (record.type === 22) clear.push(toHex(record.fragment));
    }
  }
  return { clear, sealed };
}

describe('H39 a repeated flight keeps its epochs and takes new numbers (CVE-2013-6450)', () => {
  it('the client repeats messages in clear octet for octet, Finished under a fresh number', () => {
    const peer = new BadServer();
    peer.send(...peer.flight());
    const before = peer.received.length;
    const first = flightOf(peer.received.slice(1));
    for (let turn = 1; turn <= 3; turn++) {
      const from = peer.received.length;
      peer.pass(2 ** (turn - 1) * 1000);
      const again = flightOf(peer.received.slice(from));
      expect(again.clear).toEqual(first.clear);
      expect(again.sealed.map(({ epoch, sequence }) => [epoch, sequence])).toEqual([[1, turn]]);
      expect(again.sealed[0]?.octets).not.toBe(first.sealed[0]?.octets);
    }
    expect(before).toBeLessThan(peer.received.length);
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
    expect(peer.side.session).toBeDefined();
  });

  it('the server repeats its last flight when the client does, also after data has begun', () => {
    const pair = new Pair();
    let lost = 0;
    pair.link.toClient.drop((datagram) => datagram[0] === 20 && lost++ < 3);
    pair.drive(() => pair.server?.session !== undefined);
    pair.say('server', 'before the client is ready');
    pair.connect();
    pair.say('client', 'hello');
    pair.drive(() => false, 100);
    expect(pair.accepted.texts).toEqual(['hello']);
    expect(pair.client.texts).toEqual(['before the client is ready']);
  });
});

describe('H40 the datagram size changes while a flight is out (CVE-2026-84782)', () => {
  it('what is repeated is the same flight, octet for octet', () => {
    const peer = new BadServer({ maxDatagram: 1400 });
    peer.send(...peer.flight());
    const messages = (datagrams: readonly Uint8Array[]) => {
      const reassembly = new Reassembly(1);
      for (const datagram of datagrams) {
        for (const record of recordsIn(datagram, 0)) {
          if (record?.type !== 22 || record.epoch > 0) continue;
          for (const fragment of fragmentsIn(record.fragment)) if (fragment) reassembly.add(fragment);
        }
      }
      const raws: string[] = [];
      for (let whole = reassembly.take(); whole !== undefined; whole = reassembly.take()) raws.push(toHex(whole.raw));
      return raws;
    };
    const first = messages(peer.received.slice(1));
    expect(first.length).toBeGreaterThan(1);
    for (const size of [1000, 200, 90, 61, 1400]) {
      const from = peer.received.length;
      peer.side.connection.setMaxDatagram(size);
      const { deadline } = peer.side.connection;
      peer.pass((deadline ?? peer.now) - peer.now);
      const again = peer.received.slice(from);
      expect(messages(again), `${size}`).toEqual(first);
      expect(Math.max(...again.map((datagram) => datagram.length))).toBeLessThanOrEqual(size);
    }
  });
});

describe('H41 extended master secret and renegotiation (RFC 7627, RFC 5746)', () => {
  it('a peer without extended_master_secret is refused with that reason, unless it may', () => {
    const extensions = [
      { type: 'supported_groups' as const, groups: [29] },
      { type: 'signature_algorithms' as const, schemes: [0x0403] },
    ];
    const client = new BadClient();
    client.greet({ extensions });
    client.send(client.certificate());
    expect(client.closed).toMatchObject({ code: 'no_extended_master_secret', alert: 40 });
    expect(client.latest('server_hello').extensions).toEqual([]);
    const server = new BadServer();
    server.send(server.serverHello({ extensions: [] }), server.certificate());
    expect(server.closed).toMatchObject({ code: 'no_extended_master_secret' });
    const lenient = { authorize: () => ({ allowLegacyPeer: true }) };
    const allowed = new BadClient(lenient);
    allowed.greet({ extensions });
    allowed.send(allowed.certificate());
    expect(allowed.closed).toBeUndefined();
  });

  it('renegotiation_info: absent, by SCSV, empty; anything else is refused', () => {
    const base = new BadClient().hello;
    const answered = (changes: Partial<typeof base>) => {
      const peer = new BadClient();
      peer.greet(changes);
      const found = peer.latest('server_hello').extensions.find(({ type }) => type === 'renegotiation_info');
      return found !== undefined;
    };
    const info = { type: 'renegotiation_info' as const, renegotiatedConnection: new Uint8Array(0) };
    expect(answered({})).toBe(false);
    expect(answered({ suites: [...base.suites, 0x00ff] })).toBe(true);
    expect(answered({ extensions: [...base.extensions, info] })).toBe(true);
    const peer = new BadClient();
    peer.greet({ extensions: [...base.extensions, { ...info, renegotiatedConnection: new Uint8Array(12) }] });
    expect(peer.closed).toMatchObject({ code: 'bad_renegotiation_info', alert: 40 });
  });

  it.each(['server', 'client'] as const)('the %s refuses a renegotiation a few times, then in silence', (role) => {
    const peer = role === 'server' ? new BadClient() : new BadServer();
    if (peer instanceof BadClient) peer.greet();
    peer.completeProperly();
    const request = new Uint8Array([HANDSHAKE_CODES.hello_request, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0]);
    const hello = new Uint8Array([
      HANDSHAKE_CODES.client_hello,
      0,
      0,
      40,
      0,
      9,
      0,
      0,
      0,
      0,
      0,
      40,
      ...new Uint8Array(40),
    ]);
    const certificate = new Uint8Array([HANDSHAKE_CODES.certificate, 0, 0, 3, 0, 10, 0, 0, 0, 0, 0, 3, 0, 0, 0]);
    for (let i = 0; i < 100; i++) {
      for (const raw of [request, hello, certificate]) peer.deliver(peer.record(22, raw, { epoch: 1 }));
    }
    expect(peer.alerts).toEqual([100, 100, 100]);
    expect(peer.side.connection.reassemblyOctets).toBe(0);
    peer.say('alive');
    expect(peer.side.texts).toEqual(['alive']);
  });
});

describe('H42 padding and length oracles', () => {
  it('offers of CBC suites alone are refused (they are not spoken)', () => {
    const peer = new BadClient();
    peer.greet({ suites: [0xc009, 0xc013, 0x002f, 0xc023, 0xc027] });
    expect(peer.closed).toMatchObject({ code: 'no_common_suite', alert: 40 });
  });

  it('bad tag, nonce, header and length all look alike: silence', () => {
    const peer = new BadClient();
    peer.greet();
    peer.completeProperly();
    const sent = peer.received.length;
    const good = peer.record(23, new Uint8Array(40), { epoch: 1 });
    for (let at = 13; at < good.length; at++) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 1;
      peer.deliver(bad);
    }
    expect(peer.received.length).toBe(sent);
    expect(peer.side.connection.drops.bad_mac).toBe(good.length - 13);
    peer.say('alive');
    expect(peer.side.texts).toEqual(['alive']);
  });
});

describe('H43 what one association agreed is unknown to the next (CVE-2026-50585)', () => {
  it('the next peer sees no id, protocol or secret of the one before', () => {
    const options = { connectionId: new Uint8Array([1, 2, 3]), protocols: ['dtunnel/1'] };
    const first = new Pair({ client: options, server: options }).connect();
    expect(first.accepted.session).toMatchObject({ connectionIds: true, protocol: 'dtunnel/1' });
    const peer = new BadClient(options);
    peer.greet();
    const types = peer.latest('server_hello').extensions.map(({ type }) => type);
    expect(types).toEqual(['extended_master_secret']);
    peer.completeProperly();
    expect(peer.side.session).toMatchObject({ connectionIds: false, protocol: undefined });
  });
});
