import { equalSecret } from '../../crypto/hash.ts';
import { createKeyShare } from '../../crypto/key-share.ts';
import { ALL_SCHEMES, schemeCode, schemeOfCode, signWith, verifyWith } from '../../crypto/signature.ts';
import { equalBytes } from '../../wire/bytes.ts';
import { UNCOMPRESSED_POINTS } from '../extensions/ec-point-formats.ts';
import { type Extension, extensionCode, findExtension } from '../extensions/extension.ts';
import { MAX_CHALLENGES, MAX_REFUSED_FLIGHTS } from '../limits.ts';
import type { Certificate } from '../messages/certificate.ts';
import type { CertificateRequest } from '../messages/certificate-request.ts';
import type { ClientHello } from '../messages/client-hello.ts';
import type { Finished } from '../messages/finished.ts';
import type { HelloVerifyRequest } from '../messages/hello-verify-request.ts';
import { type Message, writeMessage } from '../messages/message.ts';
import type { ServerHello } from '../messages/server-hello.ts';
import { type ServerKeyExchange, signedParameters } from '../messages/server-key-exchange.ts';
import type { GroupName } from '../options.ts';
import { GROUP_CODES, groupText, suiteText } from '../suites.ts';
import { DTLS_1_2, versionName } from '../versions.ts';
import type { HandshakeConfig } from './config.ts';
import { masterSecret, recordKeys, verifyData } from './key-schedule.ts';
import { type JudgedPeer, judgeCertificate } from './peer-certificate.ts';
import type { WholeMessage } from './reassembly.ts';
import { type Abort, abort, type ConnectionIds, completion, item, type Negotiated, type Step } from './step.ts';
import { Transcript } from './transcript.ts';

/**
 * The client's side of the handshake, states in protocol order. Each state holds what that moment knows.
 *
 *   ClientHello                 →
 *                               ←  HelloVerifyRequest
 *   ClientHello with cookie     →
 *                               ←  ServerHello, Certificate, ServerKeyExchange, CertificateRequest, ServerHelloDone
 *   Certificate, ClientKeyExchange, CertificateVerify, ChangeCipherSpec, Finished  →
 *                               ←  ChangeCipherSpec, Finished
 */
export type ClientState =
  | {
      readonly at: 'hello-sent';
      readonly hello: ClientHello;
      /** Number of our next message; also how often we were challenged, plus one. */
      readonly next: number;
      readonly transcript: Transcript;
      /** A challenge has come under the number of a later hello than our first: so the server numbers all its answers. */
      readonly mirrored: boolean;
      /** Server's flights that were not signed over our hello; undefined while there was none. */
      readonly refused: RefusedFlights | undefined;
    }
  | (Known & { readonly at: 'expect-certificate' })
  | (Known & { readonly at: 'expect-server-key-exchange'; readonly peer: JudgedPeer })
  | (Known & { readonly at: 'expect-certificate-request'; readonly peer: JudgedPeer; readonly share: ServerShare })
  | (Known & {
      readonly at: 'expect-server-hello-done';
      readonly peer: JudgedPeer;
      readonly share: ServerShare;
      readonly request: CertificateRequest;
    })
  | {
      readonly at: 'expect-finished';
      readonly negotiated: Negotiated;
      readonly peer: JudgedPeer;
      readonly group: GroupName;
      /** What the server's Finished must hold. */
      readonly expected: Uint8Array;
    }
  | { readonly at: 'established' };

/** What every state between ServerHello and our own flight knows. */
interface Known {
  readonly negotiated: Negotiated;
  /** Where another flight would begin. */
  readonly greeted: In<'hello-sent'>;
  readonly next: number;
  readonly transcript: Transcript;
}

/** Server's flights that may be late answers to earlier calls of ours from the same address and port. */
interface RefusedFlights {
  /** Of their ServerHellos; at most MAX_REFUSED_FLIGHTS. */
  readonly randoms: readonly Uint8Array[];
  /** What is to be said if no other comes. */
  readonly failure: Abort;
}

/** The server's ephemeral public key, its signature verified. */
interface ServerShare {
  readonly group: GroupName;
  readonly publicKey: Uint8Array;
}

