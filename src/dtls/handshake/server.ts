import { equalSecret } from '../../crypto/hash.ts';
import { createKeyShare, type KeyShare } from '../../crypto/key-share.ts';
import {
  ALL_SCHEMES,
  type SignatureScheme,
  schemeCode,
  schemeOfCode,
  signWith,
  verifyWith,
} from '../../crypto/signature.ts';
import { UNCOMPRESSED_POINTS } from '../extensions/ec-point-formats.ts';
import { type Extension, findExtension } from '../extensions/extension.ts';
import type { Certificate } from '../messages/certificate.ts';
import { CERTIFICATE_TYPES } from '../messages/certificate-request.ts';
import type { CertificateVerify } from '../messages/certificate-verify.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import type { ClientKeyExchange } from '../messages/client-key-exchange.ts';
import type { Finished } from '../messages/finished.ts';
import { type Message, writeMessage } from '../messages/message.ts';
import { signedParameters } from '../messages/server-key-exchange.ts';
import type { GroupName } from '../options.ts';
import { GROUP_CODES, groupText, RENEGOTIATION_SCSV, type Suite, suiteText } from '../suites.ts';
import { DTLS_1_2, versionName } from '../versions.ts';
import type { HandshakeConfig } from './config.ts';
import { masterSecret, recordKeys, verifyData } from './key-schedule.ts';
import { type JudgedPeer, judgeCertificate } from './peer-certificate.ts';
import { type Abort, abort, type ConnectionIds, completion, item, type Negotiated, type Step } from './step.ts';
import { Transcript } from './transcript.ts';

/**
 * The server's side of the handshake, states in protocol order, from the hello whose cookie the listener verified:
 *
 *   ClientHello with cookie     →
 *                               ←  ServerHello, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone
 *   Certificate, ClientKeyExchange, CertificateVerify, ChangeCipherSpec, Finished  →
 *                               ←  ChangeCipherSpec, Finished
 */
export type ServerState =
  | { readonly at: 'expect-client-hello' }
  | (Known & { readonly at: 'expect-certificate'; readonly share: KeyShare })
  | (Known & { readonly at: 'expect-client-key-exchange'; readonly share: KeyShare; readonly peer: JudgedPeer })
  | (Keyed & { readonly at: 'expect-certificate-verify' })
  | (Keyed & {
      readonly at: 'expect-finished';
      /** What the client's Finished must hold. */
      readonly expected: Uint8Array;
    })
  | { readonly at: 'established' };

/** What every state after ServerHello knows. */
interface Known {
  readonly negotiated: Negotiated;
  /** Number of our next message. */
  readonly next: number;
  readonly transcript: Transcript;
}

/** What is known once the keys are agreed. */
interface Keyed extends Known {
  readonly peer: JudgedPeer;
  readonly group: GroupName;
  /** A secret: overwritten when the handshake completes. */
  readonly master: Uint8Array;
}

/** What a message that EXPECTS allows does to a state. `raw` is the message with its header. */
export function stepServer(
  state: ServerState,
  message: Message,
  raw: Uint8Array,
  sequence: number,
  config: HandshakeConfig,
): Step<ServerState> {
  switch (state.at) {
    case 'expect-client-hello':
      if (message.type === 'client_hello') return onClientHello(message, raw, sequence, config);
      break;
    case 'expect-certificate':
      if (message.type === 'certificate') return onCertificate(state, message, raw, config);
      break;
    case 'expect-client-key-exchange':
      if (message.type === 'client_key_exchange') return onClientKeyExchange(state, message, raw);
      break;
    case 'expect-certificate-verify':
      if (message.type === 'certificate_verify') return onCertificateVerify(state, message, raw);
      break;
    case 'expect-finished':
      if (message.type === 'finished') return onFinished(state, message, raw);
      break;
    case 'established':
      break;
  }
  return abort('unexpected_message', { seen: message.type });
}

type In<At extends ServerState['at']> = Extract<ServerState, { readonly at: At }>;

