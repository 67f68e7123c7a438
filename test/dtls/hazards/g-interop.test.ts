import { describe, expect, it } from 'vitest';
import type { Duration } from '../../../src/base/brand.ts';
import { ALERTS } from '../../../src/dtls/alert.ts';
import type { Extension } from '../../../src/dtls/extensions/extension.ts';
import { ALERT_PATIENCE } from '../../../src/dtls/limits.ts';
import { recordsIn } from '../../../src/dtls/record.ts';
import { BadClient, BadServer } from '../../support/bad-peer.ts';
import { Pair } from '../../support/pair.ts';

/** Hazards of section G: what other stacks do, and the policies it takes to meet them. */

const other = (code: number, body: readonly number[] = []): Extension => ({
  type: 'other',
  code,
  body: new Uint8Array(body),
});

describe('H61 fatal alerts in clear (RFC 6347 §4.1.2.7)', () => {
  const fatal = new Uint8Array([2, ALERTS.access_denied]);

  it('a forged one at any point does not end a handshake whose peer is alive', () => {
    for (let at = 0; at < 6; at++) {
      const pair = new Pair();
      let count = 0;
      const inject = (datagram: Uint8Array) => (count++ === at ? [alertRecord(fatal), datagram] : [datagram]);
      pair.link.toClient.tamper = inject;
      pair.link.toServer.tamper = inject;
      pair.connect();
      expect(pair.elapsed).toBeLessThan(100);
    }
  });

  it('one before the true flight, which is then lost once, does not either', () => {
    const pair = new Pair();
    pair.link.toClient.drop({ nth: 2 });
    pair.drive(() => pair.server !== undefined);
    pair.toClient(alertRecord(fatal));
    pair.connect();
    expect(pair.elapsed).toBeLessThan(1500);
  });

  it('one that is followed by silence is reported after two more repetitions, not at the end of the time', () => {
    const peer = new BadServer();
    peer.send(...peer.flight());
    peer.deliver(peer.record(21, fatal));
    expect(peer.closed).toBeUndefined();
    const from = peer.now;
    peer.pass(90_000);
    expect(peer.closed).toEqual({
      code: 'peer_alert',
      by: 'peer',
      alert: ALERTS.access_denied,
      seen: 'access_denied',
      expected: undefined,
    });
    expect(peer.side.connection.retransmissions).toBe(ALERT_PATIENCE + 1);
    expect(peer.now).toBeGreaterThan(from);
  });

  it('authenticated ones are believed at once: fatal, and close_notify, which is answered', () => {
    const refused = new BadClient();
    refused.greet();
    refused.completeProperly();
    refused.deliver(refused.record(21, new Uint8Array([2, 80]), { epoch: 1 }));
    expect(refused.closed).toMatchObject({ code: 'peer_alert', alert: 80, seen: 'internal_error' });
    const closed = new BadClient();
    closed.greet();
    closed.completeProperly();
    closed.deliver(closed.record(21, new Uint8Array([1, 0]), { epoch: 1 }));
    expect(closed.closed).toMatchObject({ code: 'closed', by: 'peer' });
    expect(closed.alerts).toEqual([0]);
  });
});