/** The first flight. */
export function startClient(config: HandshakeConfig): Step<ClientState> {
  const hello: ClientHello = {
    type: 'client_hello',
    version: DTLS_1_2,
    random: config.crypto.random(32),
    sessionId: new Uint8Array(0),
    cookie: new Uint8Array(0),
    suites: config.suites.map((suite) => suite.code),
    compressions: NULL_COMPRESSION,
    extensions: offeredExtensions(config),
  };
  return sendHello(hello, 0, { mirrored: false, refused: undefined });
}

/** Whether nothing may come ahead of the ServerHello: the rest of a flight that was refused would be taken for that of the next. */
export function insistsOnOrder(state: ClientState): boolean {
  return state.at === 'hello-sent' && (state.refused !== undefined || state.mirrored);
}

/** What a message that EXPECTS allows does to a state. */
export function stepClient(
  state: ClientState,
  message: Message,
  { raw, sequence }: Pick<WholeMessage, 'raw' | 'sequence'>,
  config: HandshakeConfig,
): Step<ClientState> {
  switch (state.at) {
    case 'hello-sent':
      if (message.type === 'hello_verify_request') return onChallenge(state, message, sequence);
      if (message.type === 'server_hello') return onServerHello(state, message, raw, config);
      break;
    case 'expect-certificate':
      if (message.type === 'certificate') return onCertificate(state, message, raw, config);
      break;
    case 'expect-server-key-exchange':
      if (message.type === 'server_key_exchange') return onServerKeyExchange(state, message, raw, config);
      break;
    case 'expect-certificate-request':
      if (message.type === 'certificate_request') {
        const transcript = state.transcript.with(raw);
        return { kind: 'advance', next: { ...state, at: 'expect-server-hello-done', request: message, transcript } };
      }
      break;
    case 'expect-server-hello-done':
      if (message.type === 'server_hello_done') return onServerHelloDone(state, raw, config);
      break;
    case 'expect-finished':
      if (message.type === 'finished') return onFinished(state, message);
      break;
    case 'established':
      break;
  }
  return abort('unexpected_message', { seen: message.type });
}

type In<At extends ClientState['at']> = Extract<ClientState, { readonly at: At }>;

/** RFC 6347 §4.2.1: the same hello again, with the cookie. The challenge and the hello before it are not in the transcript. */
function onChallenge(state: In<'hello-sent'>, message: HelloVerifyRequest, number: number): Step<ClientState> {
  if (state.next > MAX_CHALLENGES) {
    return abort('cookie_loop', { seen: `${state.next} challenges`, expected: 'one challenge' });
  }
  const mirrored = state.mirrored || (number > 0 && isForLastHello(state, number));
  return sendHello({ ...state.hello, cookie: message.cookie }, state.next, { mirrored, refused: state.refused });
}

function onServerHello(
  state: In<'hello-sent'>,
  message: ServerHello,
  raw: Uint8Array,
  config: HandshakeConfig,
): Step<ClientState> {
  // Its server repeats it until it learns of this call, and nobody can say how many of our hellos are lost until then.
  if (state.refused?.randoms.some((random) => equalBytes(message.random, random)) === true) {
    return { kind: 'retreat', next: state, suspicion: state.refused.failure };
  }
  if (message.version !== DTLS_1_2) {
    return abort('version', { seen: versionName(message.version), expected: versionName(DTLS_1_2) });
  }
  const suite = config.suites.find((candidate) => candidate.code === message.suite);
  if (suite === undefined) {
    return abort('unoffered_parameter', {
      seen: suiteText(message.suite),
      expected: config.suites.map((offered) => offered.name).join(', '),
    });
  }
  if (message.compression !== 0) return abort('unoffered_parameter', { seen: 'compression', expected: 'none' });

  // RFC 5246 §7.4.1.4: a server answers extensions, it never brings its own.
  const offered = new Set(state.hello.extensions.map(extensionCode));
  const unsolicited = message.extensions.find((extension) => !offered.has(extensionCode(extension)));
  if (unsolicited !== undefined) {
    return abort('unoffered_parameter', {
      alert: 'unsupported_extension',
      seen: `extension ${extensionCode(unsolicited)}`,
      expected: 'only offered extensions',
    });
  }
  const renegotiation = findExtension(message.extensions, 'renegotiation_info');
  if (renegotiation !== undefined && renegotiation.renegotiatedConnection.length > 0) {
    return abort('bad_renegotiation_info', { seen: 'a renegotiation', expected: 'an initial handshake' });
  }
  const formats = findExtension(message.extensions, 'ec_point_formats');
  if (formats !== undefined && !formats.formats.includes(UNCOMPRESSED_POINTS)) {
    return abort('unoffered_parameter', { seen: 'compressed points only', expected: 'uncompressed points' });
  }
  const protocols = findExtension(message.extensions, 'application_protocols')?.protocols ?? [];
  const [protocol] = protocols;
  if (protocols.length > 1 || (protocol !== undefined && !config.protocols.includes(protocol))) {
    return abort('unoffered_parameter', {
      seen: `protocols ${JSON.stringify(protocols)}`,
      expected: `one of ${JSON.stringify(config.protocols)}`,
    });
  }
  const negotiated: Negotiated = {
    suite,
    clientRandom: state.hello.random,
    serverRandom: message.random,
    extendedMasterSecret: findExtension(message.extensions, 'extended_master_secret') !== undefined,
    protocol,
    ids: agreedIds(config, message.extensions),
  };
  const transcript = state.transcript.with(raw);
  const known = { negotiated, greeted: state, next: state.next, transcript };
  return { kind: 'advance', next: { at: 'expect-certificate', ...known } };
}

