import { parseTunnelName } from './values.ts';
import { prefixText, type Prefix, parsePrefix } from '../net/prefix.ts';
import { PrefixMap } from '../net/prefix-map.ts';
import { type Diagnostics, Report } from './diagnostic.ts';
import { splitAtCommas } from './expand.ts';
import { parseTree } from './parser.ts';
import { renderTree } from './render.ts';
import { type Section, sectionsOf } from './sections.ts';
import { SourceFile } from './source.ts';
import type { Piece, SettingLine } from './tree.ts';

/** A WireGuard configuration in this dialect, with what a person still has to do. */
export interface Conversion {
  readonly text: string;
  readonly todo: readonly string[];
  /** Lines that could not be read. */
  readonly diagnostics: Diagnostics;
}

/**
 * Translates a wg(8) or wg-quick(8) file. Keys cannot be translated, since identities are certificates here: no key
 * material of the file appears in the result. What has no counterpart stays as a comment that says what to do instead.
 */
export function convertWireguard(fileName: string, text: string, directory: string): Conversion {
  const report = new Report();
  const { sections } = sectionsOf(parseTree(new SourceFile(fileName, text), report), report);
  const base = fileName.slice(fileName.lastIndexOf('/') + 1).replace(/\.conf$/, '');
  const name = parseTunnelName(base).ok ? base : 'tunnel';
  const todo: string[] = [`make an identity for this side:  dtunnel keygen ${name}`];
  const peers = sections.filter((section) => section.kind === 'Peer');
  const outer = enclosingPeers(peers);
  const out: string[] = [`# Converted from ${fileName.replaceAll(/[^\x20-\x7E]/g, '?')}.`];
  for (const section of sections) {
    out.push('', section.kind === 'Interface' ? '[Interface]' : '[Peer]');
    if (section.kind === 'Interface') {
      out.push(`Certificate = ${directory}/${name}.crt`, `PrivateKey = ${directory}/${name}.key`);
    } else {
      const number = peers.indexOf(section) + 1;
      out.push('Fingerprint = # what the other side prints: dtunnel keygen, or dtunnel fingerprint CERTIFICATE');
      todo.push(`peer ${number} (${peerHint(section)}): set Fingerprint to that of its new certificate`);
      const priority = outer.get(section);
      if (priority !== undefined) out.push(`Priority = ${priority}  # encloses the networks of another peer`);
    }
    for (const setting of section.settings) out.push(...convertSetting(setting, todo));
  }
  const tidy = parseTree(new SourceFile(fileName, out.join('\n')), new Report());
  return { text: renderTree(tidy), todo, diagnostics: report.diagnostics([fileName]) };
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

function convertSetting(setting: SettingLine, todo: string[]): readonly string[] {
  const key = setting.key.text;
  const lower = key.toLowerCase();
  const value = valueText(setting.pieces);
  if (lower === 'fwmark' && /^0(?:x0+)?$/.test(value)) return [`${key} = off`];
  if (KEPT.has(lower)) return [`${key} = ${value}`];
  switch (lower) {
    case 'privatekey':
    case 'presharedkey':
    case 'saveconfig':
      return [];
    case 'publickey':
      return [];
    case 'dns':
      todo.push(`DNS = ${value}: the resolver is left alone; use OnUp with resolvectl`);
      return [`# DNS = ${value}`];
    case 'preup':
    case 'postup':
    case 'predown':
    case 'postdown': {
      const hook = lower.endsWith('up') ? 'OnUp' : 'OnDown';
      todo.push(`${key}: hooks run without a shell; put the command into a program and name it in ${hook}`);
      return [`# ${key} = ${value}`];
    }
    default:
      todo.push(`${key}: not known, left as a comment`);
      // Its value is not copied: nobody knows what it is.
      return [`# ${key}`];
  }
}

/** The value as it was written. */
function valueText(pieces: readonly Piece[]): string {
  return splitAtCommas(pieces)
    .map((item) =>
      item
        .map((piece) => {
          if (piece.kind === 'env') return `\${${piece.name}}`;
          return piece.kind === 'comma' ? ',' : piece.text;
        })
        .join(''),
    )
    .join(', ');
}

function peerHint(section: Section): string {
  const find = (key: string): string | undefined => {
    const setting = section.settings.find((line) => line.key.text.toLowerCase() === key);
    return setting === undefined ? undefined : valueText(setting.pieces);
  };
  return find('endpoint') ?? find('allowedips') ?? 'no AllowedIPs';
}

/**
 * WireGuard lets a longer prefix of one peer win over a shorter one of another by itself; here precedence is written
 * down. Peers that enclose others get a Priority behind the default of 100, the wider the later.
 */
function enclosingPeers(peers: readonly Section[]): ReadonlyMap<Section, number> {
  const owners = new PrefixMap<Section>();
  const priorities = new Map<Section, number>();
  for (const peer of peers) for (const prefix of prefixesOf(peer)) owners.set(prefix, peer);
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

function prefixesOf(peer: Section): readonly Prefix[] {
  return peer.settings
    .filter((line) => line.key.text.toLowerCase() === 'allowedips')
    .flatMap((line) => valueText(line.pieces).split(','))
    .map((text) => parsePrefix(text.trim()))
    .filter((prefix) => prefix !== undefined)
    .filter((prefix, i, all) => all.findIndex((other) => prefixText(other) === prefixText(prefix)) === i);
}
