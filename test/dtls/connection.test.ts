import { describe, expect, it } from 'vitest';
import type { Duration, Epoch, SequenceNumber } from '../../src/base/brand.ts';
import { formatFingerprint } from '../../src/crypto/fingerprint.ts';
import { Connection } from '../../src/dtls/connection.ts';
import { openRecord, sealRecord } from '../../src/dtls/protection.ts';
import { recordsIn } from '../../src/dtls/record.ts';
import { SUITES } from '../../src/dtls/suites.ts';
import { BadClient, BadServer } from '../support/bad-peer.ts';
import { CLIENT_IDENTITY, identityOf, Pair, SERVER_IDENTITY, sideOptions } from '../support/pair.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const NO_ID = new Uint8Array(0);

describe('two connections', () => {
  it('complete a handshake and carry data both ways', () => {
    const pair = new Pair().connect();
    expect(pair.client.connection.state).toBe('established');
    expect(pair.accepted.connection.state).toBe('established');
    pair.say('client', 'to the server');
    pair.say('server', 'to the client');
    pair.drive();
    expect(pair.accepted.texts).toEqual(['to the server']);
    expect(pair.client.texts).toEqual(['to the client']);
    expect(pair.elapsed).toBeLessThan(100);
  });

  it('tell each other and themselves what was agreed', () => {
    const options = { connectionId: new Uint8Array(8).fill(1), protocols: ['other', 'dtunnel/1'] };
    const pair = new Pair({ client: options, server: { ...options, protocols: ['dtunnel/1'] } }).connect();
    const agreed = {
      suite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
      group: 'x25519',
      protocol: 'dtunnel/1',
      extendedMasterSecret: true,
      connectionIds: true,
      retransmissions: 0,
    };
    expect(pair.client.session).toMatchObject({ ...agreed, role: 'client', peer: SERVER_IDENTITY.fingerprint });
    expect(pair.accepted.session).toMatchObject({ ...agreed, role: 'server', peer: CLIENT_IDENTITY.fingerprint });
    expect(pair.client.session?.peerCertificate).toEqual(SERVER_IDENTITY.certificates[0]);
  });

  it.each(
    SUITES.flatMap(({ name, auth }) =>
      (['x25519', 'secp256r1', 'secp384r1'] as const).flatMap((group) =>
        (auth === 'rsa' ? (['rsa2048'] as const) : (['p256', 'p384', 'ed25519'] as const)).map(
          (keyType) => [name, group, keyType] as const,
        ),
      ),
    ),
  )('speak %s over %s with %s certificates', async (suite, group, keyType) => {
    const [ours, theirs] = [await identityOf(keyType, 'ours'), await identityOf(keyType, 'theirs')];
    const authorize = () => ({ allowLegacyPeer: false });
    const pair = new Pair({
      client: { identity: ours, authorize, suites: [suite], groups: [group] },
      server: { identity: theirs, authorize, suites: [suite], groups: [group] },
    }).connect();
    expect(pair.client.session).toMatchObject({ suite, group, peer: theirs.fingerprint });
    pair.say('client', 'x');
    pair.drive();
    expect(pair.accepted.texts).toEqual(['x']);
  });

  it('take the server’s preference among what the client offers', () => {
    const pair = new Pair({
      client: { groups: ['x25519', 'secp256r1'] },
      server: {
        groups: ['secp384r1', 'secp256r1', 'x25519'],
        suites: ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
      },
    }).connect();
    expect(pair.client.session).toMatchObject({
      group: 'secp256r1',
      suite: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    });
  });

  it('agree on no protocol when they share none, and still meet', () => {
    const pair = new Pair({ client: { protocols: ['a'] }, server: { protocols: ['b'] } }).connect();
    expect([pair.client.session?.protocol, pair.accepted.session?.protocol]).toEqual([undefined, undefined]);
  });
});