function onCertificate(
  state: In<'expect-certificate'>,
  message: Certificate,
  raw: Uint8Array,
  config: HandshakeConfig,
): Step<ClientState> {
  const peer = judgeCertificate(message, config, state.negotiated);
  if (peer.kind === 'abort') return peer;
  if (peer.auth !== state.negotiated.suite.auth) {
    return abort('bad_certificate', {
      alert: 'unsupported_certificate',
      seen: `a certificate for ${peer.auth} signatures`,
      expected: `one for ${state.negotiated.suite.name}`,
    });
  }
  const transcript = state.transcript.with(raw);
  return { kind: 'advance', next: { ...state, at: 'expect-server-key-exchange', peer, transcript } };
}

function onServerKeyExchange(
  state: In<'expect-server-key-exchange'>,
  message: ServerKeyExchange,
  raw: Uint8Array,
  config: HandshakeConfig,
): Step<ClientState> {
  const group = config.groups.find((name) => GROUP_CODES[name] === message.group);
  if (group === undefined) {
    return abort('unoffered_parameter', { seen: groupText(message.group), expected: config.groups.join(', ') });
  }
  const scheme = schemeOfCode(message.scheme);
  if (scheme === undefined) {
    return abort('unoffered_parameter', {
      seen: `signature scheme 0x${message.scheme.toString(16).padStart(4, '0')}`,
      expected: ALL_SCHEMES.join(', '),
    });
  }
  const { clientRandom, serverRandom } = state.negotiated;
  const signed = signedParameters(clientRandom, serverRandom, message);
  if (!verifyWith(scheme, state.peer.verifier, signed, message.signature)) {
    const failure = abort('bad_signature', {
      seen: `ServerKeyExchange with a wrong ${scheme} signature`,
      expected: 'the signature of the certified key',
    });
    // The signature is all that ties the flight to our hello (RFC 5246 §7.4.3).
    const { greeted } = state;
    const before = greeted.refused?.randoms ?? [];
    if (before.length >= MAX_REFUSED_FLIGHTS) return failure;
    const refused = { randoms: [...before, serverRandom.slice()], failure };
    return { kind: 'retreat', next: { ...greeted, refused }, suspicion: failure };
  }
  const share = { group, publicKey: message.publicKey };
  const transcript = state.transcript.with(raw);
  return { kind: 'advance', next: { ...state, at: 'expect-certificate-request', share, transcript } };
}