function onClientHello(
  hello: ClientHello,
  raw: Uint8Array,
  sequence: number,
  config: HandshakeConfig,
): Step<ServerState> {
  if (!speaksOurVersion(hello.version)) {
    return abort('version', { seen: versionName(hello.version), expected: versionName(DTLS_1_2) });
  }
  if (!hello.compressions.includes(0)) {
    return abort('malformed', { alert: 'illegal_parameter', seen: 'a hello without null compression' });
  }
  const renegotiation = findExtension(hello.extensions, 'renegotiation_info');
  if (renegotiation !== undefined && renegotiation.renegotiatedConnection.length > 0) {
    return abort('bad_renegotiation_info', { seen: 'a renegotiation', expected: 'an initial handshake' });
  }
  const formats = findExtension(hello.extensions, 'ec_point_formats');
  if (formats !== undefined && !formats.formats.includes(UNCOMPRESSED_POINTS)) {
    return abort('unoffered_parameter', { seen: 'compressed points only', expected: 'uncompressed points' });
  }
  const chosen = choose(hello, config);
  if ('kind' in chosen) return chosen;

  const { suite, group, scheme } = chosen;
  const protocol = chosenProtocol(hello, config);
  const ids = agreedIds(hello, config);
  const negotiated: Negotiated = {
    suite,
    clientRandom: hello.random,
    serverRandom: config.crypto.random(32),
    extendedMasterSecret: findExtension(hello.extensions, 'extended_master_secret') !== undefined,
    protocol,
    ids,
  };
  const share = createKeyShare(group, (length) => config.crypto.random(length));
  const key = { group: GROUP_CODES[group], publicKey: share.publicKey };
  const signed = signedParameters(negotiated.clientRandom, negotiated.serverRandom, key);
  const signature = signWith(scheme, config.identity.privateKey, signed);
  const extensions = answeredExtensions(hello, negotiated);

  // RFC 6347 §4.2.2: after a HelloVerifyRequest, which took a number, ours go on with the hello's.
  const flight = [
    {
      type: 'server_hello',
      version: DTLS_1_2,
      random: negotiated.serverRandom,
      // Empty: the session cannot be resumed (RFC 5246 §7.4.1.3).
      sessionId: new Uint8Array(0),
      suite: suite.code,
      compression: 0,
      extensions,
    },
    { type: 'certificate', chain: config.identity.certificates },
    { type: 'server_key_exchange', ...key, scheme: schemeCode(scheme), signature },
    { type: 'certificate_request', certificateTypes: REQUESTED_TYPES, schemes: ALL_SCHEMES.map(schemeCode) },
    { type: 'server_hello_done' },
  ] as const satisfies readonly Message[];
  const raws = flight.map((message, i) => writeMessage(message, sequence + i));
  return {
    kind: 'advance',
    next: {
      at: 'expect-certificate',
      negotiated,
      next: sequence + flight.length,
      transcript: Transcript.EMPTY.with(raw, ...raws),
      share,
    },
    flight: raws.map((message) => item(message)),
  };
}

function onCertificate(
  state: In<'expect-certificate'>,
  message: Certificate,
  raw: Uint8Array,
  config: HandshakeConfig,
): Step<ServerState> {
  const peer = judgeCertificate(message, config, state.negotiated);
  if (peer.kind === 'abort') return peer;
  const transcript = state.transcript.with(raw);
  return { kind: 'advance', next: { ...state, at: 'expect-client-key-exchange', peer, transcript } };
}

function onClientKeyExchange(
  state: In<'expect-client-key-exchange'>,
  message: ClientKeyExchange,
  raw: Uint8Array,
): Step<ServerState> {
  const { negotiated, share, peer, next } = state;
  const premaster = share.derive(message.publicKey);
  if (premaster === undefined) {
    return abort('bad_key_share', { seen: `an invalid ${share.group} key`, expected: 'a public key of the group' });
  }
  const transcript = state.transcript.with(raw);
  const randoms = { client: negotiated.clientRandom, server: negotiated.serverRandom };
  const master = masterSecret(negotiated.suite, premaster, negotiated.extendedMasterSecret, transcript, randoms);
  const keys = recordKeys(negotiated.suite, master, randoms);
  return {
    kind: 'advance',
    next: { at: 'expect-certificate-verify', negotiated, next, transcript, peer, group: share.group, master },
    keys: { read: keys.client, write: keys.server, ids: negotiated.ids },
  };
}

function onCertificateVerify(
  state: In<'expect-certificate-verify'>,
  message: CertificateVerify,
  raw: Uint8Array,
): Step<ServerState> {
  const scheme = schemeOfCode(message.scheme);
  if (scheme === undefined) {
    return abort('unoffered_parameter', {
      seen: `signature scheme 0x${message.scheme.toString(16).padStart(4, '0')}`,
      expected: ALL_SCHEMES.join(', '),
    });
  }
  if (!verifyWith(scheme, state.peer.verifier, state.transcript.bytes(), message.signature)) {
    return abort('bad_signature', {
      seen: `CertificateVerify with a wrong ${scheme} signature`,
      expected: 'the signature of the certified key',
    });
  }
  const transcript = state.transcript.with(raw);
  const expected = verifyData(state.negotiated.suite, state.master, 'client', transcript);
  return { kind: 'advance', next: { ...state, at: 'expect-finished', transcript, expected } };
}