describe('H62 records and messages packed in unusual ways', () => {
  it('several messages in a record, several records in a datagram, a message over many records', () => {
    const packed = new BadClient();
    packed.greet();
    const all = [packed.certificate(), packed.keyExchange(), packed.certificateVerify()];
    packed.deliver(packed.record(22, new Uint8Array(all.flatMap((raw) => [...raw]))));
    expect(packed.side.connection.handshakeState).toBe('expect-finished');
    const spread = new BadClient();
    spread.greet();
    for (const raw of [spread.certificate(), spread.keyExchange(), spread.certificateVerify()])
      spread.sendFragments(raw, 1);
    expect(spread.side.connection.handshakeState).toBe('expect-finished');
  });

  it('unknown content types and versions are dropped, what follows them in the datagram is read', () => {
    const peer = new BadClient();
    peer.greet();
    const junk = [
      peer.record(0, new Uint8Array(3)),
      peer.record(24, new Uint8Array(3)),
      peer.record(22, new Uint8Array(30), { version: 0x0303 }),
      peer.record(22, new Uint8Array(30), { version: 0xfefc }),
      peer.record(22, new Uint8Array(30), { epoch: 7 }),
    ];
    const raws = [peer.certificate(), peer.keyExchange(), peer.certificateVerify()];
    for (const [i, raw] of raws.entries()) {
      peer.deliver(new Uint8Array([...(junk[i] ?? []), ...(junk[i + 2] ?? []), ...peer.record(22, raw)]));
    }
    expect(peer.side.connection.handshakeState).toBe('expect-finished');
    expect(peer.side.connection.drops).toMatchObject({ version: 3, content_type: 2, epoch: 1 });
  });

  it('hellos may say DTLS 1.0 in their records; our HelloVerifyRequest does', () => {
    const peer = new BadClient();
    const verdict = peer.knock(peer.hello, { version: 0xfeff });
    if (verdict.kind !== 'challenge') throw new Error(verdict.kind);
    const [record] = recordsIn(verdict.reply, 0);
    expect(record?.version).toBe(0xfeff);
    expect([...(record?.fragment.slice(12, 14) ?? [])]).toEqual([0xfe, 0xff]);
    const server = new BadServer();
    server.deliver(
      server.record(22, server.message({ type: 'hello_verify_request', version: 0xfeff, cookie: new Uint8Array(8) }), {
        version: 0xfeff,
      }),
    );
    expect([...server.clientHello.cookie]).toEqual([...new Uint8Array(8)]);
  });
});

describe('H63 peers without renegotiation_info and SCSV (wolfSSL as Debian builds it)', () => {
  it('are met, in both roles', () => {
    const client = new BadClient();
    client.greet();
    client.completeProperly();
    expect(client.side.session).toBeDefined();
    const server = new BadServer();
    server.send(
      server.serverHello({ extensions: [{ type: 'extended_master_secret' }] }),
      server.certificate(),
      server.keyExchange(),
      server.certificateRequest(),
      server.helloDone(),
    );
    server.changeCipherSpec();
    server.deliver(server.record(22, server.finished(), { epoch: 1 }));
    expect(server.side.session).toBeDefined();
  });

  it('our own hello always carries it, empty', () => {
    const found = new BadServer().clientHello.extensions.find(({ type }) => type === 'renegotiation_info');
    expect(found).toEqual({ type: 'renegotiation_info', renegotiatedConnection: new Uint8Array(0) });
  });
});

describe('H64 extensions and values nobody knows', () => {
  it('padding, GREASE and unknown codes in every list are passed over', () => {
    const grease = 0x0a0a;
    const peer = new BadClient();
    peer.greet({
      suites: [grease, 0x1301, ...peer.hello.suites, 0x5600],
      extensions: [
        other(grease),
        { type: 'extended_master_secret' },
        { type: 'supported_groups', groups: [grease, 0x11ec, 29] },
        { type: 'signature_algorithms', schemes: [grease, 0x0905, 0x0403] },
        { type: 'ec_point_formats', formats: [0, 1, 2] },
        other(
          21,
          Array.from({ length: 300 }, () => 0),
        ),
        other(43, [2, 0xfe, 0xfc]),
        other(0xfafa, [1, 2, 3]),
      ],
    });
    peer.completeProperly();
    expect(peer.side.session).toBeDefined();
    const answered = peer.latest('server_hello').extensions.map(({ type }) => type);
    expect(answered).toEqual(['extended_master_secret', 'ec_point_formats']);
  });

  it('a hello larger than a datagram is refused without state', () => {
    const peer = new BadClient();
    const hello = {
      ...peer.hello,
      extensions: [
        other(
          51,
          Array.from({ length: 1500 }, () => 1),
        ),
      ],
    };
    const raw = peer.message(hello);
    const first = raw.slice(0, 1200);
    first.set([0, 4, 164], 9);
    expect(peer.knockWith(peer.record(22, first))).toEqual({ kind: 'drop', reason: 'fragmented' });
  });
});

