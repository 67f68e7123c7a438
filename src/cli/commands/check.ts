import { DtunnelError, EXIT } from '../../base/errors.ts';
import type { Fingerprint } from '../../base/brand.ts';
import { type Diagnostics, diagnosticJson } from '../../config/diagnostic.ts';
import { type Loaded, loadSettings } from '../../config/load.ts';
import { checkPair, type PairVerdict } from '../../config/pair.ts';
import { certificateFromPem } from '../../crypto/certificate.ts';
import { fingerprintOf } from '../../crypto/fingerprint.ts';
import { identityContext, loadCertificatePem, loadIdentity } from '../../daemon/identity-files.ts';
import { renderDiagnostics, renderWarningLines } from '../diagnostics.ts';
import { type Io, json } from '../io.ts';
import { resolveConfigFile } from '../resolve-file.ts';

/** `dtunnel check FILE [FILE]`. */
export interface CheckArgs {
  /** One file, or both ends of a link. */
  readonly files: readonly string[];
  readonly json: boolean;
  readonly quiet: boolean;
}

/** Checks one configuration, or whether two make a link. Yields the exit status: 0, or 78 when something does not hold. */
export async function run(args: CheckArgs, io: Io): Promise<number> {
  const reports = args.files.map((file) => checkFile(resolveConfigFile(file, io.env), io));
  const [first, second] = reports;
  const pair =
    first?.loaded === undefined || second?.loaded === undefined
      ? undefined
      : checkPair(
          { loaded: first.loaded, fingerprint: first.fingerprint },
          { loaded: second.loaded, fingerprint: second.fingerprint },
        );
  const good = reports.every((report) => report.ok) && (pair?.ok ?? true);
  if (args.json) io.out(json(toJson(reports, pair, good)));
  else printReports(reports, pair, args.quiet, io);
  return good ? EXIT.ok : EXIT.config;
}

interface FileReport {
  readonly file: string;
  readonly loaded: Loaded | undefined;
  readonly diagnostics: Diagnostics;
  /** Of the certificate, when it could be read. */
  readonly fingerprint: Fingerprint | undefined;
  /** What is wrong with certificate or key. */
  readonly identity: DtunnelError | undefined;
  /** Whether that only means that this is not the machine they are on, or not their owner. */
  readonly identityAbsent: boolean;
  readonly ok: boolean;
}

function checkFile(file: string, io: Io): FileReport {
  const result = loadSettings(file, io.files, (name) => io.env[name]);
  const nothing = { fingerprint: undefined, identity: undefined, identityAbsent: false };
  if (!result.ok) return { file, loaded: undefined, diagnostics: result.error, ...nothing, ok: false };
  const loaded = result.value;
  const found = checkIdentity(loaded, io);
  const ok = found.identity === undefined || found.identityAbsent;
  return { file, loaded, diagnostics: loaded.warnings, ...found, ok };
}

function checkIdentity(loaded: Loaded, io: Io): Pick<FileReport, 'fingerprint' | 'identity' | 'identityAbsent'> {
  const { certificate, privateKey } = loaded.settings.interface;
  const context = identityContext(io.env, io.uid);
  try {
    const { fingerprint } = loadIdentity({ certificate, privateKey }, context);
    return { fingerprint, identity: undefined, identityAbsent: false };
  } catch (error) {
    if (!(error instanceof DtunnelError)) throw error;
    // A file can be checked on another machine, or by somebody who may not read the key: that is no mistake in it.
    const identityAbsent = error.code === 'K001' || error.code === 'K006';
    return { fingerprint: readFingerprint(certificate, context), identity: error, identityAbsent };
  }
}

/** The certificate alone, for those who may not read the key. */
function readFingerprint(
  certificate: string,
  context: Parameters<typeof loadCertificatePem>[1],
): Fingerprint | undefined {
  try {
    const der = certificateFromPem(loadCertificatePem(certificate, context));
    return der === undefined ? undefined : fingerprintOf(der);
  } catch (error) {
    if (error instanceof DtunnelError) return undefined;
    throw error;
  }
}

