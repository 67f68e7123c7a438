import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { diskFiles } from '../../src/daemon/config-files.ts';
import { createFile, replaceFile } from '../../src/daemon/write-file.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';

const directory = useTemporaryDirectory();

describe('patterns of Include', () => {
  function matched(pattern: string): readonly string[] {
    const found = diskFiles.list(`${directory.path()}/${pattern}`);
    return found.ok ? found.value.map((path) => path.slice(directory.path().length + 1)) : [`error: ${found.error}`];
  }

  it('match files by name, sorted, hidden ones only where the dot is written', () => {
    mkdirSync(directory.path('peers.d/deep'), { recursive: true });
    for (const name of ['b.conf', 'a.conf', '.hidden.conf', 'c.conf~', 'a[1].conf', 'x.txt', 'deep/d.conf']) {
      writeFileSync(directory.path(`peers.d/${name}`), '');
    }
    mkdirSync(directory.path('peers.d/folder.conf'));
    expect(matched('peers.d/*.conf')).toEqual(['peers.d/a.conf', 'peers.d/a[1].conf', 'peers.d/b.conf']);
    expect(matched('peers.d/.*.conf')).toEqual(['peers.d/.hidden.conf']);
    expect(matched('peers.d/?.conf')).toEqual(['peers.d/a.conf', 'peers.d/b.conf']);
    expect(matched('peers.d/[b-z].conf')).toEqual(['peers.d/b.conf']);
    expect(matched('peers.d/[!b].conf')).toEqual(['peers.d/a.conf']);
    expect(matched('*/*/*.conf')).toEqual(['peers.d/deep/d.conf']);
    expect(matched('peers.d/[.conf')).toEqual([]);
    expect(matched('none.d/*.conf')).toEqual([]);
  });

  it('without wild cards name a file whether it is there or not', () => {
    expect(matched('peers.d/a.conf')).toEqual(['peers.d/a.conf']);
  });
});

describe('reading', () => {
  it('says why a file cannot be had, in the words of the system', () => {
    expect(diskFiles.read(directory.path('none'))).toEqual({ ok: false, error: 'no such file or directory' });
    expect(diskFiles.read(directory.path())).toEqual({ ok: false, error: 'is a directory' });
    expect(diskFiles.read('a\0b')).toEqual({ ok: false, error: 'the path holds a NUL' });
    writeFileSync(directory.path('file'), 'text');
    const content = diskFiles.read(directory.path('file'));
    expect(content.ok && Buffer.from(content.value).toString()).toBe('text');
  });
});

describe('writing', () => {
  it('creates a file with its mode, whatever the umask, and leaves nothing else behind', () => {
    expect(createFile(directory.path('key'), 'secret', 0o600, undefined)).toBe(true);
    expect(statSync(directory.path('key')).mode & 0o777).toBe(0o600);
    expect(createFile(directory.path('crt'), 'public', 0o644, undefined)).toBe(true);
    expect(statSync(directory.path('crt')).mode & 0o777).toBe(0o644);
    expect(readdirSync(directory.path()).toSorted()).toEqual(['crt', 'key']);
  });

  it('never replaces what is there, a dangling link included', () => {
    writeFileSync(directory.path('key'), 'old');
    symlinkSync(directory.path('nowhere'), directory.path('link'));
    expect(createFile(directory.path('key'), 'new', 0o600, undefined)).toBe(false);
    expect(createFile(directory.path('link'), 'new', 0o600, undefined)).toBe(false);
    expect(readFileSync(directory.path('key'), 'utf8')).toBe('old');
    expect(readdirSync(directory.path()).toSorted()).toEqual(['key', 'link']);
  });

  it('replaces content and keeps mode and link', () => {
    writeFileSync(directory.path('real.conf'), 'old');
    chmodSync(directory.path('real.conf'), 0o640);
    symlinkSync('real.conf', directory.path('link.conf'));
    replaceFile(directory.path('link.conf'), 'new');
    expect(readFileSync(directory.path('real.conf'), 'utf8')).toBe('new');
    expect(statSync(directory.path('real.conf')).mode & 0o777).toBe(0o640);
    expect(lstatSync(directory.path('link.conf')).isSymbolicLink()).toBe(true);
    expect(readdirSync(directory.path()).toSorted()).toEqual(['link.conf', 'real.conf']);
  });

  it('says what could not be written and why', () => {
    expect(() => createFile(directory.path('none/key'), 'x', 0o600, undefined)).toThrow(
      `cannot create ${directory.path('none/key')}: no such file or directory`,
    );
    expect(() => replaceFile(directory.path('none'), 'x')).toThrow('no such file or directory');
  });
});
