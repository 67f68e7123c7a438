import { shortCipherName } from '../control/cipher-name.ts';
import type { PeerStatus, StatusDocument } from '../control/status.ts';
import { briefSpan, bytes, grouped, hostPort, milliseconds, percent, shortFingerprint, span } from '../base/format.ts';
import { type Look, dot, paint, plain, stateTone } from './paint.ts';
import { details, displayWidth, table } from './table.ts';

/** Status documents as text for people: the shapes of UX §4. */

/** Column at which the facts about a tunnel begin. */
const FACTS_COLUMN = 45;

/** One tunnel with a line per peer. */
export function tunnelText(status: StatusDocument, look: Look): string {
  const { tunnel, peers, health } = status;
  const seconds = secondsBefore(status.time);
  const head = `${dot(look, tunnel.state)} ${paint(look, 'strong', tunnel.name)}  ${paint(look, stateTone(tunnel.state), tunnel.state)} ${span(seconds(tunnel.since))}`;
  const facts = [
    `listening ${[...new Set(tunnel.listening.map(({ port }) => port))].join(' ')}`,
    `${peers.length} peer${peers.length === 1 ? '' : 's'}`,
    `config ${tunnel.configHash.slice(0, 4)}${tunnel.reloadedAt === undefined ? '' : ` (reloaded ${briefSpan(seconds(tunnel.reloadedAt))} ago)`}`,
    ...(tunnel.draining ? [paint(look, 'warning', 'draining')] : []),
  ].join('  ');
  const lines = [`${head}${' '.repeat(Math.max(3, FACTS_COLUMN - displayWidth(head)))}${facts}`];
  if (peers.length > 0) lines.push('', ...peerTable(peers, seconds, look).map((line) => `  ${line}`));
  lines.push('', ...healthLines(health, look));
  return plain(look, `${lines.join('\n')}\n`);
}

const PEER_COLUMNS = [
  { title: 'PEER' },
  { title: 'STATE' },
  { title: 'ENDPOINT' },
  { title: 'SINCE' },
  { title: 'HANDSHAKE' },
  { title: 'RTT' },
  { title: 'LOSS' },
  { title: 'PATH-MTU' },
  { title: 'RECEIVED' },
  { title: 'SENT' },
] as const;

function peerTable(peers: readonly PeerStatus[], seconds: (iso: string) => number, look: Look): readonly string[] {
  const none = '–';
  return table(
    PEER_COLUMNS,
    peers.map((peer) => [
      peer.name,
      paint(look, stateTone(peer.state), peer.state),
      peer.endpoint === undefined ? none : hostPort(peer.endpoint.address, peer.endpoint.port),
      `${briefSpan(seconds(peer.since))} ago`,
      peer.handshake === undefined ? none : briefSpan(seconds(peer.handshake.at)),
      peer.path?.rttSeconds === undefined ? none : milliseconds(peer.path.rttSeconds),
      peer.path === undefined ? none : percent(peer.path.lossRatio),
      peer.path === undefined ? none : String(peer.path.mtuBytes),
      bytes(peer.transfer.receiveBytes),
      bytes(peer.transfer.transmitBytes),
    ]),
  );
}

function healthLines(health: StatusDocument['health'], look: Look): readonly string[] {
  if (health.length === 0) return [`  health: ${paint(look, 'good', 'ok')}`];
  const notes = health.map(({ peer, text }) => (peer === undefined ? text : `${peer}: ${text}`));
  return notes.map((note, i) => `  ${i === 0 ? 'health:' : '       '} ${paint(look, 'warning', note)}`);
}

/** One peer with everything that is known of it. */
export function peerText(status: StatusDocument, peer: PeerStatus, look: Look): string {
  const seconds = secondsBefore(status.time);
  const via = peer.endpoint?.index;
  const head = [
    `${dot(look, peer.state)} ${paint(look, 'strong', peer.name)}`,
    `${paint(look, stateTone(peer.state), peer.state)} ${span(seconds(peer.since))}`,
    ...(via === undefined || peer.endpoints.length < 2 ? [] : [`via endpoint ${via + 1} of ${peer.endpoints.length}`]),
  ].join('  ');
  const lines = details([
    ['fingerprint', fingerprintText(peer, status.time)],
    ...endpointEntries(peer),
    ...handshakeEntries(peer, seconds),
    ...pathEntries(peer),
    ['allowed ips', peer.allowedIps.join(' ')],
    ['transfer', transferText(peer)],
    ['dropped', dropText(peer)],
    ...failureEntries(peer, seconds),
  ]);
  const remarks = status.health.filter((note) => note.peer === peer.name).map(({ text }) => ['note', text] as const);
  const notes = details(remarks).map((line) => paint(look, 'warning', line));
  return plain(look, `${[head, ...lines, ...notes].join('\n')}\n`);
}

type Entries = readonly (readonly [string, string])[];

function fingerprintText(peer: PeerStatus, time: string): string {
  const short = shortFingerprint(peer.fingerprint);
  if (peer.certificate === undefined) return short;
  const left = (Date.parse(peer.certificate.notAfter) - Date.parse(time)) / 1000;
  return `${short}   (certificate ${left < 0 ? `expired ${span(-left)} ago` : `expires in ${span(left)}`})`;
}

