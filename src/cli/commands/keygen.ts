import { chmodSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Fingerprint } from '../../base/brand.ts';
import { DtunnelError, EXIT } from '../../base/errors.ts';
import { parsePeerName } from '../../config/values.ts';
import { certificateFromPem, readCertificate } from '../../crypto/certificate.ts';
import { formatFingerprint } from '../../crypto/fingerprint.ts';
import { ownerText } from '../../daemon/accounts.ts';
import {
  type IdentityContext,
  identityContext,
  loadCertificatePem,
  loadIdentity,
} from '../../daemon/identity-files.ts';
import type { IdentityPaths } from '../../daemon/identity-paths.ts';
import { fileProblem } from '../../daemon/regular-file.ts';
import { createIdentity, existing } from '../create-identity.ts';
import { type Io, json } from '../io.ts';
import { configDirectory } from '../resolve-file.ts';

/** `dtunnel keygen NAME`. */
export interface KeygenArgs {
  readonly name: string;
  /** Where the two files go; undefined: the configuration directory. */
  readonly dir: string | undefined;
  readonly keyType: 'p256' | 'p384' | 'ed25519' | 'rsa2048';
  /** Succeed when both files are there already. */
  readonly ifMissing: boolean;
  readonly json: boolean;
}

/** Makes a key and its self-signed certificate, and prints the section that the other side needs. */
export async function run(args: KeygenArgs, io: Io): Promise<number> {
  const name = parsePeerName(args.name);
  if (!name.ok) throw new DtunnelError('S021', name.error.message, { hint: name.error.help ?? '' });
  const directory = args.dir ?? configDirectory(io.env);
  const files: IdentityPaths = {
    certificate: join(directory, `${name.value}.crt`),
    privateKey: join(directory, `${name.value}.key`),
  };
  const there = [files.certificate, files.privateKey].filter((file) => existsSync(file));
  if (there.length > 0 && !(args.ifMissing && there.length === 2)) throw existing(there, args.ifMissing);
  const created = there.length === 0;
  if (created) {
    makeDirectory(directory);
    await createIdentity(files, { commonName: name.value, keyType: args.keyType }, io);
  } else checkExisting(files, io);
  const made = readMade(files, io);
  if (args.json) io.out(json(toJson(name.value, files, made, created)));
  else print(name.value, files, made, created, io);
  return EXIT.ok;
}

/** What is kept must be usable: a key that others can read, or of another certificate, is no reason to go on quietly. */
function checkExisting(files: IdentityPaths, io: Io): void {
  try {
    loadIdentity(files, contextOf(io));
  } catch (error) {
    const notOurs = error instanceof DtunnelError && error.code === 'K001';
    if (!notOurs) throw error;
  }
}

function contextOf(io: Io): IdentityContext {
  return identityContext(io.env, io.uid);
}

interface Made {
  readonly fingerprint: Fingerprint;
  readonly notAfter: number;
  readonly keyType: string;
}

function makeDirectory(directory: string): void {
  try {
    // The files decide who reads them; the directory only has to be passable, whatever the umask.
    if (mkdirSync(directory, { recursive: true, mode: 0o755 }) !== undefined) chmodSync(directory, 0o755);
  } catch (error) {
    const { code, text } = fileProblem(error);
    const hint = code === 'EACCES' || code === 'EPERM' ? { hint: 'run as root, or name another one with --dir' } : {};
    throw new DtunnelError('S023', `cannot create ${directory}: ${text}`, hint);
  }
}

function permissionText(file: string): string {
  const stats = statSync(file);
  return `${(stats.mode & 0o7777).toString(8).padStart(4, '0')} ${ownerText(stats)}`;
}

function readMade(files: IdentityPaths, io: Io): Made {
  const der = certificateFromPem(loadCertificatePem(files.certificate, contextOf(io)));
  const summary = der === undefined ? undefined : readCertificate(der);
  if (summary === undefined) throw new DtunnelError('K004', `${files.certificate} holds no certificate`);
  return { ...summary, keyType: summary.keyType ?? 'unknown' };
}

/** The section that makes the other side know this one. */
function peerSection(name: string, fingerprint: Fingerprint, arrow: string): string {
  return [
    '[Peer]',
    `Name        = ${name}`,
    `Fingerprint = ${formatFingerprint(fingerprint)}`,
    `AllowedIPs  = # ${arrow} networks behind ${name}`,
    '',
  ].join('\n');
}

function print(name: string, files: IdentityPaths, made: Made, created: boolean, io: Io): void {
  const expires = `expires ${isoDate(made.notAfter)}`;
  const width = Math.max(files.certificate.length, files.privateKey.length);
  io.out(`certificate  ${files.certificate.padEnd(width)}   ${expires}${created ? '' : '   (was there already)'}\n`);
  io.out(`private key  ${files.privateKey.padEnd(width)}   ${permissionText(files.privateKey)}\n`);
  io.out("Paste this into the other side's file:\n\n");
  io.out(peerSection(name, made.fingerprint, io.unicode ? '←' : '<-'));
}

function toJson(name: string, files: IdentityPaths, made: Made, created: boolean): object {
  return {
    schema: 'dtunnel.keygen/1',
    name,
    created,
    certificate: files.certificate,
    privateKey: files.privateKey,
    keyType: made.keyType,
    fingerprint: formatFingerprint(made.fingerprint),
    notAfter: new Date(made.notAfter * 1000).toISOString(),
  };
}

function isoDate(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().slice(0, 10);
}
