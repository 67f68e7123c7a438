import { DtunnelError, EXIT } from '../../base/errors.ts';
import { runtimeDir, socketNames } from '../../control/paths.ts';
import { loadAddon } from '../../plane/binding.ts';
import { buildInfo } from '../build-info.ts';
import { type Io, json } from '../io.ts';

/** `dtunnel version`. */
export interface VersionArgs {
  /** Check that the parts of the installation fit together. */
  readonly verify: boolean;
  readonly json: boolean;
}

/** One thing that was checked. */
interface Check {
  readonly what: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Prints the version. With `verify` yields 5 when a daemon of another version runs, 1 when a part is missing. */
export async function run(args: VersionArgs, io: Io): Promise<number> {
  const build = buildInfo();
  const facts = {
    ...build,
    node: process.version,
    openssl: process.versions.openssl,
    platform: `${process.platform}-${process.arch}`,
  };
  const checks = args.verify ? [addonCheck(), ...(await daemonChecks(build.version, io))] : [];
  if (args.json) io.out(json({ schema: 'dtunnel.version/1', ...facts, ...(args.verify ? { checks } : {}) }));
  else {
    io.out(`dtunnel ${build.version}\n`);
    if (args.verify)
      io.out(`node ${facts.node}, OpenSSL ${facts.openssl}, ${facts.platform}, commit ${facts.commit}\n`);
    for (const { what, ok, detail } of checks) io.out(`${mark(ok, io)} ${what}: ${detail}\n`);
  }
  if (checks.every(({ ok }) => ok)) return EXIT.ok;
  return checks.some(({ what, ok }) => what === 'native addon' && !ok) ? EXIT.failure : EXIT.incompatible;
}

function addonCheck(): Check {
  try {
    loadAddon();
    return { what: 'native addon', ok: true, detail: 'loads' };
  } catch (error) {
    return { what: 'native addon', ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

async function daemonChecks(version: string, io: Io): Promise<readonly Check[]> {
  // Only asked for on request: printing a version should not load a client.
  const { ControlClient } = await import('../../control/client.ts');
  const dir = runtimeDir(io.env);
  const checks: Check[] = [];
  for (const name of socketNames(dir)) {
    try {
      const hello = await new ControlClient(name, { dir }).hello();
      const ok = hello.version === version;
      checks.push({
        what: `daemon ${name}`,
        ok,
        detail: `version ${hello.version}${ok ? '' : `, this is ${version}: restart it`}`,
      });
    } catch (error) {
      if (error instanceof DtunnelError && error.code === 'S016') continue;
      checks.push({
        what: `daemon ${name}`,
        ok: false,
        detail: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return checks;
}

function mark(ok: boolean, io: Io): string {
  if (ok) return io.unicode ? '✓' : 'ok';
  return io.unicode ? '✗' : 'x';
}
