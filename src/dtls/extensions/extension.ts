import { assertNever } from '../../base/invariant.ts';
import { Reader } from '../../wire/reader.ts';
import type { Writer } from '../../wire/writer.ts';
import {
  type ApplicationProtocols,
  parseApplicationProtocols,
  writeApplicationProtocols,
} from './application-protocols.ts';
import { type ConnectionId, parseConnectionId, writeConnectionId } from './connection-id.ts';
import { type EcPointFormats, parseEcPointFormats, writeEcPointFormats } from './ec-point-formats.ts';
import {
  type ExtendedMasterSecret,
  parseExtendedMasterSecret,
  writeExtendedMasterSecret,
} from './extended-master-secret.ts';
import { parseRenegotiationInfo, type RenegotiationInfo, writeRenegotiationInfo } from './renegotiation-info.ts';
import {
  parseSignatureAlgorithms,
  type SignatureAlgorithms,
  writeSignatureAlgorithms,
} from './signature-algorithms.ts';
import { parseSupportedGroups, type SupportedGroups, writeSupportedGroups } from './supported-groups.ts';

/** An extension of a hello. Those we do not speak are kept by code, to be ignored (client's) or refused (server's). */
export type Extension =
  | SupportedGroups
  | EcPointFormats
  | SignatureAlgorithms
  | ApplicationProtocols
  | ExtendedMasterSecret
  | RenegotiationInfo
  | ConnectionId
  | { readonly type: 'other'; readonly code: number; readonly body: Uint8Array };

/** Code points (RFC 8422 §5.1, RFC 5246 §7.4.1.4, RFC 7301 §6, RFC 7627 §6, RFC 9146 §10, RFC 5746 §6). */
export const EXTENSION_CODES = {
  supported_groups: 10,
  ec_point_formats: 11,
  signature_algorithms: 13,
  application_protocols: 16,
  extended_master_secret: 23,
  connection_id: 54,
  renegotiation_info: 0xff01,
} as const;

/** The code point of an extension. */
export function extensionCode(extension: Extension): number {
  return extension.type === 'other' ? extension.code : EXTENSION_CODES[extension.type];
}

/**
 * The extensions at the end of a hello; none when nothing follows (RFC 5246 §7.4.1.2). Undefined when the block or one
 * of ours does not parse, or a type occurs twice (§7.4.1.4).
 */
export function parseExtensions(r: Reader): readonly Extension[] | undefined {
  if (r.empty) return r.ok ? [] : undefined;
  const block = new Reader(r.vector(2));
  const extensions: Extension[] = [];
  const seen = new Set<number>();
  while (!block.empty) {
    const code = block.uint(2);
    const extension = parseExtension(code, block.vector(2));
    if (!block.ok || extension === undefined || seen.has(code)) return undefined;
    seen.add(code);
    extensions.push(extension);
  }
  return r.ok && block.ok ? extensions : undefined;
}

/** Appends a block of extensions; nothing when there are none. */
export function writeExtensions(w: Writer, extensions: readonly Extension[]): void {
  if (extensions.length === 0) return;
  w.vector(2, () => {
    for (const extension of extensions) w.uint(extensionCode(extension), 2).vector(2, bodyOf(extension));
  });
}

/** The extension of this type, if it is among them. */
export function findExtension<T extends Extension['type']>(
  extensions: readonly Extension[],
  type: T,
): Extract<Extension, { readonly type: T }> | undefined {
  for (const extension of extensions) {
    if (isOfType(extension, type)) return extension;
  }
  return undefined;
}

function isOfType<T extends Extension['type']>(
  extension: Extension,
  type: T,
): extension is Extract<Extension, { readonly type: T }> {
  return extension.type === type;
}

function parseExtension(code: number, body: Uint8Array): Extension | undefined {
  switch (code) {
    case EXTENSION_CODES.supported_groups:
      return parseSupportedGroups(body);
    case EXTENSION_CODES.ec_point_formats:
      return parseEcPointFormats(body);
    case EXTENSION_CODES.signature_algorithms:
      return parseSignatureAlgorithms(body);
    case EXTENSION_CODES.application_protocols:
      return parseApplicationProtocols(body);
    case EXTENSION_CODES.extended_master_secret:
      return parseExtendedMasterSecret(body);
    case EXTENSION_CODES.connection_id:
      return parseConnectionId(body);
    case EXTENSION_CODES.renegotiation_info:
      return parseRenegotiationInfo(body);
    default:
      return { type: 'other', code, body: body.slice() };
  }
}

function bodyOf(extension: Extension): Uint8Array {
  switch (extension.type) {
    case 'supported_groups':
      return writeSupportedGroups(extension);
    case 'ec_point_formats':
      return writeEcPointFormats(extension);
    case 'signature_algorithms':
      return writeSignatureAlgorithms(extension);
    case 'application_protocols':
      return writeApplicationProtocols(extension);
    case 'extended_master_secret':
      return writeExtendedMasterSecret(extension);
    case 'connection_id':
      return writeConnectionId(extension);
    case 'renegotiation_info':
      return writeRenegotiationInfo(extension);
    case 'other':
      return extension.body;
    default:
      return assertNever(extension, 'extension');
  }
}
