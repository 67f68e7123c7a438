import { DtunnelError, EXIT } from '../../base/errors.ts';
import type { Fingerprint } from '../../base/brand.ts';
import { opensslCipherName } from '../../control/cipher-name.ts';
import { createSelfSigned, readCertificate, readIdentity } from '../../crypto/certificate.ts';
import type { Identity } from '../../crypto/identity.ts';
import { loadIdentity } from '../../daemon/identity-files.ts';
import { resolveHost } from '../../daemon/resolver.ts';
import { type Endpoint, endpointKey, type HostPort, literalEndpoint, parseHostPort } from '../../net/endpoint.ts';
import { milliseconds } from '../../base/format.ts';
import { type Io, json } from '../io.ts';
import { lookOf, plain } from '../paint.ts';
import { type ProbeResult, probe } from '../probe-client.ts';
import { details } from '../table.ts';

/** `dtunnel probe HOST:PORT`. */
export interface ProbeArgs {
  readonly target: string;
  /** Identity to present; undefined: one made for the occasion, which nobody knows. */
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly json: boolean;
  readonly timeoutMs: number;
}

/**
 * Shakes hands with whoever listens at an endpoint and tells what it is. Yields 0 when it showed who it is, 7 when it
 * refused the certificate that was given, 8 when nobody answered.
 */
export async function run(args: ProbeArgs, io: Io): Promise<number> {
  const target = parseHostPort(args.target);
  if (target === undefined) throw new DtunnelError('S021', `${args.target} is no HOST:PORT`);
  const result = await probeHost(target, await identityFor(args, io), args.timeoutMs);
  const exit = exitOf(result, args.cert !== undefined);
  if (args.json) io.out(json(toJson(args.target, result, exit)));
  else io.out(plain(lookOf(io), text(args.target, result)));
  return exit;
}

/** The fingerprint of whoever listens at `target`, for `dtunnel fingerprint HOST:PORT`. */
export async function probeFingerprint(target: HostPort, io: Io, timeoutMs: number): Promise<Fingerprint> {
  const result = await probeHost(target, await throwAwayIdentity(io), timeoutMs);
  if (result.fingerprint !== undefined) return result.fingerprint;
  const why = reasonText(result);
  throw new DtunnelError('N004', `${target.host}:${target.port} showed no certificate: ${why}`);
}

/** Probes the addresses of `target` in order until one answers. */
export async function probeHost(target: HostPort, identity: Identity, timeoutMs: number): Promise<ProbeResult> {
  const endpoints = await endpointsOf(target);
  const [first] = endpoints;
  if (first === undefined) throw new DtunnelError('N005', `${target.host} has no address`);
  let last: ProbeResult | undefined;
  for (const endpoint of endpoints) {
    last = await probe(endpoint, { identity, timeoutMs: Math.max(500, timeoutMs / endpoints.length) });
    if (last.outcome.kind === 'established' || last.outcome.kind === 'closed') return last;
  }
  return last ?? probe(first, { identity, timeoutMs });
}

async function endpointsOf(target: HostPort): Promise<readonly Endpoint[]> {
  const literal = literalEndpoint(target);
  if (literal !== undefined) return [literal];
  const answer = await resolveHost(target.host);
  if (answer.kind === 'failed') {
    const why = answer.reason === 'nxdomain' ? 'there is no such name' : 'the resolver did not answer';
    throw new DtunnelError('N005', `cannot look up ${target.host}: ${why}`);
  }
  return answer.addresses.map((address) => ({ address, port: target.port }));
}

function identityFor({ cert, key }: ProbeArgs, io: Io): Promise<Identity> | Identity {
  if (cert === undefined && key === undefined) return throwAwayIdentity(io);
  if (cert === undefined) throw new DtunnelError('S021', '--key needs --cert');
  return loadIdentity({ certificate: cert, privateKey: key ?? cert });
}

/** An identity that nobody knows and that is forgotten at once. */
export async function throwAwayIdentity(io: Io): Promise<Identity> {
  const made = await createSelfSigned({ commonName: 'dtunnel probe', days: 1, keyType: 'p256', now: io.now() });
  const identity = readIdentity(made.certificatePem, made.privateKeyPem);
  if (identity.ok) return identity.value;
  throw new DtunnelError('K004', identity.error.detail);
}

