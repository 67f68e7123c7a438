import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { certificateFromPem, readIdentity } from '../../src/crypto/certificate.ts';
import { fingerprintOf, formatFingerprint } from '../../src/crypto/fingerprint.ts';
import { call, type EngineReport, type EngineTask, serve } from './engine-peer.ts';
import {
  ABILITIES,
  type Case,
  combinations,
  coveringDesign,
  DIMENSIONS,
  fullProduct,
  suiteOf,
  titleOf,
} from './matrix-design.ts';
import { LOSSY, Relay } from './matrix-relay.ts';
import { Credentials } from './peers/credentials.ts';
import { buildPeers, type PeerReport, type PeerTask, startPeer } from './peers/peers.ts';

// The engine against other libraries over real sockets. The normal run is a covering design; the full product runs with
// DTUNNEL_INTEROP=full and takes an hour or so.

const { built, missing } = buildPeers();
for (const [name, reason] of missing) console.warn(`peer ${name} is left out: ${reason}`);

const credentials = new Credentials();
afterAll(() => credentials.remove());

const cases = process.env['DTUNNEL_INTEROP'] === 'full' ? fullProduct(built) : coveringDesign(built);

describe('the covering design', () => {
  it('contains every possible pair of settings with every library in both roles', () => {
    const design = coveringDesign(DIMENSIONS.peer);
    const covered = new Set(design.flatMap(combinations));
    const possible = new Set(fullProduct(DIMENSIONS.peer).flatMap(combinations));
    expect([...possible].filter((one) => !covered.has(one))).toEqual([]);
    expect(design.length).toBeLessThan(possible.size / 5);
  });
});

describe.runIf(built.length > 0)('the engine and other libraries', () => {
  beforeAll(() => {
    // Made before the clock of the first case runs.
    for (const kind of DIMENSIONS.certificate) for (const end of ['a', 'b'] as const) credentials.of(kind, end);
  });

  it.each(cases.map((one): [string, Case] => [titleOf(one), one]))('%s', async (_, one) => {
    const { engine, peer, largest } = await meet(one, {});
    const suite = suiteOf(one.aead, one.certificate);
    const ids = one.cid === 'on';
    expect(peer.error).toBeNull();
    expect(engine.session, JSON.stringify(engine.closed)).toMatchObject({
      suite,
      group: one.group,
      protocol: 'dtunnel/1',
      extendedMasterSecret: true,
      connectionIds: ids,
    });
    expect(peer).toMatchObject({ status: 0, suite, alpn: 'dtunnel/1', cidIn: ids, cidOut: ids });
    // Null: the library does not say.
    expect([null, one.group]).toContain(peer.group);
    expect([null, true]).toContain(peer.extendedMasterSecret);
    expect(Math.min(engine.echoed, peer.echoed)).toBeGreaterThanOrEqual(SIZES.length);
    // RFC 9146 §4: once agreed, every protected record is of type 25.
    if (ids) expect(engine.received.filter((type) => type === 23)).toEqual([]);
    if (ids) expect(engine.received).toContain(25);
    expect(largest.engine).toBeLessThanOrEqual(one.limit);
    // OpenSSL as a client with an Ed25519 certificate fills its last flight a few octets beyond its limit.
    const keeps = ABILITIES[one.peer].limit && !(one.peer === 'openssl' && one.certificate === 'Ed25519');
    if (keeps) expect(largest.peer).toBeLessThanOrEqual(one.limit);
  });
});

// MatrixSSL is not packaged anywhere we can install from. What sets it apart for an engine is that it sends neither
// extended_master_secret nor renegotiation_info; these peers, of other libraries, are told to leave both out.
describe('peers with the profile of MatrixSSL', () => {
  const profile: Omit<Case, 'peer' | 'role' | 'aead'> = {
    group: 'secp256r1',
    certificate: 'P-256',
    cid: 'off',
    limit: 1400,
    path: 'plain',
  };
  // wolfSSL as a server agrees to extended_master_secret although it is told not to.
  const meetings = (
    [
      { peer: 'gnutls', role: 'client' },
      { peer: 'gnutls', role: 'server' },
      { peer: 'wolfssl', role: 'server' },
    ] as const
  ).filter(({ peer }) => built.includes(peer));

  it.each(meetings.flatMap((one) => (['AES-128-GCM', 'AES-256-GCM'] as const).map((aead) => ({ ...one, aead }))))(
    '$peer without extended_master_secret and renegotiation_info × engine as $role × $aead, if the pin allows it',
    async ({ peer: name, role, aead }) => {
      const one = { ...profile, peer: name, role, aead };
      const { engine, peer } = await meet(one, { legacy: true, allowLegacyPeer: true });
      expect(peer).toMatchObject({ status: 0, error: null, suite: suiteOf(aead, 'P-256') });
      expect(engine.session).toMatchObject({ extendedMasterSecret: false, group: 'secp256r1' });
      expect([null, false]).toContain(peer.extendedMasterSecret);
      expect([null, false]).toContain(peer.renegotiationInfo);
      expect(engine.echoed).toBeGreaterThanOrEqual(SIZES.length);
    },
  );

  it.each(meetings)('$peer × engine as $role is refused with its reason if the pin does not', async (one) => {
    const { engine, peer } = await meet({ ...profile, ...one, aead: 'AES-128-GCM' }, { legacy: true, timeoutMs: 3000 });
    expect(engine.session).toBeUndefined();
    expect(engine.closed?.code).toBe('no_extended_master_secret');
    // Told by an alert, not left to wait.
    expect(peer).toMatchObject({ status: 1, echoed: 0 });
  });
});

