import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { createSelfSigned, type Effect, type Identity, readIdentity } from '../../src/dtls/index.ts';

const README = new URL('../../src/dtls/README.md', import.meta.url);
// Inside the tree, so that the example's imports resolve as any file's here do.
const folder = mkdtempSync(join(fileURLToPath(new URL('.', import.meta.url)), '.readme-'));

async function identity(): Promise<Identity> {
  const made = await createSelfSigned({ commonName: 'example', days: 1, keyType: 'p256', now: Date.now() / 1000 });
  const read = readIdentity(made.certificatePem, made.privateKeyPem);
  if (!read.ok) throw new Error(read.error.detail);
  return read.value;
}

describe('the example of the engine', () => {
  afterAll(() => rmSync(folder, { recursive: true }));

  const [, code = ''] = /```js\n([\s\S]*?)```/.exec(readFileSync(README, 'utf8')) ?? [];

  it('is at most 30 lines long', () => {
    expect(code.trim().split('\n').length).toBeLessThanOrEqual(30);
  });

  it('echoes over real sockets', { timeout: 10_000 }, async () => {
    const file = join(folder, 'example.mjs');
    const index = fileURLToPath(new URL('../../src/dtls/index.ts', import.meta.url));
    writeFileSync(file, code.replace("'dtunnel/dtls'", JSON.stringify(index)));
    const { serve, call } = await import(file);
    const [ours, theirs] = [await identity(), await identity()];
    const server = createSocket('udp4').bind(0, '127.0.0.1');
    const client = createSocket('udp4');
    await once(server, 'listening');
    const accept = (peer: Identity) => (seen: string) =>
      seen === peer.fingerprint ? { allowLegacyPeer: false } : undefined;
    serve(server, { role: 'server', identity: theirs, authorize: accept(ours) }, (effect: Effect, send: Send) => {
      if (effect.kind === 'data') send(effect.payload);
    });
    const echoed = await new Promise<string>((resolve, reject) => {
      const options = { role: 'client', identity: ours, authorize: accept(theirs) };
      call(client, server.address().port, '127.0.0.1', options, (effect: Effect, send: Send) => {
        // Not at once: the example must also send what is said later.
        if (effect.kind === 'established') setImmediate(() => send(new TextEncoder().encode('hello?')));
        else if (effect.kind === 'data') resolve(new TextDecoder().decode(effect.payload));
        else reject(new Error(JSON.stringify(effect)));
      });
    });
    expect(echoed).toBe('hello?');
    server.close();
    client.close();
  });
});

type Send = (payload: Uint8Array) => void;