function printReports(reports: readonly FileReport[], pair: PairVerdict | undefined, quiet: boolean, io: Io): void {
  const width = Math.max(...reports.map((report) => report.file.length));
  const printErrors = (diagnostics: Diagnostics): void => {
    const items = diagnostics.items.filter((item) => item.severity === 'error');
    if (items.length > 0) io.err(`${renderDiagnostics({ items, omitted: diagnostics.omitted }, io.colour.err)}\n`);
  };
  for (const report of reports) {
    printErrors(report.diagnostics);
    if (report.identity !== undefined && !report.identityAbsent) {
      io.err(`error[${report.identity.code}]: ${report.identity.message}\n  = help: ${report.identity.hint}\n\n`);
    }
    if (report.loaded === undefined || !report.ok) io.err(`${report.file}: ${problems(report)}\n`);
    else if (!quiet) io.out(`${`${report.file}: ok`.padEnd(width + 4)}  (${contents(report.loaded)})\n`);
  }
  if (pair !== undefined) {
    printErrors(pair.diagnostics);
    if (pair.ok && !quiet) io.out(`${pairLine(reports, pair, io)}\n`);
  }
  for (const report of reports) {
    io.err(renderWarningLines(report.diagnostics, io.colour.err));
    if (report.identityAbsent) io.err(`warning: ${report.file}: ${report.identity?.message}: not checked\n`);
  }
  if (pair !== undefined) io.err(renderWarningLines(pair.diagnostics, io.colour.err));
}

function problems(report: FileReport): string {
  const shown = report.diagnostics.items.filter((item) => item.severity === 'error').length;
  const count = shown + report.diagnostics.omitted + (report.identity === undefined || report.identityAbsent ? 0 : 1);
  return `${count} ${count === 1 ? 'error' : 'errors'}`;
}

function contents(loaded: Loaded): string {
  const { peers } = loaded.settings;
  const prefixes = peers.reduce((sum, peer) => sum + peer.allowedIps.length, 0);
  const counted = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;
  return `${counted(peers.length, 'peer', 'peers')}, ${counted(prefixes, 'prefix', 'prefixes')}`;
}

function pairLine(reports: readonly FileReport[], pair: PairVerdict, io: Io): string {
  const names = reports.map((report) => report.loaded?.settings.interface.name ?? '');
  const arrow = io.unicode ? '↔' : '<->';
  const sides = pair.reachable.length === 1 ? 'one side' : 'both sides';
  return [
    `pair ${names.join(` ${arrow} `)}: ${pair.fingerprintsChecked ? 'fingerprints match' : 'fingerprints not compared'}`,
    'prefixes mirror',
    `${sides} reachable (${pair.reachable.join(', ')})`,
    `MTU ${pair.mtu.join('/')}`,
  ].join(', ');
}

function toJson(reports: readonly FileReport[], pair: PairVerdict | undefined, ok: boolean): object {
  return {
    schema: 'dtunnel.check/1',
    ok,
    files: reports.map((report) => ({
      file: report.file,
      ok: report.ok,
      name: report.loaded?.settings.interface.name ?? null,
      peers: report.loaded?.settings.peers.length ?? null,
      prefixes: report.loaded?.settings.peers.reduce((sum, peer) => sum + peer.allowedIps.length, 0) ?? null,
      fingerprint: report.fingerprint ?? null,
      identity:
        report.identity === undefined
          ? null
          : { code: report.identity.code, message: report.identity.message, help: report.identity.hint },
      diagnostics: report.diagnostics.items.map(diagnosticJson),
      omitted: report.diagnostics.omitted,
    })),
    pair:
      pair === undefined
        ? null
        : {
            ok: pair.ok,
            fingerprintsChecked: pair.fingerprintsChecked,
            reachable: pair.reachable,
            mtu: pair.mtu,
            diagnostics: pair.diagnostics.items.map(diagnosticJson),
          },
  };
}
