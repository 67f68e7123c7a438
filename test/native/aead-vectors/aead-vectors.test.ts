import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { AeadName } from '../../../src/crypto/aead.ts';
import { aeadCases } from '../../vectors/wycheproof.ts';

// The data plane's ciphers, compiled as they are into a filter, against Wycheproof's vectors: every back end that the
// machine offers.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const program = `${root}.cache/aead_filter`;

const unable = build();
if (unable !== undefined) console.warn(`native AEAD vectors are left out: ${unable}`);

/** Every back end of this machine with an algorithm it has. */
const pairs =
  unable === undefined
    ? spawnSync(program, { encoding: 'utf8' })
        .stdout.trimEnd()
        .split('\n')
        .flatMap((line) => {
          const [backend = '', ...names] = line.split(' ');
          return names.map((name) => ({ backend, name: name as AeadName }));
        })
    : [];

describe.skipIf(unable !== undefined)('native back ends', () => {
  it('are OpenSSL and what the processor has', () => {
    expect(pairs.filter(({ backend }) => backend === 'openssl')).toHaveLength(3);
  });

  it.each(pairs)('$backend, $name: open the valid, refuse the rest', ({ backend, name }) => {
    const cases = aeadCases(name);
    const requests = cases.flatMap(({ key, iv, aad, msg, ct, tag }) => [
      `open ${name} ${key} ${iv} ${aad || '-'} ${ct + tag}`,
      `seal ${name} ${key} ${iv} ${aad || '-'} ${msg || '-'}`,
    ]);
    const input = `${requests.join('\n')}\n`;
    const { stdout, status } = spawnSync(program, [backend], { input, encoding: 'utf8', timeout: 60_000 });
    expect(status).toBe(0);
    const answers = stdout.trimEnd().split('\n');
    expect(answers.length).toBe(requests.length);
    const wrong = cases.filter(({ msg, ct, tag, result }, at) => {
      const [opened, sealed] = answers.slice(2 * at, 2 * at + 2);
      return result === 'invalid' ? opened !== 'refused' : opened !== (msg || '-') || sealed !== ct + tag;
    });
    expect(wrong.map(({ tcId }) => tcId)).toEqual([]);
  });
});

/** Compiles the filter; yields why it cannot be. */
function build(): string | undefined {
  if (!existsSync('/usr/include/openssl/evp.h')) return 'libssl-dev is not installed';
  mkdirSync(`${root}.cache`, { recursive: true });
  const ciphers = readdirSync(`${root}native/crypto`).filter((name) => name.endsWith('.cc'));
  const sources = [
    fileURLToPath(new URL('aead_filter.cc', import.meta.url)),
    ...ciphers.map((name) => `${root}native/crypto/${name}`),
    `${root}native/base/secret_memory.cc`,
  ];
  // As the addon is compiled (native/binding.gyp).
  const target = process.arch === 'x64' ? ['-march=x86-64-v2'] : [];
  const flags = [
    ...target,
    '-std=c++20',
    '-O1',
    '-fsanitize=address,undefined',
    '-fno-sanitize-recover=all',
    `-I${root}native`,
  ];
  const libraries = ['-lcrypto', '-ldl', '-lpthread'];
  const made = spawnSync('nice', ['c++', ...flags, '-o', program, ...sources, ...libraries], {
    encoding: 'utf8',
    timeout: 150_000,
  });
  return made.status === 0 ? undefined : `does not compile: ${made.stderr.slice(0, 500)}`;
}