function onServerHelloDone(
  state: In<'expect-server-hello-done'>,
  raw: Uint8Array,
  config: HandshakeConfig,
): Step<ClientState> {
  const { negotiated, peer } = state;
  const { suite } = negotiated;
  const scheme = config.ourSchemes.find((candidate) => state.request.schemes.includes(schemeCode(candidate)));
  if (scheme === undefined) {
    return abort('no_common_signature', {
      seen: state.request.schemes.map((code) => schemeOfCode(code) ?? `0x${code.toString(16)}`).join(', '),
      expected: config.ourSchemes.join(', '),
    });
  }
  const share = createKeyShare(state.share.group, (length) => config.crypto.random(length));
  const premaster = share.derive(state.share.publicKey);
  if (premaster === undefined) {
    return abort('bad_key_share', {
      seen: `an invalid ${state.share.group} key`,
      expected: 'a public key of the group',
    });
  }

  const certificate = writeMessage({ type: 'certificate', chain: config.identity.certificates }, state.next);
  const keyExchange = writeMessage({ type: 'client_key_exchange', publicKey: share.publicKey }, state.next + 1);
  const agreed = state.transcript.with(raw, certificate, keyExchange);
  const randoms = { client: negotiated.clientRandom, server: negotiated.serverRandom };
  const master = masterSecret(suite, premaster, negotiated.extendedMasterSecret, agreed, randoms);
  const keys = recordKeys(suite, master, randoms);

  const signature = signWith(scheme, config.identity.privateKey, agreed.bytes());
  const verify = writeMessage({ type: 'certificate_verify', scheme: schemeCode(scheme), signature }, state.next + 2);
  const proven = agreed.with(verify);
  const finished = writeMessage(
    { type: 'finished', verifyData: verifyData(suite, master, 'client', proven) },
    state.next + 3,
  );
  const expected = verifyData(suite, master, 'server', proven.with(finished));
  master.fill(0);
  return {
    kind: 'advance',
    next: { at: 'expect-finished', negotiated, peer, group: share.group, expected },
    keys: { read: keys.server, write: keys.client, ids: negotiated.ids },
    flight: [item(certificate), item(keyExchange), item(verify), { kind: 'change-cipher-spec' }, item(finished, 1)],
  };
}

function onFinished(state: In<'expect-finished'>, message: Finished): Step<ClientState> {
  if (!equalSecret(message.verifyData, state.expected)) {
    return abort('bad_finished', { seen: 'a Finished that does not match the handshake' });
  }
  return {
    kind: 'advance',
    next: { at: 'established' },
    complete: completion(state.negotiated, state.group, state.peer),
  };
}

function sendHello(
  hello: ClientHello,
  sequence: number,
  known: Pick<In<'hello-sent'>, 'mirrored' | 'refused'>,
): Step<ClientState> {
  const raw = writeMessage(hello, sequence);
  return {
    kind: 'advance',
    next: { at: 'hello-sent', hello, next: sequence + 1, transcript: Transcript.EMPTY.with(raw), ...known },
    flight: [item(raw)],
  };
}

/** What we offer; the last one is never empty, since some servers cannot read a hello that ends so. */
function offeredExtensions(config: HandshakeConfig): readonly Extension[] {
  const extensions: Extension[] = [
    { type: 'extended_master_secret' },
    { type: 'renegotiation_info', renegotiatedConnection: new Uint8Array(0) },
    { type: 'supported_groups', groups: config.groups.map((name) => GROUP_CODES[name]) },
    { type: 'ec_point_formats', formats: [UNCOMPRESSED_POINTS] },
  ];
  if (config.protocols.length > 0) extensions.push({ type: 'application_protocols', protocols: config.protocols });
  if (config.connectionId !== undefined) extensions.push({ type: 'connection_id', id: config.connectionId });
  extensions.push({ type: 'signature_algorithms', schemes: ALL_SCHEMES.map(schemeCode) });
  return extensions;
}

function agreedIds(config: HandshakeConfig, extensions: readonly Extension[]): ConnectionIds | undefined {
  const peers = findExtension(extensions, 'connection_id')?.id;
  return config.connectionId === undefined || peers === undefined ? undefined : { ours: config.connectionId, peers };
}

/** Whether a message with this number answers a hello of ours that was not the last: both ends hash the last alone. */
export function isForEarlierHello(state: ClientState, number: number): boolean {
  return state.at === 'hello-sent' && state.mirrored && !isForLastHello(state, number);
}

/** Whether it has the number of our last hello. */
export function isForLastHello(state: In<'hello-sent'>, number: number): boolean {
  return number === state.next - 1;
}

/** Whether a challenge brings nothing new: the cookie we answered already. */
export function isSameChallenge(state: In<'hello-sent'>, cookie: Uint8Array): boolean {
  return equalBytes(state.hello.cookie, cookie);
}

/** RFC 5246 §6.1: the null method, the only one. */
const NULL_COMPRESSION = new Uint8Array([0]);
