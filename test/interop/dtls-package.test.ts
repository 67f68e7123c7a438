import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { builtProgram } from '../../src/demo/built.ts';

/** What a user of the package gets: the compiled files behind `dtunnel/dtls`. */
const ENGINE = builtProgram('dtls/index.js');

/** Runs a module in a Node of its own; yields what it prints as JSON. */
function run(source: string): unknown {
  const done = spawnSync(process.execPath, ['--input-type=module', '--eval', source], { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout);
}

describe('importing dtunnel/dtls', () => {
  it('is what the package exports', () => {
    const { exports } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(ENGINE).toBe(fileURLToPath(new URL(`../../${exports['./dtls'].default}`, import.meta.url)));
  });

  it('opens nothing and starts nothing: no timer, no socket, no thread, no child', () => {
    const kinds = run(`
      import { createHook } from 'node:async_hooks';
      const kinds = new Set();
      const hook = createHook({ init: (_id, kind) => kinds.add(kind) }).enable();
      const before = process.getActiveResourcesInfo().sort();
      const engine = await import(${JSON.stringify(ENGINE)});
      hook.disable();
      // The loader closes the files it has read.
      await new Promise((resolve) => setTimeout(resolve, 100));
      const after = process.getActiveResourcesInfo().sort();
      if (typeof engine.Connection !== 'function') throw new Error('no engine');
      if (String(before) !== String(after)) throw new Error(before + ' became ' + after);
      process.stdout.write(JSON.stringify([...kinds]));
    `);
    // Node's module loader reads the files themselves, and awaits that.
    const loader = ['PROMISE', 'FSREQPROMISE', 'FSREQCALLBACK', 'FILEHANDLE', 'FILEHANDLECLOSEREQ', 'TickObject'];
    expect((kinds as string[]).filter((kind) => !loader.includes(kind))).toEqual([]);
  });

  it('needs neither the addon nor a package besides, until a certificate is to be made', () => {
    const loaded = run(`
      import { register } from 'node:module';
      const code = 'export async function resolve(name, context, next) {' +
        ' if (!name.startsWith("node:") && !name.startsWith(".") && !name.startsWith("file:")) throw new Error(name);' +
        ' return next(name, context); }';
      register('data:text/javascript,' + encodeURIComponent(code));
      const { Listener } = await import(${JSON.stringify(new URL(`file://${ENGINE}`).href)});
      process.stdout.write(JSON.stringify(new Listener().receive(new Uint8Array(6), new Uint8Array(20), 0)));
    `);
    expect(loaded).toEqual({ kind: 'drop', reason: expect.any(String) });
  });
});
