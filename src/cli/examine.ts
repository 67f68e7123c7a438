import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { DtunnelError } from '../base/errors.ts';
import { loadSettings } from '../config/load.ts';
import type { PeerSettings, Settings } from '../config/settings.ts';
import type { StatusDocument } from '../control/status.ts';
import type { Identity } from '../crypto/identity.ts';
import { routedPrefixes } from '../daemon/host/host-plan.ts';
import { loadIdentity } from '../daemon/identity-files.ts';
import { family } from '../net/address.ts';
import { endpointKey, type HostPort } from '../net/endpoint.ts';
import { renderDiagnostics, renderWarningLines } from './diagnostics.ts';
import { probeHost, reasonText, throwAwayIdentity } from './commands/probe.ts';
import { hostPort, milliseconds } from '../base/format.ts';
import type { Io } from './io.ts';
import type { ProbeResult } from './probe-client.ts';
import { resolveConfigFile } from './resolve-file.ts';
import { clientOf } from './targets.ts';

/** One thing that was looked at. */
export interface Finding {
  readonly what: string;
  readonly verdict: 'good' | 'notice' | 'bad';
  /** Facts and the way out, a line each. */
  readonly detail: readonly string[];
}

/** Everything that can keep tunnel `name` from working, from the file outwards. Stops where the next step has no base. */
export async function collectFindings(name: string, timeoutMs: number, io: Io): Promise<readonly Finding[]> {
  const file = resolveConfigFile(name, io.env);
  const loaded = loadSettings(file, io.files, (variable) => io.env[variable]);
  if (!loaded.ok) return [bad('config', renderDiagnostics(loaded.error).trimEnd().split('\n'))];
  const { settings, warnings } = loaded.value;
  const findings: Finding[] = [
    warnings.items.length === 0 ? good('config') : notice('config', renderWarningLines(warnings).trimEnd().split('\n')),
  ];
  const identity = identityOf(settings);
  if (identity instanceof DtunnelError)
    findings.push(bad('key permissions', [identity.message, `fix: ${identity.hint}`]));
  else findings.push(good('key permissions'));
  findings.push(...hostFindings(settings));
  const status = await statusOf(name, io);
  if (status instanceof DtunnelError) findings.push(bad(status.message, [`fix: ${status.hint}`]));
  else findings.push(good('daemon'), ...statusFindings(status));
  if (identity instanceof DtunnelError) return findings;
  const stranger = await throwAwayIdentity(io);
  for (const peer of settings.peers.filter(({ enabled }) => enabled)) {
    const isUp = !(status instanceof DtunnelError) && status.peers.some((one) => one.name === peer.name && one.up);
    // A peer that is up would take a second handshake under our name for a move: there a stranger knocks.
    const presented = isUp ? stranger : identity;
    for (const endpoint of peer.endpoints) {
      findings.push(await endpointFinding(peer, endpoint, { presented, isStranger: isUp, own: identity, timeoutMs }));
    }
  }
  return findings;
}

function identityOf(settings: Settings): Identity | DtunnelError {
  try {
    return loadIdentity(settings.interface);
  } catch (error) {
    if (error instanceof DtunnelError) return error;
    throw error;
  }
}

async function statusOf(name: string, io: Io): Promise<StatusDocument | DtunnelError> {
  try {
    return (await clientOf(name, io).status()).document;
  } catch (error) {
    if (error instanceof DtunnelError) return error;
    throw error;
  }
}

function hostFindings(settings: Settings): readonly Finding[] {
  const findings = [clockFinding()];
  findings.push(
    existsSync('/dev/net/tun') ? good('/dev/net/tun') : bad('/dev/net/tun is missing', ['fix: modprobe tun']),
  );
  findings.push(
    runs('ip', ['-V']) === undefined ? bad('iproute2 is missing', ['fix: apt-get install iproute2']) : good('iproute2'),
  );
  if (settings.interface.forwarding === 'off') return findings;
  const families = new Set(routedPrefixes(settings).map((prefix) => family(prefix.address)));
  for (const version of families) {
    const key = version === 4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
    const label = version === 4 ? 'ip_forward' : 'ip_forward (IPv6)';
    if (sysctl(key) !== '0') findings.push(good(label));
    else
      findings.push(
        notice(`${key} is 0`, [
          'only this host itself uses the tunnel',
          `fix: sysctl -w ${key}=1, and a line in /etc/sysctl.d`,
        ]),
      );
  }
  return findings;
}

