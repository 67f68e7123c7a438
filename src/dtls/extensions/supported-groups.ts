import { parseCodes, writeCodes } from './lists.ts';

/** Groups the sender can do ECDHE with, best first (RFC 8422 §5.1.1). Code points, unknown ones included. */
export interface SupportedGroups {
  readonly type: 'supported_groups';
  readonly groups: readonly number[];
}

/** The extension in `body`; undefined when it does not parse. */
export function parseSupportedGroups(body: Uint8Array): SupportedGroups | undefined {
  const groups = parseCodes(body, 2, 2);
  return groups === undefined ? undefined : { type: 'supported_groups', groups };
}

/** The extension's body. */
export function writeSupportedGroups(extension: SupportedGroups): Uint8Array {
  return writeCodes(extension.groups, 2, 2);
}
