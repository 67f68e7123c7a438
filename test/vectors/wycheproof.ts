import { readFileSync } from 'node:fs';
import { z } from 'zod';

const aeadGroup = z.object({
  ivSize: z.number(),
  keySize: z.number(),
  tagSize: z.number(),
  tests: z.array(
    z.object({
      tcId: z.number(),
      key: z.string(),
      iv: z.string(),
      aad: z.string(),
      msg: z.string(),
      ct: z.string(),
      tag: z.string(),
      result: z.enum(['valid', 'invalid', 'acceptable']),
    }),
  ),
});

/** One AEAD case; everything but the number and the verdict is hex. */
export type AeadCase = z.infer<typeof aeadGroup>['tests'][number];

/** The groups of a Wycheproof file, checked against the shape that a test needs of them. */
export function wycheproof<T>(file: string, group: z.ZodType<T>): T[] {
  const path = new URL(`wycheproof/${file}_test.json`, import.meta.url);
  const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
  return z.object({ testGroups: z.array(group) }).parse(parsed).testGroups;
}

/** The cases that DTLS can meet: nonces of 12 octets and whole tags; other sizes never reach a cipher. */
export function aeadCases(name: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'): AeadCase[] {
  const file = name === 'chacha20-poly1305' ? 'chacha20_poly1305' : 'aes_gcm';
  const keyBits = name === 'aes-128-gcm' ? 128 : 256;
  return wycheproof(file, aeadGroup)
    .filter((group) => group.keySize === keyBits && group.ivSize === 96 && group.tagSize === 128)
    .flatMap((group) => group.tests);
}
