import { DtunnelError, EXIT } from '../../base/errors.ts';
import { Report } from '../../config/diagnostic.ts';
import { parseTree } from '../../config/parser.ts';
import { renderTree } from '../../config/render.ts';
import { SourceFile } from '../../config/source.ts';
import { replaceFile } from '../../daemon/write-file.ts';
import { renderDiagnostics } from '../diagnostics.ts';
import type { Io } from '../io.ts';
import { resolveConfigFile } from '../resolve-file.ts';

/** `dtunnel fmt [-w] FILE…`. */
export interface FmtArgs {
  readonly files: readonly string[];
  /** Write the result back instead of printing it. */
  readonly write: boolean;
  readonly quiet: boolean;
}

/**
 * Prints configurations in canonical form, or rewrites them in place. Only the form changes: a file whose lines cannot be
 * read is refused (78), one whose values are wrong is not, since it may be work in progress.
 */
export async function run(args: FmtArgs, io: Io): Promise<number> {
  let status: number = EXIT.ok;
  for (const name of args.files) {
    const file = resolveConfigFile(name, io.env);
    const octets = io.files.read(file);
    if (!octets.ok) throw new DtunnelError('C001', `cannot read ${file}: ${octets.error}`);
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(octets.value);
    if (text.includes('\uFFFD')) throw new DtunnelError('C002', `${file} is not UTF-8 text`);
    const report = new Report();
    const tree = parseTree(new SourceFile(file, text), report);
    if (report.errors > 0) {
      io.err(`${renderDiagnostics(report.diagnostics([file]), io.colour.err)}\n`);
      io.err(`${file}: not formatted\n`);
      status = EXIT.config;
      continue;
    }
    const formatted = renderTree(tree);
    if (!args.write) io.out(formatted);
    else if (formatted !== text) {
      replaceFile(file, formatted);
      if (!args.quiet) io.err(`[~] ${file} formatted\n`);
    }
  }
  return status;
}
