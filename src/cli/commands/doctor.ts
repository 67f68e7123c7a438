import { closeSync, openSync, writeSync } from 'node:fs';
import { DtunnelError, EXIT } from '../../base/errors.ts';
import { collectFindings, type Finding } from '../examine.ts';
import { type Io, json } from '../io.ts';
import { type Look, lookOf, paint, plain, type Tone } from '../paint.ts';
import { displayWidth } from '../table.ts';

/** `dtunnel doctor NAME`. */
export interface DoctorArgs {
  readonly name: string;
  /** Write the findings to this file as well; it must not exist. */
  readonly report: string | undefined;
  readonly json: boolean;
  readonly timeoutMs: number;
}

/** Looks at everything that can keep a tunnel from working, and says what to do. Yields 6 when something is wrong. */
export async function run(args: DoctorArgs, io: Io): Promise<number> {
  const findings = await collectFindings(args.name, args.timeoutMs, io);
  const bad = findings.filter(({ verdict }) => verdict === 'bad').length;
  if (args.report !== undefined) writeReport(args.report, doctorText(findings, { colour: false, unicode: true }));
  if (args.json) io.out(json({ schema: 'dtunnel.doctor/1', ok: bad === 0, findings }));
  else {
    io.out(doctorText(findings, lookOf(io)));
    if (args.report !== undefined) io.out(`report: ${args.report} (no secrets inside)\n`);
  }
  return bad === 0 ? EXIT.ok : EXIT.degraded;
}

const SIGNS = { good: '✓', notice: '!', bad: '✗' } as const;
const TONES = { good: 'good', notice: 'warning', bad: 'bad' } as const satisfies Record<string, Tone>;

/** Columns for what is good and needs no more than its name. */
const WIDTH = 80;

/** Findings as text: what is good shares lines, what is not has its own, with the way out below. */
export function doctorText(findings: readonly Finding[], look: Look): string {
  const lines: string[] = [];
  let row = '';
  const flush = (): void => {
    if (row !== '') lines.push(row);
    row = '';
  };
  for (const { what, verdict, detail } of findings) {
    const head = `${paint(look, TONES[verdict], plain(look, SIGNS[verdict]))} ${what}`;
    if (verdict === 'good' && detail.length === 0) {
      const joined = row === '' ? head : `${row}     ${head}`;
      if (displayWidth(joined) <= WIDTH) row = joined;
      else {
        flush();
        row = head;
      }
      continue;
    }
    flush();
    lines.push(head, ...detail.map((text) => `    ${text}`));
  }
  flush();
  return plain(look, `${lines.join('\n')}\n`);
}

function writeReport(path: string, text: string): void {
  try {
    // Never through a link or over a file that somebody else put there.
    const file = openSync(path, 'wx', 0o600);
    writeSync(file, text);
    closeSync(file);
  } catch (error) {
    throw new DtunnelError('S023', `cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
