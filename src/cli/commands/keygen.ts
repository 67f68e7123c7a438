import { chmodSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Fingerprint } from '../../base/brand.ts';
import { DtunnelError, EXIT } from '../../base/errors.ts';
import { parsePeerName } from '../../config/values.ts';
import { certificateFromPem, createSelfSigned, readCertificate } from '../../crypto/certificate.ts';
import { formatFingerprint } from '../../crypto/fingerprint.ts';
import { ownerText, serviceAccount } from '../../daemon/accounts.ts';
import {
  type IdentityContext,
  identityContext,
  loadCertificatePem,
  loadIdentity,
} from '../../daemon/identity-files.ts';
import { fileProblem } from '../../daemon/regular-file.ts';
import { createFile, type Owner } from '../../daemon/write-file.ts';
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

/** Ten years: the pin is the authority, dates only warn; expiry must not be what ends a forgotten link. */
const DAYS = 3650;

/** Makes a key and its self-signed certificate, and prints the section that the other side needs. */
export async function run(args: KeygenArgs, io: Io): Promise<number> {
  const name = parsePeerName(args.name);
  if (!name.ok) throw new DtunnelError('S021', name.error.message, { hint: name.error.help ?? '' });
  const directory = args.dir ?? configDirectory(io.env);
  const files: IdentityFiles = {
    certificate: join(directory, `${name.value}.crt`),
    privateKey: join(directory, `${name.value}.key`),
  };
  const there = [files.certificate, files.privateKey].filter((file) => existsSync(file));
  if (there.length > 0 && !(args.ifMissing && there.length === 2)) throw exists(there, args.ifMissing);
  const created = there.length === 0;
  if (created) await create(name.value, directory, files, args, io);
  else checkExisting(files, io);
  const made = readMade(files, io);
  if (args.json) io.out(json(toJson(name.value, files, made, created)));
  else print(name.value, files, made, created, io);
  return EXIT.ok;
}

/** What is kept must be usable: a key that others can read, or of another certificate, is no reason to go on quietly. */
function checkExisting(files: IdentityFiles, io: Io): void {
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

interface IdentityFiles {
  readonly certificate: string;
  readonly privateKey: string;
}

interface Made {
  readonly fingerprint: Fingerprint;
  readonly notAfter: number;
  readonly keyType: string;
}

async function create(
  commonName: string,
  directory: string,
  files: IdentityFiles,
  args: KeygenArgs,
  io: Io,
): Promise<void> {
  makeDirectory(directory);
  const pair = await createSelfSigned({ commonName, days: DAYS, keyType: args.keyType, now: io.now() });
  const owner = daemonOwner(io);
  if (!createFile(files.privateKey, pair.privateKeyPem, 0o600, owner)) throw exists([files.privateKey], false);
  let written = false;
  try {
    written = createFile(files.certificate, pair.certificatePem, 0o644, owner);
  } finally {
    // A key without its certificate is of no use to anybody, and would stop the next attempt.
    if (!written) rmSync(files.privateKey, { force: true });
  }
  if (!written) throw exists([files.certificate], false);
}

function exists(files: readonly string[], ifMissing: boolean): DtunnelError {
  const verb = files.length === 1 ? 'exists' : 'exist';
  const lone = ifMissing ? ', but its other half does not' : ' already';
  return new DtunnelError('K005', `${files.join(' and ')} ${verb}${lone}`);
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

/** Root makes keys for the service, which can read no other's; anybody else for himself. */
function daemonOwner(io: Io): Owner | undefined {
  return io.uid === 0 ? serviceAccount() : undefined;
}

function permissionText(file: string): string {
  const stats = statSync(file);
  return `${(stats.mode & 0o7777).toString(8).padStart(4, '0')} ${ownerText(stats)}`;
}

function readMade(files: IdentityFiles, io: Io): Made {
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

function print(name: string, files: IdentityFiles, made: Made, created: boolean, io: Io): void {
  const expires = `expires ${isoDate(made.notAfter)}`;
  const width = Math.max(files.certificate.length, files.privateKey.length);
  io.out(`certificate  ${files.certificate.padEnd(width)}   ${expires}${created ? '' : '   (was there already)'}\n`);
  io.out(`private key  ${files.privateKey.padEnd(width)}   ${permissionText(files.privateKey)}\n`);
  io.out("Paste this into the other side's file:\n\n");
  io.out(peerSection(name, made.fingerprint, io.unicode ? '←' : '<-'));
}

function toJson(name: string, files: IdentityFiles, made: Made, created: boolean): object {
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
