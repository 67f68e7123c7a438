import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, lchownSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { DtunnelError } from '../../src/base/errors.ts';
import { createSelfSigned, type SelfSigned } from '../../src/crypto/certificate.ts';
import { loadCertificatePem, loadIdentity, loadMetricsToken } from '../../src/daemon/identity-files.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';

const uid = process.geteuid?.() ?? 0;
const IS_ROOT = uid === 0;
const context = { credentialsDirectory: undefined, uid, serviceUid: undefined };
const directory = useTemporaryDirectory();

let made: SelfSigned;
let other: SelfSigned;
beforeAll(async () => {
  const options = { commonName: 'paris', days: 1, keyType: 'p256', now: 1_800_000_000 } as const;
  made = await createSelfSigned(options);
  other = await createSelfSigned(options);
});

/** Certificate and key in the test's directory, the key with `mode`. */
function write(mode = 0o600): { readonly certificate: string; readonly privateKey: string } {
  const paths = { certificate: directory.path('paris.crt'), privateKey: directory.path('paris.key') };
  writeFileSync(paths.certificate, made.certificatePem);
  writeFileSync(paths.privateKey, made.privateKeyPem, { mode });
  chmodSync(paths.privateKey, mode);
  return paths;
}

function failure(action: () => unknown): DtunnelError {
  try {
    action();
  } catch (error) {
    if (error instanceof DtunnelError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('an identity', () => {
  it.each([0o600, 0o400])('is read from a key of mode %o', (mode) => {
    expect(loadIdentity(write(mode), context).fingerprint).toBe(made.fingerprint);
  });

  it('may be one file', () => {
    const file = directory.path('both.pem');
    writeFileSync(file, made.certificatePem + made.privateKeyPem, { mode: 0o600 });
    expect(loadIdentity({ certificate: file, privateKey: file }, context).fingerprint).toBe(made.fingerprint);
    chmodSync(file, 0o644);
    expect(failure(() => loadIdentity({ certificate: file, privateKey: file }, context)).code).toBe('K002');
  });

  it('comes from systemd credentials, whose permissions are not judged', () => {
    const paths = write(0o440);
    const given = { credentialsDirectory: directory.path(), uid: uid + 1, serviceUid: undefined };
    const named = { certificate: paths.certificate, privateKey: 'credential:paris.key' };
    expect(loadIdentity(named, given).fingerprint).toBe(made.fingerprint);
    expect(failure(() => loadIdentity(named, context))).toMatchObject({ code: 'K006', exitCode: 78 });
  });
});

describe('a private key is refused', () => {
  it.each([0o640, 0o604, 0o660, 0o644, 0o620, 0o602, 0o700, 0o601])('with mode %o', (mode) => {
    const paths = write(mode);
    const error = failure(() => loadIdentity(paths, context));
    expect(error).toMatchObject({ code: 'K002', exitCode: 78, hint: `chmod 600 ${paths.privateKey}` });
    expect(error.message).toContain(`has mode 0${mode.toString(8)}`);
  });

  it('when it belongs to somebody else', () => {
    const paths = write();
    // Root gives it away; anybody else is asked to read it as another user would.
    if (IS_ROOT) chownSync(paths.privateKey, 65534, 65534);
    const reader = IS_ROOT ? context : { ...context, uid: uid + 4242 };
    const error = failure(() => loadIdentity(paths, reader));
    expect(error.code).toBe('K002');
    expect(error.message).toContain(`belongs to uid ${IS_ROOT ? 65534 : uid}`);
    // Root looks after the keys of the service, and of nobody else.
    if (IS_ROOT) expect(loadIdentity(paths, { ...context, serviceUid: 65534 }).fingerprint).toBe(made.fingerprint);
  });

  it('in a directory others can write to, unless it is sticky', () => {
    const paths = write();
    chmodSync(directory.path(), 0o777);
    expect(failure(() => loadIdentity(paths, context))).toMatchObject({
      code: 'K002',
      hint: `chmod go-w ${directory.path()}`,
    });
    chmodSync(directory.path(), 0o1777);
    expect(loadIdentity(paths, context).fingerprint).toBe(made.fingerprint);
  });

  it('behind a symbolic link of somebody else, and accepted behind our own', () => {
    const paths = write();
    const link = directory.path('link.key');
    symlinkSync(paths.privateKey, link);
    expect(loadIdentity({ ...paths, privateKey: link }, context).fingerprint).toBe(made.fingerprint);
    if (!IS_ROOT) return;
    lchownSync(link, 65534, 65534);
    const error = failure(() => loadIdentity({ ...paths, privateKey: link }, context));
    expect(error.code).toBe('K002');
    expect(error.message).toContain('symbolic link that belongs to uid 65534');
  });

  it('when what a link leads to is exposed', () => {
    const paths = write(0o644);
    symlinkSync(paths.privateKey, directory.path('link.key'));
    expect(failure(() => loadIdentity({ ...paths, privateKey: directory.path('link.key') }, context)).code).toBe(
      'K002',
    );
  });

  it('when it is missing, a directory or a pipe, without waiting for one', () => {
    const { certificate } = write();
    const refuse = (privateKey: string): DtunnelError =>
      failure(() => loadIdentity({ certificate, privateKey }, context));
    expect(refuse(directory.path('none.key'))).toMatchObject({ code: 'K001', exitCode: 78 });
    expect(refuse(directory.path('none.key')).hint).toContain('dtunnel keygen');
    mkdirSync(directory.path('folder'));
    expect(refuse(directory.path('folder')).message).toContain('is a directory');
    execFileSync('mkfifo', ['-m', '600', directory.path('pipe')]);
    expect(refuse(directory.path('pipe')).message).toContain('not a regular file');
    symlinkSync('loop', directory.path('loop'));
    expect(refuse(directory.path('loop')).code).toBe('K001');
  });

  it('when it is not that of the certificate, no PEM, or encrypted', () => {
    const paths = write();
    const withKey = (pem: string): DtunnelError => {
      writeFileSync(paths.privateKey, pem);
      return failure(() => loadIdentity(paths, context));
    };
    expect(withKey(other.privateKeyPem).code).toBe('K003');
    expect(withKey('nothing').code).toBe('K004');
    expect(withKey('').code).toBe('K004');
    const encrypted = made.privateKeyPem.replaceAll('PRIVATE KEY', 'ENCRYPTED PRIVATE KEY');
    expect(withKey(encrypted)).toMatchObject({ code: 'K004' });
    expect(withKey(encrypted).hint).toContain('passphrase');
    writeFileSync(paths.certificate, 'nothing');
    writeFileSync(paths.privateKey, made.privateKeyPem);
    expect(failure(() => loadIdentity(paths, context))).toMatchObject({ code: 'K004' });
  });

  it('when its curve is none of ours', () => {
    const paths = write();
    const key = directory.path('odd.key');
    execFileSync('openssl', ['ecparam', '-name', 'secp256k1', '-genkey', '-noout', '-out', key]);
    execFileSync('openssl', ['req', '-x509', '-key', key, '-subj', '/CN=odd', '-out', paths.certificate]);
    writeFileSync(paths.privateKey, readFileSync(key), { mode: 0o600 });
    expect(failure(() => loadIdentity(paths, context)).code).toBe('K007');
  });

  it('without a word of its content', () => {
    const paths = write();
    const body = made.privateKeyPem.split('\n')[1] ?? '';
    for (const pem of [other.privateKeyPem, made.privateKeyPem.slice(0, 90), `${body}\n${body}`]) {
      writeFileSync(paths.privateKey, pem);
      const error = failure(() => loadIdentity(paths, context));
      const said = `${error.message} ${error.hint} ${error.stack} ${String(error.cause)}`;
      for (const line of pem.split('\n').filter((text) => /^[A-Za-z0-9+/=]{8,}$/.test(text))) {
        expect(said).not.toContain(line.slice(0, 8));
      }
    }
  });
});

describe('what is public', () => {
  it('is read whatever its mode', () => {
    const { certificate } = write();
    chmodSync(certificate, 0o644);
    expect(loadCertificatePem(certificate, context)).toBe(made.certificatePem);
    expect(failure(() => loadCertificatePem(directory.path('none.crt'), context)).code).toBe('K001');
  });

  it('is bounded in size', () => {
    writeFileSync(directory.path('large.crt'), Buffer.alloc(300 * 1024));
    expect(failure(() => loadCertificatePem(directory.path('large.crt'), context)).message).toContain('larger than');
  });
});

describe('the metrics token', () => {
  it('is itself, or the content of a credential', () => {
    writeFileSync(directory.path('token'), 'from-the-credential\n');
    const given = { ...context, credentialsDirectory: directory.path() };
    expect(loadMetricsToken('written-in-the-file', given)).toBe('written-in-the-file');
    expect(loadMetricsToken('credential:token', given)).toBe('from-the-credential');
    writeFileSync(directory.path('token'), '\n');
    expect(failure(() => loadMetricsToken('credential:token', given)).code).toBe('K001');
    expect(failure(() => loadMetricsToken('credential:token', context)).code).toBe('K006');
  });
});
