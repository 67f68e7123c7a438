import type { Fingerprint } from '../base/brand.ts';
import { err, ok } from '../base/result.ts';
import { parseFingerprint } from '../crypto/fingerprint.ts';
import { type ValueParser, type ValueProblem, problem } from './value.ts';

/** A fingerprint in any of its forms; where it is none, the problem says which character or how many bytes are wrong. */
export const parseFingerprintValue: ValueParser<Fingerprint> = (text) => {
  const fingerprint = parseFingerprint(text);
  return fingerprint === undefined ? err(explain(text)) : ok(fingerprint);
};

/** Octets of a SHA-256. */
const OCTETS = 32;

const HOW = 'print it with  dtunnel fingerprint /path/to/peer.crt';

function explain(text: string): ValueProblem {
  // `openssl x509 -fingerprint` puts a name in front; people paste whole lines.
  const named = /^sha-?(?:1|256) fingerprint=/i.exec(text)?.[0];
  if (named !== undefined) {
    return at('only the fingerprint itself belongs here', 0, named.length, 'leave this out');
  }
  const scheme = /^sha256:/i.exec(text)?.[0];
  return scheme === undefined ? explainHex(text) : explainBase64(text, scheme.length);
}

function explainHex(text: string): ValueProblem {
  const odd = /[^0-9A-Fa-f:]/u.exec(text);
  if (odd !== null) return at('a fingerprint is written in hex', odd.index, odd[0].length, 'not a hex digit');
  const separator = text.includes(':') ? 1 : 0;
  const groups = separator === 1 ? text.split(':') : (text.match(/..?/g) ?? []);
  let index = 0;
  for (const group of groups) {
    if (group.length !== 2) {
      const label = group === '' ? 'a byte is missing here' : 'not two digits';
      return at('a fingerprint has two hex digits per byte', index, Math.max(1, group.length), label);
    }
    index += 2 + separator;
  }
  return wrongLength(groups.length, text);
}

function explainBase64(text: string, start: number): ValueProblem {
  const digits = text.slice(start).replace(/=+$/, '');
  const odd = /[^A-Za-z0-9+/]/u.exec(digits);
  if (odd !== null) {
    const message = 'behind SHA256: a fingerprint is written in base64';
    return at(message, start + odd.index, odd[0].length, 'not a base64 digit');
  }
  const octets = Math.floor((digits.length * 6) / 8);
  if (octets !== OCTETS) return wrongLength(octets, text);
  return at('the base64 has bits behind the last byte', start + digits.length - 1, 1, 'cannot be right');
}

function wrongLength(octets: number, text: string): ValueProblem {
  const missing = OCTETS - octets;
  const count = Math.abs(missing) === 1 ? 'one byte' : `${Math.abs(missing)} bytes`;
  const sha1 = octets === 20 ? ' (20 bytes is a SHA-1 fingerprint)' : '';
  const message = `fingerprint is ${octets} byte${octets === 1 ? '' : 's'}, SHA-256 needs ${OCTETS}${sha1}`;
  return at(message, text.length, 1, missing > 0 ? `${count} missing here` : `${count} too many`);
}

function at(message: string, index: number, length: number, label: string): ValueProblem {
  return problem('C020', message, { at: index, length, label, help: HOW });
}