/** The clock decides nothing but what certificates' dates look like: a notice at most. */
function clockFinding(): Finding {
  const synchronized = runs('timedatectl', ['show', '-p', 'NTPSynchronized', '--value'])?.trim();
  if (synchronized === 'no') return notice('clock is not synchronized', ['fix: timedatectl set-ntp true']);
  return good(synchronized === 'yes' ? 'clock (NTP)' : 'clock (nobody to ask whether it is synchronized)');
}

/** What a program printed; undefined when it cannot be run or failed. */
function runs(program: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8', timeout: 2_000 });
  return status === 0 ? stdout : undefined;
}

function sysctl(key: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${key.replaceAll('.', '/')}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

function statusFindings({ peers, health }: StatusDocument): readonly Finding[] {
  const findings: Finding[] = peers
    .filter((peer) => peer.up)
    .map((peer) => {
      const where = peer.endpoint === undefined ? '' : ` at ${hostPort(peer.endpoint.address, peer.endpoint.port)}`;
      return good(`peer ${peer.name} up${where}`);
    });
  for (const { code, peer, text } of health) {
    if (code === 'host') continue;
    const what = peer === undefined ? text : `peer ${peer}: ${text}`;
    findings.push({ what, verdict: code === 'peer-down' ? 'bad' : 'notice', detail: [] });
  }
  for (const { name, path } of peers) {
    if (path !== undefined && path.mtuBytes < 1500) {
      findings.push(
        notice(`path MTU to ${name} is ${path.mtuBytes}: fine, discovered`, [
          'packets inside follow; tell your provider if you expected 1500',
        ]),
      );
    }
  }
  return findings;
}

interface Knock {
  readonly presented: Identity;
  /** Somebody the peer does not know was presented. */
  readonly isStranger: boolean;
  readonly own: Identity;
  readonly timeoutMs: number;
}

async function endpointFinding(peer: PeerSettings, endpoint: HostPort, knock: Knock): Promise<Finding> {
  const name = hostPort(endpoint.host, endpoint.port);
  try {
    return judge(peer, name, await probeHost(endpoint, knock.presented, knock.timeoutMs), knock);
  } catch (error) {
    if (!(error instanceof DtunnelError)) throw error;
    return bad(`peer ${peer.name}: ${error.message}`, [`fix: ${error.hint}`]);
  }
}

/** What a knock at an endpoint of `peer` means. */
export function judge(
  peer: PeerSettings,
  name: string,
  result: ProbeResult,
  knock: Pick<Knock, 'isStranger' | 'own'>,
): Finding {
  const { outcome, fingerprint, cookieRttMs } = result;
  if (outcome.kind === 'silent' || outcome.kind === 'unreachable') {
    return bad(`UDP ${name} (peer ${peer.name}): ${reasonText(result)}`, [
      `asked ${endpointKey(result.endpoint)} ${result.sent.length} times`,
      'fix: open that UDP port in the firewall and security group there, and check that dtunnel runs',
    ]);
  }
  const answered = cookieRttMs === undefined ? '' : ` (cookie answered in ${milliseconds(cookieRttMs / 1000)})`;
  const reachable = `UDP ${name} reachable${answered}`;
  if (fingerprint !== undefined && !peer.fingerprints.includes(fingerprint)) {
    return bad(`${name} is not ${peer.name}: it shows another certificate`, [
      `it shows    ${colonHex(fingerprint)}`,
      `expected    ${peer.fingerprints.map(colonHex).join(' or ')}`,
      `fix: if that is right, set  Fingerprint = ${colonHex(fingerprint)}  for peer ${peer.name}, then: dtunnel reload`,
    ]);
  }
  if (outcome.kind === 'closed' && !knock.isStranger) {
    const { reason } = outcome;
    return bad(
      `peer ${peer.name} ${reason.by === 'peer' ? 'rejected us' : 'was rejected by us'}: ${reason.code.replaceAll('_', ' ')}`,
      [
        `our fingerprint    ${colonHex(knock.own.fingerprint)}`,
        ...(reason.seen === undefined ? [] : [`saw ${reason.seen}`]),
        ...(reason.expected === undefined ? [] : [`expected ${reason.expected}`]),
        `fix: on ${peer.name} set  Fingerprint = ${colonHex(knock.own.fingerprint)}  for this side, then: dtunnel reload`,
      ],
    );
  }
  return good(reachable);
}

function colonHex(fingerprint: string): string {
  return fingerprint.match(/../g)?.join(':') ?? fingerprint;
}

function good(what: string): Finding {
  return { what, verdict: 'good', detail: [] };
}

function notice(what: string, detail: readonly string[]): Finding {
  return { what, verdict: 'notice', detail };
}

function bad(what: string, detail: readonly string[]): Finding {
  return { what, verdict: 'bad', detail };
}
