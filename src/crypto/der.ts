import { Reader } from '../wire/reader.ts';

/** The parts of a certificate that a handshake needs, found without OpenSSL (RFC 5280 §4.1). Views. */
export interface CertificateParts {
  /** Contents of Validity: two times. */
  readonly validity: Uint8Array;
  /** Contents of SubjectPublicKeyInfo. */
  readonly publicKeyInfo: Uint8Array;
}

/**
 * Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version OPTIONAL, serialNumber INTEGER, signature, issuer,
 * validity, subject SEQUENCE, subjectPublicKeyInfo SEQUENCE, … }, … }. Undefined for anything else.
 */
export function certificateParts(der: Uint8Array): CertificateParts | undefined {
  const outer = new Reader(der);
  const certificate = new Reader(element(outer, TAGS.sequence));
  if (!outer.done) return undefined;
  const tbs = new Reader(element(certificate, TAGS.sequence));
  const first = tbs.uint(1);
  contents(tbs);
  // The version is absent in certificates of version 1: then that was the serial number.
  if (first === VERSION) element(tbs, TAGS.integer);
  else if (first !== TAGS.integer) return undefined;
  for (const _ of ['signature', 'issuer']) element(tbs, TAGS.sequence);
  const validity = element(tbs, TAGS.sequence);
  element(tbs, TAGS.sequence);
  const publicKeyInfo = element(tbs, TAGS.sequence);
  return certificate.ok && tbs.ok ? { validity, publicKeyInfo } : undefined;
}

/** notAfter of a certificate in DER form, epoch seconds; undefined when there is no such time in it. */
export function notAfterOf(der: Uint8Array): number | undefined {
  const r = new Reader(certificateParts(der)?.validity ?? new Uint8Array(0));
  r.uint(1);
  contents(r);
  const tag = r.uint(1);
  const text = String.fromCharCode(...contents(r));
  if (!r.done) return undefined;
  return tag === TAGS.utcTime
    ? timeOf(UTC_TIME.exec(text))
    : timeOf(tag === TAGS.generalizedTime ? GENERALIZED_TIME.exec(text) : null);
}

/** The contents of the next element, which must have this tag; poisons the reader otherwise. */
export function element(r: Reader, tag: number): Uint8Array {
  if (r.uint(1) !== tag) r.poison();
  return contents(r);
}

/** Tags of the elements that certificates and keys consist of (X.690 §8). */
export const TAGS = {
  integer: 0x02,
  bitString: 0x03,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
} as const;

/** Length and contents: X.690 §8.1.3, definite form, and §10.1, as short as possible; no field exceeds 64 KiB. */
function contents(r: Reader): Uint8Array {
  const first = r.uint(1);
  if (first < 0x80) return r.view(first);
  if (first !== 0x81 && first !== 0x82) r.poison();
  const length = r.uint(first === 0x81 ? 1 : 2);
  if (length < (first === 0x81 ? 0x80 : 0x100)) r.poison();
  return r.view(length);
}

/** RFC 5280 §4.1.2.5: in UTC, with seconds and without fractions; two digits of a year from 50 on are of 19xx. */
function timeOf(match: RegExpExecArray | null): number | undefined {
  if (match === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const full = match[1]?.length === 2 ? year + (year < 50 ? 2000 : 1900) : year;
  const date = new Date(0);
  // Not Date.UTC, which takes years below 100 for years of the 20th century.
  date.setUTCFullYear(full, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const isReal = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && date.getUTCHours() === hour;
  return isReal ? date.getTime() / 1000 : undefined;
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const VERSION = 0xa0;
