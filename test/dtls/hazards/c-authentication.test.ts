import { describe, expect, it } from 'vitest';
import { HANDSHAKE_TIMEOUT, INITIAL_TIMEOUT } from '../../../src/dtls/limits.ts';
import { concat } from '../../../src/wire/bytes.ts';
import { BadClient, BadServer } from '../../support/bad-peer.ts';
import { CLIENT_IDENTITY, identityOf, SERVER_IDENTITY } from '../../support/pair.ts';

/** Hazards of section C: authentication that is skipped or only looks done. */

const stranger = await identityOf('p256', 'stranger');
const RANDOM = { extensions: [{ type: 'extended_master_secret' as const }] };

function flip(bytes: Uint8Array, at = bytes.length - 1): Uint8Array {
  const changed = bytes.slice();
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

function expectRefused(peer: BadClient | BadServer, code: string | readonly string[]): void {
  expect(peer.side.session).toBeUndefined();
  expect([code].flat()).toContain(peer.closed?.code);
  // Refused before a byte of payload: nothing was delivered, nothing can be sent.
  expect(peer.side.received).toEqual([]);
  expect(peer.side.connection.send(new Uint8Array([1]))).toBe(false);
}

function greeted(): BadClient {
  const peer = new BadClient();
  peer.greet();
  return peer;
}

/** A server's flight with one message made otherwise. */
function served(change: (peer: BadServer) => Uint8Array[]): BadServer {
  const peer = new BadServer();
  const flight = change(peer);
  const show = (): void => {
    for (const raw of flight) if (peer.closed === undefined) peer.send(raw);
  };
  show();
  if (peer.closed !== undefined || peer.side.connection.handshakeState !== 'hello-sent') return peer;
  // One whose signature is wrong may answer an earlier call: it is refused when no other comes in time. Anything else ends
  // the handshake at first sight.
  for (let i = 0; i < 3; i++) {
    peer.pass(INITIAL_TIMEOUT * 2 ** i);
    show();
  }
  peer.pass(HANDSHAKE_TIMEOUT);
  expect(peer).toMatchObject({ closed: { code: 'bad_signature' } });
  return peer;
}

describe('H28 one bit is flipped in what authenticates', () => {
  it('(a) the signature of ServerKeyExchange', () => {
    const peer = served((p) => {
      const [hello, certificate] = [p.serverHello(), p.certificate()];
      const good = p.keyExchange();
      p.nextMessage--;
      const signature = flip(good.slice(good.length - 8));
      return [hello, certificate, concat([good.slice(0, good.length - 8), signature])];
    });
    expectRefused(peer, 'bad_signature');
    expect(peer.alerts).toEqual([51]);
  });

  it('(b) the key of ServerKeyExchange, the signature kept', () => {
    const peer = served((p) => {
      const flight = [p.serverHello(), p.certificate(), p.keyExchange()];
      // 12 of header, then curve type, group, length, point.
      return flight.map((raw, i) => (i === 2 ? flip(raw, 12 + 4 + 7) : raw));
    });
    expectRefused(peer, 'bad_signature');
  });

  it('(c) the signature of CertificateVerify', () => {
    const peer = greeted();
    peer.send(peer.certificate(), peer.keyExchange(), flip(peer.certificateVerify()));
    expectRefused(peer, 'bad_signature');
    expect(peer.alerts).toEqual([51]);
  });

  it('(d) verify_data of Finished, encrypted correctly, both roles', () => {
    for (let bit = 0; bit < 12; bit++) {
      const client = greeted();
      client.send(client.certificate(), client.keyExchange(), client.certificateVerify());
      client.changeCipherSpec();
      client.deliver(client.record(22, client.finished(flip(client.verifyData('client'), bit)), { epoch: 1 }));
      expectRefused(client, 'bad_finished');
      const server = new BadServer();
      server.send(...server.flight());
      server.changeCipherSpec();
      server.deliver(server.record(22, server.finished(flip(server.verifyData('server'), bit)), { epoch: 1 }));
      expectRefused(server, 'bad_finished');
    }
  });
});

describe('H29 ServerKeyExchange without signature, absent, or twice (CVE-2021-34433)', () => {
  it('a signature of no octets is refused', () => {
    const peer = served((p) => [p.serverHello(), p.certificate(), p.keyExchange({ signature: new Uint8Array(0) })]);
    expectRefused(peer, 'bad_signature');
  });

  it('its absence is refused', () => {
    expectRefused(
      served((p) => [p.serverHello(), p.certificate(), p.certificateRequest()]),
      'unexpected_message',
    );
    expectRefused(
      served((p) => [p.serverHello(), p.certificate(), p.helloDone()]),
      'unexpected_message',
    );
  });

  it('a second one is refused', () => {
    const peer = served((p) => [
      p.serverHello(),
      p.certificate(),
      p.keyExchange(),
      p.keyExchange({ identity: stranger }),
    ]);
    expectRefused(peer, 'unexpected_message');
  });
});

describe('H30 the client shows a certificate and does not prove it (CVE-2022-29222)', () => {
  it('no CertificateVerify', () => {
    const peer = greeted();
    peer.send(peer.certificate(), peer.keyExchange());
    peer.changeCipherSpec();
    peer.deliver(peer.record(22, peer.finished(), { epoch: 1 }));
    expectRefused(peer, 'unexpected_message');
  });

  it('CertificateVerify by another key', () => {
    const peer = greeted();
    peer.send(peer.certificate(), peer.keyExchange(), peer.certificateVerify({ identity: stranger }));
    expectRefused(peer, 'bad_signature');
  });

  it('CertificateVerify over a transcript without the Certificate', () => {
    const peer = greeted();
    const before = peer.transcript;
    const certificate = peer.certificate();
    const keyExchange = peer.keyExchange();
    const whole = peer.transcript;
    peer.transcript = before.with(keyExchange);
    const verify = peer.certificateVerify();
    peer.transcript = whole.with(verify);
    peer.send(certificate, keyExchange, verify);
    expectRefused(peer, 'bad_signature');
  });

  it('an empty ClientKeyExchange (CVE-2015-1787)', () => {
    const peer = greeted();
    peer.send(peer.certificate(), peer.message({ type: 'client_key_exchange', publicKey: new Uint8Array(0) }));
    expectRefused(peer, 'bad_key_share');
  });
});

describe('H31 the pinned fingerprint is compared with what is really shown', () => {
  const cases: [string, () => readonly Uint8Array[], string][] = [
    ['an empty list', () => [], 'no_certificate'],
    ['another certificate', () => stranger.certificates, 'unknown_fingerprint'],
    ['the right one second', () => [...stranger.certificates, ...CLIENT_IDENTITY.certificates], 'unknown_fingerprint'],
    ['other octets with the same key', () => [reissued(CLIENT_IDENTITY.certificates[0])], 'unknown_fingerprint'],
    [
      'the right one with an octet behind',
      () => [concat([CLIENT_IDENTITY.certificates[0] ?? new Uint8Array(0), new Uint8Array([0])])],
      'unknown_fingerprint',
    ],
  ];

  it.each(cases)('a client with %s', (_what, chain, code) => {
    const peer = greeted();
    peer.send(peer.certificate(chain()));
    expectRefused(peer, code);
    if (code === 'unknown_fingerprint') {
      expect(peer.closed?.seen).toMatch(/^([0-9a-f]{2}:){31}[0-9a-f]{2}$/);
      expect(peer.closed?.expected).toMatch(/^([0-9a-f]{2}:){31}[0-9a-f]{2}$/);
      expect(peer.closed?.seen).not.toBe(peer.closed?.expected);
      expect(peer.alerts).toEqual([49]);
    }
  });

  it.each(cases)('a server with %s', (_what, chain, code) => {
    const swap = chain().map((der) =>
      der === CLIENT_IDENTITY.certificates[0] ? SERVER_IDENTITY.certificates[0] : der,
    );
    const peer = served((p) => [p.serverHello(), p.certificate(swap.map((der) => der ?? new Uint8Array(0)))]);
    expectRefused(peer, code);
  });

  it('a certificate that is pinned and no certificate at all', () => {
    const peer = new BadClient({ authorize: () => ({ allowLegacyPeer: false }) });
    peer.greet();
    peer.send(peer.certificate([new Uint8Array(200).fill(0x30)]));
    expectRefused(peer, 'bad_certificate');
  });

  it('an identity that was un-pinned between two handshakes: there is no resumption to slip through', () => {
    let pinned = true;
    const options = { authorize: () => (pinned ? { allowLegacyPeer: false } : undefined) };
    const first = new BadClient(options);
    first.greet();
    first.completeProperly();
    expect(first.side.session).toBeDefined();
    pinned = false;
    const second = new BadClient(options);
    second.greet({ sessionId: first.latest('server_hello').sessionId });
    second.send(second.certificate());
    expectRefused(second, 'unknown_fingerprint');
  });
});

describe('H33 signatures with impossible numbers (CVE-2022-21449)', () => {
  const N = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';
  const der = (r: string, s: string) => {
    const int = (hex: string) => `02${(hex.length / 2).toString(16).padStart(2, '0')}${hex}`;
    const body = int(r) + int(s);
    return new Uint8Array(Buffer.from(`30${(body.length / 2).toString(16).padStart(2, '0')}${body}`, 'hex'));
  };
  const numbers = ['00', '01', '81', `00${N}`, `00${'ff'.repeat(32)}`, `7f${'ff'.repeat(40)}`];
  const signatures = [
    ...numbers.flatMap((r) => numbers.map((s) => der(r, s))),
    new Uint8Array([0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0]),
    new Uint8Array([0x30, 6, 2, 1, 1, 2, 1, 1, 0]),
    new Uint8Array([0x30, 8, 2, 2, 0, 1, 2, 2, 0, 1]),
    new Uint8Array(64),
    new Uint8Array(0),
  ];

  it('none is accepted from a client or a server', () => {
    for (const signature of signatures) {
      const client = greeted();
      client.send(client.certificate(), client.keyExchange(), client.certificateVerify({ signature }));
      expectRefused(client, 'bad_signature');
      const server = served((p) => [p.serverHello(), p.certificate(), p.keyExchange({ signature })]);
      expectRefused(server, 'bad_signature');
    }
  });
});

describe('H34 public keys that are none (CVE-2015-7940, RFC 7748 §6.1, RFC 8422 §5.11)', () => {
  const x25519 = [31, 33].map((length) => new Uint8Array(length).fill(9));
  const small = ['00', '01', 'ec', 'ed', 'ee'].map((first) => {
    const filler = first === '00' || first === '01' ? '00' : 'ff';
    const last = filler === 'ff' ? '7f' : '00';
    return new Uint8Array(Buffer.from(first + filler.repeat(30) + last, 'hex'));
  });

  it('X25519: small order and wrong length, both roles', () => {
    for (const publicKey of [...x25519, ...small]) {
      const client = greeted();
      client.send(client.certificate(), client.message({ type: 'client_key_exchange', publicKey }));
      expectRefused(client, ['bad_key_share']);
      expect(client.alerts).toEqual([47]);
      const server = served((p) => [
        p.serverHello(),
        p.certificate(),
        p.keyExchange({ publicKey }),
        p.certificateRequest(),
        p.helloDone(),
      ]);
      expectRefused(server, 'bad_key_share');
    }
  });

  it('P-256: infinity, compressed, short, long, off the curve, beyond the prime', () => {
    const x = '6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296';
    const y = '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5';
    const points = [
      '00',
      `02${x}`,
      `03${x}`,
      `04${x}${y.slice(2)}`,
      `04${x}${y}00`,
      `04${x}${x}`,
      `04${'ff'.repeat(64)}`,
    ];
    for (const point of points) {
      const publicKey = new Uint8Array(Buffer.from(point, 'hex'));
      const options = { groups: ['secp256r1'] } as const;
      const client = new BadClient(options);
      client.greet({
        extensions: [
          ...RANDOM.extensions,
          { type: 'supported_groups', groups: [23] },
          { type: 'signature_algorithms', schemes: [0x0403] },
        ],
      });
      client.send(client.certificate(), client.message({ type: 'client_key_exchange', publicKey }));
      expectRefused(client, 'bad_key_share');
      const server = new BadServer(options);
      for (const raw of [
        server.serverHello(),
        server.certificate(),
        server.keyExchange({ group: 23, publicKey }),
        server.certificateRequest(),
        server.helloDone(),
      ]) {
        server.send(raw);
      }
      expectRefused(server, 'bad_key_share');
    }
  });
});

describe('H35 signature schemes that were not offered, or are not for the key (SLOTH, CVE-2025-12889)', () => {
  // sha1 and md5 with both algorithms, dsa, ed448, the pss_pss ones, and nonsense.
  const foreign = [0x0201, 0x0203, 0x0101, 0x0103, 0x0402, 0x0808, 0x0809, 0x080a, 0x0603, 0x0000, 0xffff];
  // Ours, but for another type of key than P-256.
  const otherKey = [0x0807, 0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806];

  it.each([...foreign, ...otherKey])('0x%s', (scheme) => {
    const client = greeted();
    client.send(client.certificate(), client.keyExchange(), client.certificateVerify({ scheme }));
    expectRefused(client, ['unoffered_parameter', 'bad_signature']);
    const server = served((p) => [p.serverHello(), p.certificate(), p.keyExchange({ scheme })]);
    expectRefused(server, ['unoffered_parameter', 'bad_signature']);
  });

  it('a hash other than the one the code point names', () => {
    const client = greeted();
    client.send(client.certificate(), client.keyExchange(), client.certificateVerify({ scheme: 0x0503 }));
    expectRefused(client, 'bad_signature');
  });
});

describe('H36 ServerHello chooses what was not offered', () => {
  const empty = new Uint8Array(0);
  it.each([
    ['another suite', { suite: 0xc009 }, 'unoffered_parameter', 47],
    ['the SCSV as a suite', { suite: 0x00ff }, 'unoffered_parameter', 47],
    ['no suite', { suite: 0 }, 'unoffered_parameter', 47],
    ['DTLS 1.0', { version: 0xfeff }, 'version', 70],
    ['DTLS 1.3', { version: 0xfefc }, 'version', 70],
    ['a version that never was', { version: 0xfefe }, 'version', 70],
    ['TLS 1.2', { version: 0x0303 }, 'version', 70],
    ['compression', { compression: 1 }, 'unoffered_parameter', 47],
    [
      'an extension nobody asked for',
      { extensions: [{ type: 'other', code: 35, body: empty }] },
      'unoffered_parameter',
      110,
    ],
    ['an id nobody offered', { extensions: [{ type: 'connection_id', id: empty }] }, 'unoffered_parameter', 110],
    [
      'a protocol nobody offered',
      { extensions: [{ type: 'application_protocols', protocols: ['x'] }] },
      'unoffered_parameter',
      110,
    ],
    [
      'the same extension twice',
      { extensions: [{ type: 'extended_master_secret' }, { type: 'extended_master_secret' }] },
      'malformed',
      50,
    ],
    [
      'a renegotiation',
      { extensions: [{ type: 'renegotiation_info', renegotiatedConnection: new Uint8Array(12) }] },
      'bad_renegotiation_info',
      40,
    ],
    ['compressed points only', { extensions: [{ type: 'ec_point_formats', formats: [1] }] }, 'unoffered_parameter', 47],
  ] as const)('%s', (_what, changes, code, alert) => {
    const peer = served((p) => [p.serverHello(changes)]);
    expectRefused(peer, code);
    expect(peer.alerts).toEqual([alert]);
  });

  it('a group that was not offered', () => {
    const peer = new BadServer({ groups: ['secp384r1'] });
    peer.send(peer.serverHello(), peer.certificate(), peer.keyExchange());
    expectRefused(peer, 'unoffered_parameter');
    expect(peer.closed).toMatchObject({ seen: 'x25519', expected: 'secp384r1' });
  });

  it('one of several protocols that it may not bundle, and one that was not among those offered', () => {
    for (const protocols of [['a', 'b'], ['c']]) {
      const peer = new BadServer({ protocols: ['a', 'b'] });
      peer.send(peer.serverHello({ extensions: [{ type: 'application_protocols', protocols }] }));
      expectRefused(peer, 'unoffered_parameter');
    }
  });

  it('a certificate that does not fit the suite', async () => {
    const rsa = await identityOf('rsa2048', 'server');
    const peer = new BadServer({ authorize: () => ({ allowLegacyPeer: false }) });
    peer.send(peer.serverHello(), peer.certificate(rsa.certificates));
    expectRefused(peer, 'bad_certificate');
    expect(peer.alerts).toEqual([43]);
  });
});

/** Another certificate with the same key: its serial number differs. */
function reissued(der: Uint8Array | undefined): Uint8Array {
  return flip(der ?? new Uint8Array(0), 20);
}
