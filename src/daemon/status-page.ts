import { bytes, hostPort, milliseconds, percent, span } from '../base/format.ts';
import type { PeerStatus, StatusDocument } from '../control/status.ts';

/** Light or dark as the browser is; states differ by sign and word, colour only repeats them. */
const STYLE = `
  :root { color-scheme: light dark; --text: #1c1f23; --faint: #59616b; --line: #d8dde3; --ground: #fff;
    --up: #12652f; --degraded: #855300; --down: #a31515 }
  @media (prefers-color-scheme: dark) { :root { --text: #e4e7eb; --faint: #9aa4af; --line: #333a42; --ground: #14171a;
    --up: #5fce84; --degraded: #eaae4c; --down: #ff8078 } }
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em;
    color: var(--text); background: var(--ground) }
  h1 { font-size: 1.5em; margin: 0 }
  h2 { font-size: 1.1em; margin: 2em 0 .3em }
  p, dl, ul { margin: .3em 0; padding: 0; list-style: none }
  a { color: inherit }
  .scroll { overflow-x: auto }
  table { border-collapse: collapse; width: 100%; margin-top: 1.5em; font-variant-numeric: tabular-nums }
  th, td { text-align: left; padding: .4em 1.2em .4em 0; border-bottom: 1px solid var(--line); white-space: nowrap }
  th { font-weight: normal; color: var(--faint) }
  .n { text-align: right }
  .n:last-child { padding-right: 0 }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .2em 1.5em }
  dt { color: var(--faint) }
  dd { margin: 0; overflow-wrap: anywhere }
  .up { color: var(--up) }
  .degraded, .connecting, .resolving { color: var(--degraded) }
  .down { color: var(--down) }
  .disabled { color: var(--faint) }
`;

/** The sign before a state. */
const SIGNS: Readonly<Record<PeerStatus['state'], string>> = {
  up: '●',
  degraded: '◐',
  connecting: '○',
  resolving: '○',
  down: '✗',
  disabled: '–',
};

/** Columns as `dtunnel status` has them; the numbers among them stand at the right. */
const COLUMNS: readonly (readonly [string, 'text' | 'number'])[] = [
  ['peer', 'text'],
  ['state', 'text'],
  ['endpoint', 'text'],
  ['since', 'number'],
  ['handshake', 'number'],
  ['rtt', 'number'],
  ['loss', 'number'],
  ['path MTU', 'number'],
  ['received', 'number'],
  ['sent', 'number'],
];

/** The status as a page for a browser: no scripts, nothing loaded from elsewhere, works in a text browser. */
export function statusPage(status: StatusDocument): string {
  const { tunnel, peers, health } = status;
  const remarks = health.map(
    ({ peer, text }) => `<li>! ${escapeHtml(peer === undefined ? text : `${peer}: ${text}`)}</li>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="10">
<title>${SIGNS[tunnel.state]} ${escapeHtml(tunnel.name)} ${tunnel.state}</title>
<style>${STYLE}</style>
<h1><span class="${tunnel.state}">${SIGNS[tunnel.state]}</span> ${escapeHtml(tunnel.name)} <span class="${tunnel.state}">${tunnel.state}</span>${tunnel.draining ? ', draining' : ''}</h1>
<p>for ${ago(tunnel.since, status)}, ${peers.filter((peer) => peer.up).length} of ${peers.length} peers up</p>
<div class="scroll"><table>
<tr>${COLUMNS.map(([text, kind]) => `<th${kind === 'number' ? ' class="n"' : ''}>${text}</th>`).join('')}</tr>
${peers.map((peer) => row(peer, status)).join('\n')}
</table></div>
<h2>Health</h2>
${remarks.length === 0 ? '<p>ok</p>' : `<ul>${remarks.join('')}</ul>`}
<h2>This side</h2>
<dl>${facts(status)
    .map(([name, text]) => `<dt>${name}</dt><dd>${escapeHtml(text)}</dd>`)
    .join('\n')}</dl>
<p><a href="/metrics">metrics</a></p>
</html>
`;
}

function row(peer: PeerStatus, status: StatusDocument): string {
  const { endpoint, handshake, path, transfer } = peer;
  const texts = [
    escapeHtml(peer.name),
    `<span class="${peer.state}">${SIGNS[peer.state]} ${peer.state}</span>`,
    endpoint === undefined ? '–' : escapeHtml(hostPort(endpoint.address, endpoint.port)),
    ago(peer.since, status),
    handshake === undefined ? '–' : ago(handshake.at, status),
    path?.rttSeconds === undefined ? '–' : milliseconds(path.rttSeconds),
    path === undefined ? '–' : percent(path.lossRatio),
    path === undefined ? '–' : `${path.mtuBytes}`,
    bytes(transfer.receiveBytes),
    bytes(transfer.transmitBytes),
  ];
  return `<tr>${texts.map((text, i) => `<td${COLUMNS[i]?.[1] === 'number' ? ' class="n"' : ''}>${text}</td>`).join('')}</tr>`;
}

function facts({ tunnel, time }: StatusDocument): readonly (readonly [string, string])[] {
  return [
    ['listening', tunnel.listening.map(({ address, port }) => hostPort(address, port)).join(', ')],
    ['device', `${tunnel.device}, MTU ${tunnel.deviceMtuBytes}, ${tunnel.addresses.join(', ')}`],
    ['fingerprint', tunnel.fingerprint],
    ['settings', `generation ${tunnel.generation} of ${tunnel.configFile}`],
    ['version', `dtunnel ${tunnel.version}, ${tunnel.dataPlane.aead}`],
    ['as of', time],
  ];
}

/** How long ago an instant was when the status was taken. */
function ago(instant: string, { time }: StatusDocument): string {
  return span(Math.max(0, (Date.parse(time) - Date.parse(instant)) / 1000));
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
