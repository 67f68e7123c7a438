import type { Fingerprint } from '../base/brand.ts';
import { type Result, err, ok } from '../base/result.ts';
import { type ValueProblem, problem } from './value.ts';

/** How a fingerprint is written: `cb:2f:…`, `cb2f…`, or `SHA256:` with base64 as OpenSSH prints it. */
export type FingerprintFormat = 'colon' | 'hex' | 'base64';

/** Octets of a SHA-256. */
const OCTETS = 32;

/** `text` in any of the forms as a fingerprint. */
export function parseFingerprint(text: string): Result<Fingerprint, ValueProblem> {
  if (/^sha-?256:/i.test(text)) return parseBase64(text);
  // `openssl x509 -fingerprint` puts a name in front; people paste whole lines.
  const named = /^sha-?256 fingerprint=/i.exec(text);
  if (named !== null) return err(badPrefix(named[0].length));
  const odd = /[^0-9A-Fa-f:]/.exec(text);
  if (odd !== null) {
    return err(
      problem('C020', 'a fingerprint is written in hex', {
        at: odd.index,
        length: 1,
        label: 'not a hex digit',
        help: HOW,
      }),
    );
  }
  const groups = text.includes(':') ? text.split(':') : (text.match(/..?/g) ?? []);
  let at = 0;
  for (const group of groups) {
    if (group.length !== 2) {
      return err(
        problem('C020', 'a fingerprint has two hex digits per byte', {
          at,
          length: Math.max(1, group.length),
          label: group.length === 0 ? 'a byte is missing here' : 'not two digits',
          help: HOW,
        }),
      );
    }
    at += text.includes(':') ? 3 : 2;
  }
  if (groups.length !== OCTETS) return err(wrongLength(groups.length, text));
  return ok(groups.join('').toLowerCase() as Fingerprint);
}

/** `fingerprint` in the given form. */
export function formatFingerprint(fingerprint: Fingerprint, format: FingerprintFormat = 'colon'): string {
  if (format === 'hex') return fingerprint;
  const octets = fingerprint.match(/../g) ?? [];
  if (format === 'colon') return octets.join(':');
  return `SHA256:${toBase64(octets.map((octet) => Number.parseInt(octet, 16)))}`;
}

const HOW = 'print it with  dtunnel fingerprint /path/to/peer.crt';

function parseBase64(text: string): Result<Fingerprint, ValueProblem> {
  const start = text.indexOf(':') + 1;
  const digits = text.slice(start).replace(/=+$/, '');
  const odd = /[^A-Za-z0-9+/]/.exec(digits);
  if (odd !== null) {
    return err(
      problem('C020', 'behind SHA256: a fingerprint is written in base64', {
        at: start + odd.index,
        length: 1,
        label: 'not a base64 digit',
        help: HOW,
      }),
    );
  }
  const octets: number[] = [];
  let bits = 0;
  let held = 0;
  for (const digit of digits) {
    held = ((held << 6) | BASE64.indexOf(digit)) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    octets.push((held >> bits) & 0xff);
  }
  if (octets.length !== OCTETS || digits.length !== 43) return err(wrongLength(octets.length, text));
  return ok(octets.map((octet) => octet.toString(16).padStart(2, '0')).join('') as Fingerprint);
}

function wrongLength(octets: number, text: string): ValueProblem {
  const missing = OCTETS - octets;
  const count = Math.abs(missing) === 1 ? 'one byte' : `${Math.abs(missing)} bytes`;
  const sha1 = octets === 20 ? ' (20 bytes is a SHA-1 fingerprint)' : '';
  const plural = octets === 1 ? '' : 's';
  return problem('C020', `fingerprint is ${octets} byte${plural}, SHA-256 needs ${OCTETS}${sha1}`, {
    at: text.length,
    length: 1,
    label: missing > 0 ? `${count} missing here` : `${count} too many`,
    help: HOW,
  });
}

function badPrefix(length: number): ValueProblem {
  return problem('C020', 'only the fingerprint itself belongs here', {
    at: 0,
    length,
    label: 'leave this out',
    help: 'what follows the equals sign is the fingerprint',
  });
}

function toBase64(octets: readonly number[]): string {
  let text = '';
  for (let i = 0; i < octets.length; i += 3) {
    const group = [octets[i] ?? 0, octets[i + 1] ?? 0, octets[i + 2] ?? 0];
    const word = ((group[0] ?? 0) << 16) | ((group[1] ?? 0) << 8) | (group[2] ?? 0);
    for (let shift = 18; shift >= 0; shift -= 6) text += BASE64.charAt((word >> shift) & 63);
  }
  return text.slice(0, Math.ceil((octets.length * 8) / 6));
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
