import { existsSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import type { Fingerprint } from '../../src/base/brand.ts';
import type { InterfaceSettings } from '../../src/config/settings.ts';
import { createSelfSigned, type SelfSigned } from '../../src/crypto/certificate.ts';
import type { Identity } from '../../src/crypto/identity.ts';
import { type IdentityContext, loadIdentity } from '../../src/daemon/identity-files.ts';
import { Rotation } from '../../src/daemon/rotation.ts';
import { beside, pairBeside } from '../../src/daemon/identity-paths.ts';
import { filesState, switchFiles } from '../../src/daemon/rotation-files.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';
import { interfaceSettings } from '../support/world.ts';

const directory = useTemporaryDirectory();
const make = (): Promise<SelfSigned> => createSelfSigned({ commonName: 'paris', days: 1, keyType: 'p256', now: 1.8e9 });
const [present, next] = [await make(), await make()];

const files = () => ({ certificate: directory.path('paris.crt'), privateKey: directory.path('paris.key') });
const context: IdentityContext = {
  credentialsDirectory: undefined,
  uid: process.getuid?.() ?? 0,
  serviceUid: undefined,
};

function write(which: SelfSigned, to: { certificate: string; privateKey: string }): void {
  writeFileSync(to.certificate, which.certificatePem);
  writeFileSync(to.privateKey, which.privateKeyPem, { mode: 0o600 });
}

describe('the files of a rotation', () => {
  it('lie beside those in force, whatever these are called', () => {
    expect(beside('/etc/dtunnel/paris.crt', 'next')).toBe('/etc/dtunnel/paris.next.crt');
    expect(beside('key', 'old')).toBe('key.old');
    expect(() => pairBeside({ certificate: 'credential:crt', privateKey: 'credential:key' }, 'next')).toThrow(
      expect.objectContaining({ code: 'S036' }),
    );
  });

  // Each step of the switch by itself: a daemon could start after any of them, and the switch be finished.
  it('name an identity that works at every moment of the switch', () => {
    const uses = (): Fingerprint => loadIdentity(files(), context).fingerprint;
    write(present, files());
    expect([filesState(files()), uses()]).toEqual(['none', present.fingerprint]);
    writeFileSync(directory.path('paris.next.key'), next.privateKeyPem, { mode: 0o600 });
    expect([filesState(files()), uses()]).toEqual(['half', present.fingerprint]);
    writeFileSync(directory.path('paris.next.crt'), next.certificatePem);
    expect([filesState(files()), uses()]).toEqual(['ready', present.fingerprint]);
    renameSync(directory.path('paris.next.key'), files().privateKey);
    expect([filesState(files()), uses()]).toEqual(['switching', next.fingerprint]);
    switchFiles(files());
    expect([filesState(files()), uses()]).toEqual(['none', next.fingerprint]);
  });

  it('are switched with the present pair kept as old, in place of an older one', () => {
    write(present, files());
    write(next, pairBeside(files(), 'next'));
    writeFileSync(directory.path('paris.old.key'), 'older');
    switchFiles(files());
    expect(loadIdentity(files(), context).fingerprint).toBe(next.fingerprint);
    expect(loadIdentity(pairBeside(files(), 'old'), context).fingerprint).toBe(present.fingerprint);
    expect(existsSync(directory.path('paris.next.crt'))).toBe(false);
  });

  it('may be one file, or behind a link, which stays one', () => {
    const one = { certificate: directory.path('paris.pem'), privateKey: directory.path('paris.pem') };
    writeFileSync(directory.path('real.pem'), present.certificatePem + present.privateKeyPem, { mode: 0o600 });
    symlinkSync(directory.path('real.pem'), one.certificate);
    writeFileSync(directory.path('paris.next.pem'), next.certificatePem + next.privateKeyPem, { mode: 0o600 });
    expect(filesState(one)).toBe('ready');
    switchFiles(one);
    expect(readFileSync(directory.path('real.pem'), 'utf8')).toBe(next.certificatePem + next.privateKeyPem);
    expect(loadIdentity(one, context).fingerprint).toBe(next.fingerprint);
    expect(filesState(one)).toBe('none');
  });

  it('of another key are no excuse for a pair that does not fit', () => {
    write(present, files());
    writeFileSync(directory.path('paris.next.crt'), present.certificatePem);
    writeFileSync(files().privateKey, next.privateKeyPem, { mode: 0o600 });
    expect(() => loadIdentity(files(), context)).toThrow(expect.objectContaining({ code: 'K003' }));
  });
});

describe('asking the peers', () => {
  const NEXT = { fingerprint: 'ab'.repeat(32) as Fingerprint } as Identity;
  const settings: InterfaceSettings = interfaceSettings({ certificate: '/k/a.crt', privateKey: '/k/a.key' });

  function rotation(ask: (rotation: () => Rotation) => readonly string[]) {
    const read: InterfaceSettings[] = [];
    const made: Rotation = new Rotation({
      settings: () => settings,
      readIdentity: (wanted) => {
        read.push(wanted);
        return NEXT;
      },
      ask: () => ask(() => made),
    });
    return { made, read };
  }
  const tried = (peer: string, result: 'known' | 'refused', fingerprint = NEXT.fingerprint) =>
    ({ kind: 'trial', peer, fingerprint, result }) as const;

  it('reads the next pair and yields what each of them makes of it, whenever they say so', async () => {
    const { made, read } = rotation((self) => {
      self().tried(tried('lyon', 'refused'));
      return ['berlin', 'lyon'];
    });
    const reply = made.ask();
    await expect(made.ask()).rejects.toMatchObject({ code: 'S034' });
    made.tried(tried('berlin', 'refused', 'cd'.repeat(32) as Fingerprint));
    made.tried(tried('berlin', 'known'));
    expect((await reply).peers).toEqual([
      { name: 'berlin', result: 'known' },
      { name: 'lyon', result: 'refused' },
    ]);
    expect(read).toMatchObject([{ certificate: '/k/a.next.crt', privateKey: '/k/a.next.key' }]);
  });

  it('takes who says nothing for silent, and needs nobody to be there', async () => {
    expect((await rotation(() => []).made.ask()).peers).toEqual([]);
    vi.useFakeTimers();
    try {
      const reply = rotation(() => ['berlin']).made.ask();
      vi.advanceTimersByTime(10_000);
      expect((await reply).peers).toEqual([{ name: 'berlin', result: 'silent' }]);
    } finally {
      vi.useRealTimers();
    }
  });
});
