import type { StatusDocument } from '../control/status.ts';

/** The status as a page for a browser: no scripts, nothing loaded from elsewhere, works in a text browser. */
export function statusPage(status: StatusDocument): string {
  const { tunnel, peers, health } = status;
  const rows = peers.map((peer) => [
    peer.name,
    peer.state,
    peer.endpoint === undefined ? '–' : `${peer.endpoint.address} ${peer.endpoint.port}`,
    peer.path?.rttSeconds === undefined ? '–' : `${(peer.path.rttSeconds * 1000).toFixed(1)} ms`,
    peer.path === undefined ? '–' : `${(peer.path.lossRatio * 100).toFixed(1)} %`,
    peer.path === undefined ? '–' : `${peer.path.mtuBytes}`,
    peer.handshake?.cipher ?? '–',
    `${peer.transfer.receiveBytes}`,
    `${peer.transfer.transmitBytes}`,
  ]);
  const head = ['peer', 'state', 'endpoint', 'rtt', 'loss', 'path mtu', 'cipher', 'received, bytes', 'sent, bytes'];
  const remarks = health.map(
    ({ peer, text }) => `<li>${escapeHtml(peer === undefined ? text : `${peer}: ${text}`)}</li>`,
  );
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="10">
<title>${escapeHtml(tunnel.name)} ${tunnel.state}</title>
<style>
  body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
  table { border-collapse: collapse } th, td { text-align: left; padding: .3em 1em .3em 0; border-bottom: 1px solid #ddd }
  .up { color: #175f2d } .degraded { color: #8a5a00 } .down { color: #a01818 }
</style>
<h1>${escapeHtml(tunnel.name)} <span class="${tunnel.state}">${tunnel.state}</span></h1>
<p>since ${tunnel.since}; device ${escapeHtml(tunnel.device)}, MTU ${tunnel.deviceMtuBytes}; settings generation ${tunnel.generation}${tunnel.draining ? '; draining' : ''}; dtunnel ${escapeHtml(tunnel.version)}</p>
<table>
<tr>${head.map((text) => `<th>${text}</th>`).join('')}</tr>
${rows.map((row) => `<tr>${row.map((text) => `<td>${escapeHtml(text)}</td>`).join('')}</tr>`).join('\n')}
</table>
<h2>health</h2>
${remarks.length === 0 ? '<p>ok</p>' : `<ul>${remarks.join('')}</ul>`}
<p><a href="/metrics">metrics</a></p>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