describe('refusals say why on both ends', () => {
  const refuse = { authorize: () => undefined, initialTimeout: 100 as Duration };
  const fast = { initialTimeout: 100 as Duration };

  it('the server refuses the client’s certificate', () => {
    const pair = new Pair({ server: refuse, client: fast }).drive();
    expect(pair.accepted.closed).toEqual({
      code: 'unknown_fingerprint',
      by: 'local',
      alert: 49,
      seen: formatFingerprint(CLIENT_IDENTITY.fingerprint),
      expected: formatFingerprint(CLIENT_IDENTITY.fingerprint),
    });
    expect(pair.client.closed).toEqual({
      code: 'peer_alert',
      by: 'peer',
      alert: 49,
      seen: 'access_denied',
      expected: undefined,
    });
    // Seconds, not the handshake's minute and a half.
    expect(pair.elapsed).toBeLessThan(1500);
    expect(pair.client.effects).not.toContain('established');
  });

  it('the client refuses the server’s certificate', () => {
    const pair = new Pair({ client: refuse, server: fast }).drive();
    expect(pair.client.closed).toMatchObject({ code: 'unknown_fingerprint', by: 'local', alert: 49 });
    expect(pair.accepted.closed).toMatchObject({ code: 'peer_alert', by: 'peer', seen: 'access_denied' });
  });

  it.each([
    ['no suite', { suites: ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'] }, 'no_common_suite'],
    ['no group', { groups: ['secp384r1'] }, 'no_common_group'],
  ] as const)('%s in common', (_what, client, code) => {
    const pair = new Pair({ client: { ...client, ...fast }, server: { groups: ['x25519'] } }).drive();
    expect(pair.accepted.closed).toMatchObject({ code, by: 'local', alert: 40 });
    expect(pair.accepted.closed?.seen).toBeDefined();
    expect(pair.accepted.closed?.expected).toBeDefined();
    expect(pair.client.closed).toMatchObject({ code: 'peer_alert', seen: 'handshake_failure' });
  });

  it('the server can sign with nothing that the client verifies, and the reverse', () => {
    const client = new BadClient();
    client.greet({
      extensions: [
        { type: 'extended_master_secret' },
        { type: 'supported_groups', groups: [29] },
        { type: 'signature_algorithms', schemes: [0x0201, 0x0807] },
      ],
    });
    expect(client.closed).toMatchObject({ code: 'no_common_signature', seen: '0x201, ed25519' });
    const server = new BadServer();
    server.send(server.serverHello(), server.certificate(), server.keyExchange());
    server.send(server.certificateRequest([0x0401]), server.helloDone());
    expect(server.closed).toMatchObject({ code: 'no_common_signature', seen: 'rsa_pkcs1_sha256' });
  });

  it('a certificate chain beyond the limit is named when the time is over', () => {
    const peer = new BadServer();
    peer.send(peer.serverHello());
    peer.send(peer.certificate([new Uint8Array(60_000)]));
    expect(peer.closed).toBeUndefined();
    peer.pass(100_000);
    expect(peer.closed).toMatchObject({ code: 'too_large', seen: 'a handshake message of 60006 octets' });
  });
});

describe('the end', () => {
  it('close_notify ends both sides in order', () => {
    const pair = new Pair().connect();
    pair.client.connection.close('closed', pair.clock.now);
    pair.drain();
    pair.drive();
    expect(pair.client.closed).toMatchObject({ code: 'closed', by: 'local', alert: 0 });
    expect(pair.accepted.closed).toMatchObject({ code: 'closed', by: 'peer', alert: 0 });
    for (const side of [pair.client, pair.accepted]) {
      expect(side.connection.state).toBe('closed');
      expect(side.connection.deadline).toBeUndefined();
      expect(side.effects.at(-1)).toBe('closed');
    }
  });

  it('is said once, and nothing works afterwards', () => {
    const pair = new Pair().connect();
    pair.client.connection.close('aborted', pair.clock.now);
    pair.client.connection.close('closed', pair.clock.now);
    expect(pair.say('client', 'too late')).toBe(false);
    pair.toClient(new Uint8Array([23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 1, 0]));
    pair.client.connection.tick(pair.clock.now);
    pair.client.connection.receiveOpened(21, new Uint8Array([2, 40]), pair.clock.now);
    pair.drain();
    expect(pair.client.effects.filter((kind) => kind === 'closed')).toHaveLength(1);
    expect(pair.client.closed).toMatchObject({ code: 'aborted', by: 'local' });
    expect(pair.client.connection.drops.closed).toBe(2);
  });

  it('before the start needs no alert', () => {
    const connection = new Connection(sideOptions('client', new SeededRandom(1)));
    connection.receive(new Uint8Array(20), 0 as Parameters<Connection['receive']>[1]);
    connection.close('aborted', 0 as Parameters<Connection['close']>[1]);
    expect(connection.poll()).toMatchObject({ kind: 'closed', reason: { code: 'aborted' } });
    expect(connection.poll()).toBeUndefined();
  });

  it('a hello that no listener would accept closes the connection made from it', () => {
    for (const hello of [new Uint8Array(0), new Uint8Array(13), new Uint8Array(60).fill(22)]) {
      const connection = new Connection(sideOptions('server', new SeededRandom(1)), hello);
      connection.start(0 as Parameters<Connection['start']>[0]);
      const effects = [connection.poll(), connection.poll()];
      expect(effects.at(-1)).toMatchObject({ kind: 'closed', reason: { code: 'malformed' } });
    }
  });
});

describe('send', () => {
  it('refuses what does not fit a datagram, and what comes too early', () => {
    const pair = new Pair({ client: { maxDatagram: 200 } });
    expect(pair.say('client', 'early')).toBe(false);
    pair.connect();
    expect(pair.say('client', 'x'.repeat(200 - 37))).toBe(true);
    expect(pair.say('client', 'x'.repeat(200 - 36))).toBe(false);
    pair.client.connection.setMaxDatagram(300);
    expect(pair.say('client', 'x'.repeat(300 - 37))).toBe(true);
    pair.drive();
    expect(pair.accepted.texts.map((text) => text.length)).toEqual([163, 263]);
  });
});

describe('offload', () => {
  it('hands out keys before the flight that completes the peer’s handshake, and seals nothing after', () => {
    const pair = new Pair({ client: { offload: true }, server: { offload: true } }).connect();
    expect(pair.accepted.effects.slice(-3)).toEqual(['install', 'transmit', 'established']);
    expect(pair.client.effects.slice(-2)).toEqual(['install', 'established']);
    const [server, client] = [pair.accepted.installed, pair.client.installed];
    expect(server).toMatchObject({ epoch: 1, nextWrite: 1, accepted: [0], connectionIdsAgreed: false });
    expect(client).toMatchObject({ epoch: 1, nextWrite: 1, accepted: [0] });
    if (client === undefined || server === undefined) throw new Error('nothing installed');

    // Both planes have matching keys: a record that one seals the other opens.
    const sealed = sealRecord(client.write, 1 as Epoch, client.nextWrite, NO_ID, 23, new Uint8Array([0x45, 1]));
    const [record] = recordsIn(sealed, 0);
    if (record === undefined) throw new Error('no record');
    expect(openRecord(server.read, record)).toEqual({ contentType: 23, fragment: new Uint8Array([0x45, 1]) });

    expect(pair.say('client', 'not through here')).toBe(false);
    pair.toServer(sealed);
    expect(pair.accepted.connection.drops.offloaded).toBe(1);
    expect(pair.accepted.received).toEqual([]);
  });

  it('repeats its last flight through the plane: ChangeCipherSpec in clear, Finished to be sealed', () => {
    const pair = new Pair({ server: { offload: true } });
    // The server's last flight is lost; what its plane seals is not part of this test.
    pair.link.toClient.drop((datagram) => datagram[0] === 20);
    pair.drive(() => pair.server?.session !== undefined);
    const finished = pair.link.toServer.log.flatMap((datagram) => [...recordsIn(datagram, 0)]).at(-1);
    const keys = pair.accepted.installed;
    if (finished === undefined || keys === undefined) throw new Error('no Finished');
    const opened = openRecord(keys.read, finished);
    if (opened === undefined) throw new Error('Finished does not open');
    for (let turn = 1; turn <= 3; turn++) {
      pair.accepted.effects.length = 0;
      pair.accepted.connection.receiveOpened(22, opened.fragment, pair.clock.now);
      pair.drain();
      expect(pair.accepted.effects).toEqual(['transmit', 'seal']);
      expect(pair.accepted.sealed.at(-1)).toMatchObject({ contentType: 22 });
      expect(pair.accepted.sealed.at(-1)?.fragment[0]).toBe(20);
    }
    // What the plane seals completes the client.
    const { nextWrite, write } = keys;
    const repeated = pair.accepted.sealed.at(-1)?.fragment ?? NO_ID;
    const ccs = pair.link.toClient.log.at(-1) ?? NO_ID;
    pair.toClient(ccs);
    pair.toClient(sealRecord(write, 1 as Epoch, (nextWrite + 7) as SequenceNumber, NO_ID, 22, repeated));
    expect(pair.client.session).toBeDefined();
  });

  it('hears alerts that the plane opened, and closes through it', () => {
    const pair = new Pair({ client: { offload: true }, server: { offload: true } }).connect();
    pair.accepted.connection.close('closed', pair.clock.now);
    pair.drain();
    expect(pair.accepted.sealed).toEqual([{ kind: 'seal', contentType: 21, fragment: new Uint8Array([1, 0]) }]);
    expect(pair.accepted.effects.slice(-2)).toEqual(['seal', 'closed']);
    pair.client.connection.receiveOpened(21, new Uint8Array([1, 0]), pair.clock.now);
    pair.drain();
    expect(pair.client.closed).toMatchObject({ code: 'closed', by: 'peer' });
    expect(pair.client.effects.slice(-2)).toEqual(['seal', 'closed']);
  });

  it('passes on data that came before the keys left', () => {
    const pair = new Pair({ server: { offload: false }, client: { offload: true } });
    pair.link.toClient.tamper = (datagram) => (datagram[0] === 20 ? [] : [datagram]);
    pair.drive(() => pair.server?.session !== undefined);
    const last = pair.link.toClient.log.at(-1) ?? NO_ID;
    pair.say('server', 'early');
    pair.drive(() => false, 20);
    expect(pair.client.received).toEqual([]);
    pair.toClient(last);
    expect(pair.client.effects.slice(-3)).toEqual(['install', 'established', 'data']);
    expect(pair.client.texts).toEqual(['early']);
    expect(pair.client.installed?.accepted).toEqual([1, 0]);
  });

  it('gives the plane the ids that were agreed', () => {
    const [a, b] = [new Uint8Array(8).fill(1), new Uint8Array([7])];
    const pair = new Pair({
      client: { offload: true, connectionId: a },
      server: { offload: true, connectionId: b },
    }).connect();
    expect(pair.client.installed).toMatchObject({ ourConnectionId: a, peerConnectionId: b, connectionIdsAgreed: true });
    expect(pair.accepted.installed).toMatchObject({
      ourConnectionId: b,
      peerConnectionId: a,
      connectionIdsAgreed: true,
    });
  });
});

describe('options', () => {
  it('that cannot be meant are a mistake of the caller', () => {
    const bad = (changes: object) => () => new Connection(sideOptions('client', new SeededRandom(1), changes));
    expect(bad({ suites: [] })).toThrow('suite');
    expect(bad({ groups: [] })).toThrow('group');
    expect(bad({ connectionId: new Uint8Array(256) })).toThrow('connection id');
    expect(bad({ protocols: [''] })).toThrow('protocol');
    expect(() => new Connection(sideOptions('server', new SeededRandom(1)))).toThrow('hello');
  });
});