function onFinished(state: In<'expect-finished'>, message: Finished, raw: Uint8Array): Step<ServerState> {
  if (!equalSecret(message.verifyData, state.expected)) {
    return abort('bad_finished', { seen: 'a Finished that does not match the handshake' });
  }
  const transcript = state.transcript.with(raw);
  const ours = verifyData(state.negotiated.suite, state.master, 'server', transcript);
  const finished = writeMessage({ type: 'finished', verifyData: ours }, state.next);
  state.master.fill(0);
  return {
    kind: 'advance',
    next: { at: 'established' },
    flight: [{ kind: 'change-cipher-spec' }, item(finished, 1)],
    complete: completion(state.negotiated, state.group, state.peer),
  };
}

/** RFC 6347 §4.1: versions count downwards; a client that also speaks a newer one says so elsewhere. */
export function speaksOurVersion(version: number): boolean {
  return version >> 8 === DTLS_1_2 >> 8 && version <= DTLS_1_2;
}

interface Choice {
  readonly suite: Suite;
  readonly group: GroupName;
  readonly scheme: SignatureScheme;
}

/** Our first preferences among what the client offers, or why there is none. */
function choose(hello: ClientHello, config: HandshakeConfig): Choice | Abort {
  const possible = config.suites.filter((suite) => suite.auth === config.ourAuth);
  const suite = possible.find((candidate) => hello.suites.includes(candidate.code));
  if (suite === undefined) {
    return abort('no_common_suite', {
      seen: hello.suites.map(suiteText).join(', '),
      expected: possible.map((candidate) => candidate.name).join(', '),
    });
  }
  // RFC 8422 §4: without the extension any group may be chosen; P-256 is the one that every such client has.
  const offered = findExtension(hello.extensions, 'supported_groups')?.groups ?? [GROUP_CODES.secp256r1];
  const group = config.groups.find((name) => offered.includes(GROUP_CODES[name]));
  if (group === undefined) {
    return abort('no_common_group', { seen: offered.map(groupText).join(', '), expected: config.groups.join(', ') });
  }
  // RFC 5246 §7.4.1.4.1: without the extension the client means SHA-1, which we do not sign with.
  const schemes = findExtension(hello.extensions, 'signature_algorithms')?.schemes ?? [];
  const scheme = config.ourSchemes.find((candidate) => schemes.includes(schemeCode(candidate)));
  if (scheme === undefined) {
    return abort('no_common_signature', {
      seen: schemes.map((code) => schemeOfCode(code) ?? `0x${code.toString(16)}`).join(', ') || 'SHA-1 only',
      expected: config.ourSchemes.join(', '),
    });
  }
  return { suite, group, scheme };
}

function chosenProtocol(hello: ClientHello, config: HandshakeConfig): string | undefined {
  const offered = findExtension(hello.extensions, 'application_protocols')?.protocols ?? [];
  return config.protocols.find((name) => offered.includes(name));
}

function agreedIds(hello: ClientHello, config: HandshakeConfig): ConnectionIds | undefined {
  const peers = findExtension(hello.extensions, 'connection_id')?.id;
  return config.connectionId === undefined || peers === undefined ? undefined : { ours: config.connectionId, peers };
}

/** Answers to what the client sent, and nothing else (RFC 5246 §7.4.1.4). */
function answeredExtensions(hello: ClientHello, negotiated: Negotiated): readonly Extension[] {
  const extensions: Extension[] = [];
  const offersRenegotiation =
    hello.suites.includes(RENEGOTIATION_SCSV) || findExtension(hello.extensions, 'renegotiation_info') !== undefined;
  if (negotiated.extendedMasterSecret) extensions.push({ type: 'extended_master_secret' });
  if (findExtension(hello.extensions, 'ec_point_formats') !== undefined) {
    extensions.push({ type: 'ec_point_formats', formats: [UNCOMPRESSED_POINTS] });
  }
  if (negotiated.protocol !== undefined) {
    extensions.push({ type: 'application_protocols', protocols: [negotiated.protocol] });
  }
  if (negotiated.ids !== undefined) extensions.push({ type: 'connection_id', id: negotiated.ids.ours });
  if (offersRenegotiation) {
    extensions.push({ type: 'renegotiation_info', renegotiatedConnection: new Uint8Array(0) });
  }
  return extensions;
}

/** What kinds of keys a client may sign with; `ecdsa_sign` includes Ed25519. */
const REQUESTED_TYPES = [CERTIFICATE_TYPES.ecdsa_sign, CERTIFICATE_TYPES.rsa_sign];
