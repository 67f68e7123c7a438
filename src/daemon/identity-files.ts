import { lstatSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DtunnelError, type ErrorCode } from '../base/errors.ts';
import { type IdentityProblem, readIdentity } from '../crypto/certificate.ts';
import type { Identity } from '../crypto/identity.ts';
import { serviceAccount } from './accounts.ts';
import { beside, CREDENTIAL, type IdentityPaths } from './identity-paths.ts';
import { type FileContent, fileProblem, readRegularFile } from './regular-file.ts';

/** What the files of an identity are read against; the process's own unless a test says otherwise. */
export interface IdentityContext {
  /** `$CREDENTIALS_DIRECTORY` (systemd.exec(5)). */
  readonly credentialsDirectory: string | undefined;
  /** Effective user. */
  readonly uid: number;
  /** The service's own user, whose keys root may handle; undefined: there is none. */
  readonly serviceUid: number | undefined;
}

/** The context of a process with this environment and effective user. */
export function identityContext(env: Readonly<Record<string, string | undefined>>, uid: number): IdentityContext {
  return { credentialsDirectory: env['CREDENTIALS_DIRECTORY'], uid, serviceUid: serviceAccount()?.uid };
}

/** The context of this process. */
export function processContext(env: Readonly<Record<string, string | undefined>> = process.env): IdentityContext {
  return identityContext(env, process.geteuid?.() ?? 0);
}

/**
 * The identity in the files that a configuration names. Throws DtunnelError: DT_KEY_UNREADABLE, DT_KEY_PERMISSIONS,
 * DT_KEY_FORMAT, DT_KEY_MISMATCH, DT_KEY_UNSUPPORTED, DT_CREDENTIAL_MISSING. No message holds anything of a file's content.
 */
export function loadIdentity(paths: IdentityPaths, context: IdentityContext = processContext()): Identity {
  const key = readKey(paths.privateKey, context);
  // One open for both: between two the file could change.
  const certificate =
    paths.certificate === paths.privateKey ? key : readPublic(paths.certificate, 'certificate', context);
  let identity = readIdentity(certificate.toString('utf8'), key.toString('utf8'));
  if (!identity.ok && identity.error.reason === 'key_mismatch' && !paths.certificate.startsWith(CREDENTIAL)) {
    // A rotation that was cut off between its two renames: the key is switched, its certificate has still the other name.
    const next = readRegularFile(beside(paths.certificate, 'next'), {
      maxBytes: MAX_BYTES,
      follow: true,
      streams: false,
    });
    const switched = next.ok ? readIdentity(next.value.octets.toString('utf8'), key.toString('utf8')) : identity;
    if (switched.ok) identity = switched;
  }
  key.fill(0);
  if (identity.ok) return identity.value;
  throw identityError(identity.error, paths);
}

/** The text of the certificate file at `path`. Throws DtunnelError DT_KEY_UNREADABLE or DT_CREDENTIAL_MISSING. */
export function loadCertificatePem(path: string, context: IdentityContext = processContext()): string {
  return readPublic(path, 'certificate', context).toString('utf8');
}

/**
 * The bearer token that guards the metrics listener: `token` itself, or the content of the credential it names. Throws
 * DtunnelError DT_CREDENTIAL_MISSING or DT_KEY_UNREADABLE.
 */
export function loadMetricsToken(token: string, context: IdentityContext = processContext()): string {
  if (!token.startsWith(CREDENTIAL)) return token;
  const text = readPublic(token, 'metrics token', context).toString('utf8').trim();
  if (text !== '') return text;
  throw new DtunnelError('K001', `the metrics token ${token} is empty`);
}

/** The file that `path` names. Throws DtunnelError DT_CREDENTIAL_MISSING when it is a credential and there are none. */
export function identityPath(path: string, context: IdentityContext): string {
  if (!path.startsWith(CREDENTIAL)) return path;
  const directory = context.credentialsDirectory;
  if (directory !== undefined && directory !== '') return join(directory, path.slice(CREDENTIAL.length));
  throw new DtunnelError('K006', `${path} cannot be had: this process was given no credentials`);
}

/** Certificates and keys are a few KiB; chains of ten RSA certificates are 20. */
const MAX_BYTES = 256 * 1024;

