import { type Prefix, parsePrefix } from '../net/prefix.ts';
import { PrefixMap } from '../net/prefix-map.ts';
import { parseTree } from './parser.ts';
import { Report } from './diagnostic.ts';
import { renderTree } from './render.ts';
import { maskKeyMaterial } from './secrets.ts';
import { SourceFile } from './source.ts';
import { parseTunnelName } from './values.ts';

/** A WireGuard configuration in this dialect, with what a person still has to do. */
export interface Conversion {
  readonly text: string;
  readonly todo: readonly string[];
}

/**
 * Translates a wg(8) or wg-quick(8) file. Keys cannot be translated, since identities are certificates here: no key
 * material of the file appears in the result. What has no counterpart stays as a comment, and is in the list of what is
 * left to do. Lines that are not WireGuard's are named there too; nothing is refused.
 */
export function convertWireguard(fileName: string, text: string, directory: string): Conversion {
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map(readLine);
  const base = fileName.slice(fileName.lastIndexOf('/') + 1).replace(/\.conf$/, '');
  const name = parseTunnelName(base).ok ? base : 'tunnel';
  const todo: string[] = [`make an identity for this side:  dtunnel keygen ${name}`];
  const peers = peersOf(lines);
  const priorities = enclosingPeers(peers);
  const out: string[] = [];
  for (const [index, line] of lines.entries()) {
    switch (line.kind) {
      case 'interface':
        out.push('[Interface]', `Certificate = ${directory}/${name}.crt`, `PrivateKey = ${directory}/${name}.key`);
        break;
      case 'peer': {
        const peer = peers.find((candidate) => candidate.index === index);
        const priority = peer === undefined ? undefined : priorities.get(peer);
        todo.push(
          `set Fingerprint of the peer at ${peer?.hint ?? 'an unknown place'}: what  dtunnel keygen  prints there`,
        );
        out.push('[Peer]', 'Fingerprint = # what dtunnel keygen prints on the other side');
        if (priority !== undefined) out.push(`Priority = ${priority}  # encloses networks of another peer`);
        break;
      }
      case 'setting':
        out.push(...convertSetting(line.key, line.value, todo));
        break;
      case 'comment':
        out.push(line.text);
        break;
      case 'other':
        if (line.text !== '') todo.push(`line ${index + 1} is not understood and was left out`);
        out.push('');
        break;
    }
  }
  const tidy = parseTree(new SourceFile(fileName, out.join('\n')), new Report());
  return { text: renderTree(tidy), todo };
}

type WireguardLine =
  | { readonly kind: 'interface' | 'peer' }
  | { readonly kind: 'setting'; readonly key: string; readonly value: string }
  | { readonly kind: 'comment' | 'other'; readonly text: string };

/** wg(8) has no quotes and no escapes: a line is cut at '#', and at the first equals sign. */
function readLine(line: string): WireguardLine {
  const printable = line.replaceAll(/[^\P{C}\t]/gu, '?');
  if (/^\s*#/.test(printable)) return { kind: 'comment', text: maskKeyMaterial(printable.trim()) };
  const text = printable.replace(/#.*$/, '').trim();
  if (/^\[interface\]$/i.test(text)) return { kind: 'interface' };
  if (/^\[peer\]$/i.test(text)) return { kind: 'peer' };
  const setting = /^([A-Za-z]{1,32})\s*=\s*(.+)$/.exec(text);
  if (setting === null) return { kind: 'other', text };
  return { kind: 'setting', key: setting[1] ?? '', value: setting[2] ?? '' };
}

/** Settings that mean the same here. */
const KEPT: ReadonlySet<string> = new Set([
  'address',
  'listenport',
  'mtu',
  'table',
  'fwmark',
  'allowedips',
  'endpoint',
  'persistentkeepalive',
]);

/** Settings that have gone: the certificate takes their place, or the daemon never does it. */
const GONE: ReadonlySet<string> = new Set(['privatekey', 'publickey', 'presharedkey', 'saveconfig']);

function convertSetting(key: string, value: string, todo: string[]): readonly string[] {
  const lower = key.toLowerCase();
  if (GONE.has(lower)) return [];
  if (lower === 'fwmark' && /^0(?:x0+)?$/.test(value)) return [`${key} = off`];
  if (KEPT.has(lower)) return [`${key} = ${value}`];
  if (lower === 'dns') {
    todo.push(`DNS = ${value}: the host's resolver is left alone; call resolvectl from OnUp`);
    return [`# DNS = ${value}`];
  }
  if (/^(?:pre|post)(?:up|down)$/.test(lower)) {
    const hook = lower.endsWith('up') ? 'OnUp' : 'OnDown';
    todo.push(`${key}: hooks run without a shell; put the command into a program and name that in ${hook}`);
    return [`# ${key} = ${maskKeyMaterial(value)}`];
  }
  todo.push(`${key}: not known, left as a comment`);
  // Its value is not copied: nobody knows what it is.
  return [`# ${key}`];
}

interface WireguardPeer {
  /** Line of its header. */
  readonly index: number;
  readonly hint: string;
  readonly prefixes: readonly Prefix[];
}

function peersOf(lines: readonly WireguardLine[]): readonly WireguardPeer[] {
  return lines.flatMap((line, index) => {
    if (line.kind !== 'peer') return [];
    const end = lines.findIndex((other, i) => i > index && (other.kind === 'peer' || other.kind === 'interface'));
    const own = lines.slice(index, end < 0 ? undefined : end).filter((other) => other.kind === 'setting');
    const find = (key: string): readonly string[] =>
      own.filter((setting) => setting.key.toLowerCase() === key).map((setting) => setting.value);
    const allowed = find('allowedips').join(', ');
    const prefixes = allowed.split(',').map((text) => parsePrefix(text.trim()));
    const hint = find('endpoint')[0] ?? (allowed === '' ? `line ${index + 1}` : allowed);
    return [{ index, hint, prefixes: prefixes.filter((prefix) => prefix !== undefined) }];
  });
}

/**
 * WireGuard lets a longer prefix of one peer win over a shorter one of another by itself; here precedence is written
 * down. Peers that enclose others get a Priority behind the default of 100, the wider the later.
 */
function enclosingPeers(peers: readonly WireguardPeer[]): ReadonlyMap<WireguardPeer, number> {
  const owners = new PrefixMap<WireguardPeer>();
  const priorities = new Map<WireguardPeer, number>();
  for (const peer of peers) for (const prefix of peer.prefixes) owners.set(prefix, peer);
  for (const { prefix, value: inner } of owners.entries()) {
    for (const around of owners.covering(prefix)) {
      if (around.value === inner) continue;
      const bits = around.prefix.address.includes(':') ? 128 : 32;
      const priority = 100 + bits - around.prefix.length;
      priorities.set(around.value, Math.max(priority, priorities.get(around.value) ?? 0));
    }
  }
  return priorities;
}