describe.runIf(built.length > 0)('a pin that does not match', () => {
  it.each(built.flatMap((peer) => (['client', 'server'] as const).map((role) => ({ peer, role }))))(
    '$peer × engine as $role: refused, and the reason names both fingerprints',
    async (one) => {
      const full = {
        ...one,
        aead: 'AES-128-GCM',
        group: 'x25519',
        certificate: 'P-256',
        cid: 'off',
        limit: 1400,
        path: 'plain',
      } as const;
      const { engine, peer } = await meet(full, { wrongPin: true, timeoutMs: 3000 });
      expect(engine.session).toBeUndefined();
      expect(engine.closed).toMatchObject({ code: 'unknown_fingerprint', by: 'local' });
      expect(engine.closed?.seen).toBe(formatFingerprint(fingerprint('P-256', 'b')));
      expect(engine.closed?.expected).toBe(fingerprint('P-384', 'b'));
      expect(peer.echoed).toBe(0);
    },
  );
});

const SIZES = [64, 1, 150, 7, 150];

interface Variation {
  readonly legacy?: boolean;
  readonly allowLegacyPeer?: boolean;
  readonly wrongPin?: boolean;
  readonly timeoutMs?: number;
}

interface Meeting {
  readonly engine: EngineReport;
  readonly peer: PeerReport;
  readonly largest: { readonly engine: number; readonly peer: number };
}

async function meet(one: Case, variation: Variation): Promise<Meeting> {
  const impairment = one.path === 'lossy' ? LOSSY : { loss: 0, duplicate: 0, reorder: 0 };
  // On a path that loses nothing nobody should have to send again, however busy the machine is.
  const timerMs = one.path === 'lossy' ? 200 : 1000;
  const suite = suiteOf(one.aead, one.certificate);
  const timeoutMs = variation.timeoutMs ?? 30_000;
  // An OpenSSL server chooses no Ed25519 certificate in DTLS, but judges ours.
  const own = one.certificate === 'Ed25519' && one.role === 'client' && ABILITIES[one.peer].ed25519 === 'as-client';
  const theirs = credentials.of(own ? 'P-256' : one.certificate, 'b');
  const ours = credentials.of(one.certificate, 'a');
  const peerTask: Omit<PeerTask, 'role'> = {
    ...theirs,
    peerCertificate: ours.certificate,
    suite,
    group: one.group,
    mtu: one.limit,
    cid: one.cid === 'on' ? 'c1d2e3f4' : undefined,
    alpn: 'dtunnel/1',
    messages: SIZES.length,
    sizes: SIZES,
    timerMs,
    timeoutMs,
    legacy: variation.legacy ?? false,
  };
  const identity = readIdentity(readFileSync(ours.certificate, 'utf8'), readFileSync(ours.key, 'utf8'));
  if (!identity.ok) throw new Error(identity.error.detail);
  const task: EngineTask = {
    identity: identity.value,
    pin: variation.wrongPin === true ? fingerprint('P-384', 'b') : fingerprint(own ? 'P-256' : one.certificate, 'b'),
    suite,
    // wolfSSL as a server takes the weakest group offered that suits its certificate, whatever the order.
    groups: one.peer.startsWith('wolfssl') && one.role === 'client' ? [one.group] : groupsFrom(one.group),
    mtu: one.limit,
    cid: one.cid === 'on' ? new Uint8Array([1, 2, 3, 4, 5, 6]) : undefined,
    protocol: 'dtunnel/1',
    allowLegacyPeer: variation.allowLegacyPeer ?? false,
    timerMs,
    timeoutMs,
  };
  return one.role === 'client'
    ? await engineCalls(one, task, peerTask, impairment)
    : await peerCalls(one, task, peerTask, impairment);
}

async function engineCalls(
  one: Case,
  task: EngineTask,
  peerTask: Omit<PeerTask, 'role'>,
  impairment: typeof LOSSY,
): Promise<Meeting> {
  const server = startPeer(one.peer, { ...peerTask, role: 'server' });
  const relay = await Relay.open(await server.port, impairment, SEED);
  try {
    const engine = await call(relay.port, task, SIZES);
    // A refused peer ends by itself when it hears of it.
    if (engine.session !== undefined) server.stop();
    const peer = await server.report;
    return { engine, peer, largest: { engine: relay.largest.toServer, peer: relay.largest.toClient } };
  } finally {
    server.stop();
    relay.close();
  }
}

async function peerCalls(
  one: Case,
  task: EngineTask,
  peerTask: Omit<PeerTask, 'role'>,
  impairment: typeof LOSSY,
): Promise<Meeting> {
  const server = await serve(task);
  const relay = await Relay.open(server.port, impairment, SEED);
  try {
    const peer = await startPeer(one.peer, { ...peerTask, role: 'client', port: relay.port }).report;
    server.stop();
    const engine = await server.report;
    return { engine, peer, largest: { engine: relay.largest.toClient, peer: relay.largest.toServer } };
  } finally {
    server.stop();
    relay.close();
  }
}

/** All groups, this one first: a certificate on another curve needs its curve to be offered too (RFC 8422 §5.1.1). */
function groupsFrom(first: Case['group']): Case['group'][] {
  return [first, ...DIMENSIONS.group.filter((group) => group !== first)];
}

function fingerprint(kind: Case['certificate'], end: 'a' | 'b'): ReturnType<typeof fingerprintOf> {
  const der = certificateFromPem(readFileSync(credentials.of(kind, end).certificate, 'utf8'));
  if (der === undefined) throw new Error(`the certificate of ${kind} ${end} does not parse`);
  return fingerprintOf(der);
}

/** Of every lossy path: a case fails alike each time it runs. */
const SEED = 20_260_701;