function exitOf({ outcome, fingerprint }: ProbeResult, known: boolean): number {
  if (outcome.kind === 'established') return EXIT.ok;
  if (outcome.kind === 'silent' || outcome.kind === 'unreachable') return EXIT.timeout;
  // That it does not take a certificate nobody knows is as it should be.
  return fingerprint !== undefined && !known ? EXIT.ok : EXIT.refused;
}

/** What ended a probe, in words. */
export function reasonText({ outcome }: ProbeResult): string {
  switch (outcome.kind) {
    case 'established':
      return 'handshake complete';
    case 'silent':
      return 'nobody answered';
    case 'unreachable':
      return outcome.error;
    case 'closed': {
      const { code, by, seen, expected } = outcome.reason;
      const who = by === 'peer' ? 'the peer ended it' : 'we ended it';
      const facts = [seen === undefined ? '' : `saw ${seen}`, expected === undefined ? '' : `expected ${expected}`];
      return [`${who}: ${code.replaceAll('_', ' ')}`, ...facts.filter((fact) => fact !== '')].join(', ');
    }
  }
}

function text(target: string, result: ProbeResult): string {
  const { outcome, fingerprint, cookieRttMs, handshakeMs, endpoint } = result;
  const entries: [string, string][] = [];
  if (fingerprint !== undefined) entries.push(['fingerprint', fingerprint.match(/../g)?.join(':') ?? fingerprint]);
  if (outcome.kind === 'established') {
    const { session } = outcome;
    const summary = readCertificate(session.peerCertificate);
    if (summary !== undefined) {
      const until = new Date(summary.notAfter * 1000).toISOString().slice(0, 10);
      entries.push([
        'certificate',
        `${summary.subject.replaceAll('\n', ', ')}  ${summary.keyType ?? 'unknown key'}  until ${until}`,
      ]);
    }
    entries.push(['cipher', `${opensslCipherName(session.suite)}  ${session.group}`]);
    const marks = [
      `extended master secret ${session.extendedMasterSecret ? 'yes' : 'no'}`,
      `connection ids ${session.connectionIds ? 'yes' : 'no'}`,
      `protocol ${session.protocol ?? 'none: a plain DTLS peer'}`,
    ];
    entries.push(['extensions', marks.join('  ')]);
  }
  const times = [
    ...(cookieRttMs === undefined ? [] : [`cookie after ${milliseconds(cookieRttMs / 1000)}`]),
    ...(handshakeMs === undefined ? [] : [`handshake ${milliseconds(handshakeMs / 1000)}`]),
  ];
  if (times.length > 0) entries.push(['time', times.join('  ')]);
  if (result.received.length > 0) {
    entries.push(['datagrams', `sent ${result.sent.join(' ')}  received ${result.received.join(' ')} bytes`]);
  }
  entries.push(['outcome', reasonText(result)]);
  const head = target === endpointKey(endpoint) ? target : `${target}  ${endpointKey(endpoint)}`;
  return `${[head, ...details(entries, 14)].join('\n')}\n`;
}

function toJson(target: string, result: ProbeResult, exit: number): object {
  const { outcome, endpoint, fingerprint, cookieRttMs, handshakeMs, sent, received } = result;
  const session = outcome.kind === 'established' ? outcome.session : undefined;
  const summary = session === undefined ? undefined : readCertificate(session.peerCertificate);
  return {
    schema: 'dtunnel.probe/1',
    target,
    endpoint,
    outcome: outcome.kind,
    ...(outcome.kind === 'closed' ? { reason: outcome.reason } : {}),
    ...(outcome.kind === 'unreachable' ? { error: outcome.error } : {}),
    fingerprint,
    ...(summary === undefined
      ? {}
      : {
          certificate: {
            subject: summary.subject,
            keyType: summary.keyType,
            notAfter: new Date(summary.notAfter * 1000).toISOString(),
          },
        }),
    ...(session === undefined
      ? {}
      : {
          cipher: opensslCipherName(session.suite),
          group: session.group,
          extendedMasterSecret: session.extendedMasterSecret,
          connectionIds: session.connectionIds,
          protocol: session.protocol,
          retransmissions: session.retransmissions,
        }),
    cookieRttMs,
    handshakeMs,
    sentBytes: sent,
    receivedBytes: received,
    exit,
  };
}
