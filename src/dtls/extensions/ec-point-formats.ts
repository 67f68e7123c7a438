import { parseCodes, writeCodes } from './lists.ts';

/** Forms of points the sender reads (RFC 8422 §5.1.2). Only `uncompressed`, 0, is left in use, and must be there. */
export interface EcPointFormats {
  readonly type: 'ec_point_formats';
  readonly formats: readonly number[];
}

/** The uncompressed form. */
export const UNCOMPRESSED_POINTS = 0;

/** The extension in `body`; undefined when it does not parse. */
export function parseEcPointFormats(body: Uint8Array): EcPointFormats | undefined {
  const formats = parseCodes(body, 1, 1);
  return formats === undefined ? undefined : { type: 'ec_point_formats', formats };
}

/** The extension's body. */
export function writeEcPointFormats(extension: EcPointFormats): Uint8Array {
  return writeCodes(extension.formats, 1, 1);
}
