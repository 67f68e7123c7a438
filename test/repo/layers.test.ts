import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesBelow, importsOf } from './source-files.ts';

/**
 * Who may import whom: the layer table of ARCHITECTURE.md. A layer imports itself, what is listed, and for `types`
 * only the types of what is listed. `builtins` undefined: any.
 */
interface Layer {
  readonly imports: readonly string[];
  readonly types?: readonly string[];
  readonly builtins?: readonly string[];
  readonly packages?: readonly string[];
}

const LAYERS: Readonly<Record<string, Layer>> = {
  base: { imports: [], builtins: [] },
  wire: { imports: ['base'], builtins: ['node:buffer'] },
  net: { imports: ['base'], builtins: ['node:buffer'], packages: ['ipaddr.js'] },
  crypto: { imports: ['base', 'wire'], builtins: ['node:crypto'], packages: ['@peculiar/x509'] },
  dtls: { imports: ['base', 'wire', 'crypto'], builtins: [] },
  config: { imports: ['base', 'net', 'crypto/fingerprint'], types: ['crypto/aead'], builtins: [] },
  tunnel: {
    imports: ['base', 'wire', 'net', 'dtls', 'crypto/fingerprint', 'crypto/certificate'],
    types: ['config/settings', 'crypto'],
    builtins: [],
    packages: ['zod'],
  },
  plane: {
    imports: ['base', 'net'],
    types: ['crypto/aead'],
    builtins: ['node:module', 'node:url', 'node:path', 'node:fs'],
  },
  control: { imports: ['base', 'net'], builtins: ['node:http', 'node:net', 'node:fs', 'node:path'], packages: ['zod'] },
  metrics: {
    imports: ['base', 'net'],
    types: ['plane', 'tunnel', 'config/settings', 'dtls'],
    builtins: ['node:http', 'node:net', 'node:crypto', 'node:fs', 'node:perf_hooks'],
    packages: ['prom-client'],
  },
  demo: { imports: ['base', 'net', 'crypto', 'plane', 'cli'] },
  daemon: { imports: ['base', 'wire', 'net', 'crypto', 'dtls', 'config', 'tunnel', 'plane', 'control', 'metrics'] },
  cli: { imports: ['base', 'wire', 'net', 'config', 'control', 'crypto', 'dtls', 'plane', 'daemon', 'demo'] },
};

const files = filesBelow('src', ['.ts']);

describe('import direction', () => {
  it.each(files.map((file) => [file.path, file] as const))('%s imports only layers below its own', (path, file) => {
    const [, layerName = ''] = path.split('/');
    const layer = LAYERS[layerName.replace(/\.ts$/, '')];
    if (layer === undefined) {
      expect(path).toBe('src/main.ts');
      return;
    }
    for (const { specifier, typeOnly } of importsOf(file)) {
      if (specifier.startsWith('.')) {
        const target = normalize(join(dirname(path), specifier)).replace(/^src\//, '');
        const within = (names: readonly string[]) =>
          names.some((n) => target.startsWith(`${n}/`) || target === `${n}.ts`);
        const allowed = within([layerName, ...layer.imports]) || (typeOnly && within(layer.types ?? []));
        expect(allowed, `${path} imports ${specifier}`).toBe(true);
        expect(specifier.startsWith('../../../'), `${path} reaches far up: ${specifier}`).toBe(false);
      } else if (specifier.startsWith('node:')) {
        const allowed = typeOnly || layer.builtins === undefined || layer.builtins.includes(specifier);
        expect(allowed, `${path} imports ${specifier}`).toBe(true);
      } else if (layer.packages !== undefined || layer.builtins !== undefined) {
        expect(layer.packages ?? [], `${path} imports ${specifier}`).toContain(specifier);
      }
    }
  });

  it('has no import cycles', () => {
    const graph = new Map<string, readonly string[]>();
    for (const file of files) {
      const targets = importsOf(file)
        .filter(({ specifier, typeOnly }) => specifier.startsWith('.') && !typeOnly)
        .map(({ specifier }) => normalize(join(dirname(file.path), specifier)));
      graph.set(file.path, targets);
    }
    const done = new Set<string>();
    const visit = (path: string, trail: readonly string[]): void => {
      if (done.has(path)) return;
      expect(trail, `cycle: ${[...trail, path].join(' → ')}`).not.toContain(path);
      for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
      done.add(path);
    };
    for (const path of graph.keys()) visit(path, []);
  });
});

describe('the bench', () => {
  /** The data plane's twin in memory: thousands of peers fit beside each other. */
  const TWIN = 'test/support/memory-plane.ts';

  it.each(filesBelow('bench', ['.ts']).map((file) => [file.path, file] as const))(
    '%s imports no tests',
    (path, file) => {
      for (const { specifier } of importsOf(file)) {
        const target = normalize(join(dirname(path), specifier));
        if (target.startsWith('test/')) expect(target, `${path} imports ${specifier}`).toBe(TWIN);
      }
    },
  );
});

describe('protocol layers are free of real time, randomness and IO', () => {
  const pure = files.filter((file) => /^src\/(base|wire|net|crypto|dtls|config|tunnel)\//.test(file.path));
  const banned: readonly (readonly [RegExp, readonly string[]])[] = [
    [/\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bprocess\.hrtime\b/, ['src/base/clock.ts']],
    [/\bMath\.random\b|\brandomBytes\b|\bgetRandomValues\b/, ['src/crypto/random.ts']],
    [/\bsetTimeout\b|\bsetInterval\b|\bsetImmediate\b/, []],
    [/\bconsole\./, []],
  ];
  it.each(pure.map((file) => [file.path, file] as const))('%s', (path, file) => {
    const code = file.text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
    for (const [pattern, except] of banned) {
      if (!except.includes(path)) expect(pattern.exec(code)?.[0], path).toBeUndefined();
    }
  });
});