function endpointEntries(peer: PeerStatus): Entries {
  const { endpoint } = peer;
  const entries: [string, string][] = [];
  if (endpoint === undefined) {
    entries.push(['endpoint', peer.endpoints.length === 0 ? 'none: the peer calls us' : 'none yet']);
  } else {
    const how = endpoint.index === undefined ? 'the peer called us' : endpoint.host;
    entries.push(['endpoint', `${hostPort(endpoint.address, endpoint.port)}${how === undefined ? '' : `  (${how})`}`]);
  }
  for (const other of peer.endpoints.filter((one) => !one.active)) {
    const known =
      other.addresses.length === 0 || other.addresses[0] === other.host ? '' : `  (${other.addresses.join(' ')})`;
    entries.push([endpoint === undefined ? 'configured' : 'standby', `${hostPort(other.host, other.port)}${known}`]);
  }
  return entries;
}

function handshakeEntries(peer: PeerStatus, seconds: (iso: string) => number): Entries {
  const { handshake, rekey } = peer;
  if (handshake === undefined || rekey === undefined) return [];
  const next = [
    ...(rekey.inSeconds === undefined ? [] : [span(rekey.inSeconds)]),
    ...(rekey.afterBytes < Number.MAX_SAFE_INTEGER ? [bytes(rekey.afterBytes)] : []),
  ].join(' or ');
  const how = handshake.protocol === undefined ? '  plain DTLS peer' : '';
  return [
    [
      'handshake',
      `${span(seconds(handshake.at))} ago, ${milliseconds(handshake.durationSeconds)}   next rekey in ${next === '' ? 'never' : next}`,
    ],
    ['cipher', `${handshake.cipher}  ${handshake.group}  key use ${percent(rekey.keyUsageRatio)}${how}`],
  ];
}

function pathEntries(peer: PeerStatus): Entries {
  const { path } = peer;
  if (path === undefined) return [];
  const facts = [
    `mtu ${path.mtuBytes} (inner ${path.innerMtuBytes})`,
    ...(path.rttSeconds === undefined ? [] : [`rtt ${milliseconds(path.rttSeconds)}`]),
    ...(path.rttP99Seconds === undefined ? [] : [`p99 ${milliseconds(path.rttP99Seconds)}`]),
    ...(path.jitterSeconds === undefined ? [] : [`jitter ${milliseconds(path.jitterSeconds)}`]),
    `loss ${percent(path.lossRatio, 2)}`,
    `reordered ${grouped(path.reorderedPackets)}`,
  ];
  return [['path', facts.join('  ')]];
}

function transferText({ transfer }: PeerStatus): string {
  const received = `${bytes(transfer.receiveBytes)} received (${grouped(transfer.receivePackets)} packets)`;
  return `${received}  ${bytes(transfer.transmitBytes)} sent (${grouped(transfer.transmitPackets)})`;
}

/** Reasons always shown, since their absence is news too. */
const USUAL_DROPS = ['replay', 'bad_mac', 'not_allowed', 'too_big', 'queue_full'];

function dropText({ drops }: PeerStatus): string {
  const total = Object.values(drops).reduce((sum, count) => sum + count, 0);
  const shown = Object.entries(drops).filter(([reason, count]) => count > 0 || USUAL_DROPS.includes(reason));
  const reasons = shown.map(([reason, count]) => `${reason.replaceAll('_', '-')} ${grouped(count)}`).join(', ');
  return `${grouped(total)}${reasons === '' ? '' : `  (${reasons})`}`;
}

function failureEntries(peer: PeerStatus, seconds: (iso: string) => number): Entries {
  const { lastFailure, nextAttemptInSeconds } = peer;
  if (lastFailure === undefined) return [];
  const who = lastFailure.by === 'peer' ? 'by the peer' : 'by us';
  const facts = [
    `${lastFailure.reason.replaceAll('_', ' ')} (${who}) ${span(seconds(lastFailure.at))} ago`,
    ...(lastFailure.seen === undefined ? [] : [`saw ${lastFailure.seen}`]),
    ...(lastFailure.expected === undefined ? [] : [`expected ${lastFailure.expected}`]),
    ...(nextAttemptInSeconds === undefined ? [] : [`next attempt in ${span(nextAttemptInSeconds)}`]),
  ];
  return [['last failure', facts.join('  ')]];
}

/** The line that ends a successful `up`. */
export function upLine(status: StatusDocument, peer: PeerStatus, seconds: number, look: Look): string {
  const facts = [
    `${peer.name} ${peer.endpoint === undefined ? '' : hostPort(peer.endpoint.address, peer.endpoint.port)}`.trimEnd(),
    ...(peer.handshake === undefined ? [] : [shortCipherName(peer.handshake.cipher)]),
    ...(peer.path?.rttSeconds === undefined ? [] : [`rtt ${milliseconds(peer.path.rttSeconds)}`]),
    ...(peer.path === undefined ? [] : [`path-mtu ${peer.path.mtuBytes}`]),
  ].join('  ');
  return plain(look, `${dot(look, 'up')} ${status.tunnel.name} up in ${span(seconds)}   ${facts}\n`);
}

function secondsBefore(time: string): (iso: string) => number {
  const now = Date.parse(time);
  return (iso) => Math.max(0, now - Date.parse(iso)) / 1000;
}