describe('H65 the peer wants to resume', () => {
  it('a session id and a ticket lead to a full handshake', () => {
    const peer = new BadClient();
    peer.greet({
      sessionId: new Uint8Array(32).fill(5),
      extensions: [
        ...peer.hello.extensions,
        other(
          35,
          Array.from({ length: 100 }, () => 6),
        ),
      ],
    });
    expect(peer.latest('server_hello').sessionId).toHaveLength(0);
    peer.completeProperly();
    expect(peer.side.session).toBeDefined();
  });

  it('a session id from the server is taken and forgotten', () => {
    const server = new BadServer();
    server.send(
      server.serverHello({ sessionId: new Uint8Array(32).fill(1) }),
      server.certificate(),
      server.keyExchange(),
      server.certificateRequest(),
      server.helloDone(),
    );
    server.changeCipherSpec();
    server.deliver(server.record(22, server.finished(), { epoch: 1 }));
    expect(server.side.session).toBeDefined();
    expect(new BadServer().clientHello.sessionId).toHaveLength(0);
  });
});

describe('H66 max_fragment_length and record_size_limit (RFC 6066, RFC 8449)', () => {
  it('are cleanly not answered, so that neither side is bound', () => {
    const peer = new BadClient();
    peer.greet({ extensions: [...peer.hello.extensions, other(1, [1]), other(28, [2, 0])] });
    expect(peer.latest('server_hello').extensions.map(({ type }) => type)).toEqual(['extended_master_secret']);
    peer.completeProperly();
    expect(peer.side.session).toBeDefined();
  });
});

describe('H67 timers (RFC 6347 §4.2.4.1)', () => {
  /** When each datagram after the first left, in milliseconds after the one before it. */
  function gaps(peer: BadClient | BadServer): number[] {
    const times: number[] = [];
    let count = peer.received.length;
    const start = peer.now;
    while (peer.closed === undefined) {
      const { deadline } = peer.side.connection;
      if (deadline === undefined) break;
      peer.pass(deadline - peer.now);
      if (peer.received.length > count && peer.closed === undefined) times.push(peer.now - start);
      count = peer.received.length;
    }
    return times.map((time, i) => time - (times[i - 1] ?? 0));
  }

  it('silence after each flight: 1, 2, 4 … seconds, and an end', () => {
    const silent = new BadServer();
    expect(gaps(silent)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000]);
    expect(silent.closed).toMatchObject({ code: 'timeout', expected: 'hello_verify_request or server_hello' });

    const after = new BadServer();
    after.send(...after.flight());
    expect(gaps(after)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000]);
    expect(after.closed).toMatchObject({ code: 'timeout', expected: 'finished' });

    const server = new BadClient();
    server.greet();
    expect(gaps(server)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000]);
    expect(server.closed).toMatchObject({ code: 'timeout', expected: 'certificate' });
  });

  it('the first timeout and the largest can be set, not below 50 ms', () => {
    const options = { initialTimeout: 1 as Duration, maxTimeout: 300 as Duration, handshakeTimeout: 1500 as Duration };
    expect(gaps(new BadServer(options))).toEqual([50, 100, 200, 300, 300, 300]);
  });

  it('HelloVerifyRequest is never repeated by itself, nor is the last flight', () => {
    const done = new BadClient();
    done.greet();
    done.completeProperly();
    expect(done.side.connection.deadline).toBeUndefined();
  });

  it('200 of 200 complete at 20 % loss both ways with timers of 250 ms to 1 s', () => {
    const timers = { initialTimeout: 250 as Duration, maxTimeout: 1000 as Duration };
    for (let seed = 1; seed <= 200; seed++) {
      const pair = new Pair({ seed, client: timers, server: timers, quality: { loss: 0.2 } }).connect();
      expect(pair.elapsed).toBeLessThan(90_000);
    }
  });
});

function alertRecord(fragment: Uint8Array): Uint8Array {
  return new Uint8Array([21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, fragment.length, ...fragment]);
}