function readPublic(path: string, what: string, context: IdentityContext): Buffer {
  const file = identityPath(path, context);
  const content = readRegularFile(file, { maxBytes: MAX_BYTES, follow: true, streams: false });
  if (content.ok) return content.value.octets;
  throw new DtunnelError('K001', `cannot read the ${what} ${file}: ${content.error.text}`, {
    ...(content.error.code === 'ENOENT' ? { hint: 'make a pair with  dtunnel keygen NAME, or correct the path' } : {}),
  });
}

function readKey(path: string, context: IdentityContext): Buffer {
  const file = identityPath(path, context);
  // systemd guarantees who can read a credential, by an access list that looks like group permission to stat(2).
  const isCredential = path.startsWith(CREDENTIAL);
  const target = isCredential ? file : linkTarget(file, context);
  const content = readRegularFile(target, { maxBytes: MAX_BYTES, follow: isCredential, streams: false });
  if (!content.ok) throw unreadable(file, content.error);
  const reason = isCredential ? undefined : keyExposure(target, content.value, context);
  if (reason === undefined) return content.value.octets;
  content.value.octets.fill(0);
  throw new DtunnelError('K002', `the private key ${file} ${reason.what}`, { hint: reason.fix });
}

/**
 * Where `file` leads. A symbolic link is followed only if root or we made it: anybody else's could be pointed at another
 * file between two looks. What it leads to is opened without following any further.
 */
function linkTarget(file: string, context: IdentityContext): string {
  try {
    const link = lstatSync(file);
    if (!link.isSymbolicLink()) return file;
    if (!trusted(link.uid, context)) {
      throw new DtunnelError('K002', `the private key ${file} is a symbolic link that belongs to uid ${link.uid}`, {
        hint: `name the file itself, or make the link as root or uid ${context.uid}`,
      });
    }
    return realpathSync(file);
  } catch (error) {
    if (error instanceof DtunnelError) throw error;
    throw unreadable(file, fileProblem(error));
  }
}

/** Root and we; and for root the user it set the service up with. */
function trusted(uid: number, context: IdentityContext): boolean {
  return uid === 0 || uid === context.uid || (context.uid === 0 && uid === context.serviceUid);
}

/** Why others could read or replace the key; undefined when they cannot. */
function keyExposure(
  path: string,
  { stats }: FileContent,
  context: IdentityContext,
): { readonly what: string; readonly fix: string } | undefined {
  if (!trusted(stats.uid, context)) {
    return {
      what: `belongs to uid ${stats.uid}, not to root or uid ${context.uid}`,
      fix: `chown it to root or to the user that runs dtunnel`,
    };
  }
  const mode = stats.mode & 0o7777;
  if ((mode & 0o177) !== 0) {
    const octal = mode.toString(8).padStart(4, '0');
    return { what: `has mode ${octal}, 0600 or 0400 is required`, fix: `chmod 600 ${path}` };
  }
  const directory = dirname(path);
  const folder = statSync(directory, { throwIfNoEntry: false });
  // In a directory others can write to, they can put a key of theirs in place; the sticky bit keeps them from it.
  if (folder !== undefined && (folder.mode & 0o022) !== 0 && (folder.mode & 0o1000) === 0) {
    return { what: `is in ${directory}, which others can write to`, fix: `chmod go-w ${directory}` };
  }
  return undefined;
}

function unreadable(file: string, problem: { readonly code: string; readonly text: string }): DtunnelError {
  const hint =
    problem.code === 'ENOENT'
      ? 'make a pair with  dtunnel keygen NAME, or correct the path'
      : problem.code === 'EACCES'
        ? 'run as root or as the user that owns the key'
        : undefined;
  return new DtunnelError('K001', `cannot read the private key ${file}: ${problem.text}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}

const PROBLEM_CODES: Readonly<Record<IdentityProblem['reason'], ErrorCode>> = {
  certificate_format: 'K004',
  key_format: 'K004',
  key_encrypted: 'K004',
  key_type: 'K007',
  key_mismatch: 'K003',
};

function identityError(problem: IdentityProblem, paths: IdentityPaths): DtunnelError {
  const file = problem.reason === 'certificate_format' ? paths.certificate : paths.privateKey;
  return new DtunnelError(PROBLEM_CODES[problem.reason], `${file}: ${problem.detail}`, {
    ...(problem.reason === 'key_encrypted'
      ? { hint: 'a daemon cannot ask for a passphrase: openssl pkey -in OLD -out NEW writes a plain key' }
      : {}),
  });
}
