import { DtunnelError, ERRORS, EXIT } from '../base/errors.ts';
import type { Diagnostic, Diagnostics } from '../config/diagnostic.ts';
import { renderDiagnostics } from './diagnostics.ts';
import type { Io } from './io.ts';

/** The JSON form of a command that failed: one document on standard output, like every other answer. */
export function failureJson(error: unknown): object {
  if (!(error instanceof DtunnelError)) {
    const { exit, hint } = ERRORS.S001;
    return { error: { code: 'S001', message: messageOf(error), hint, exit } };
  }
  const { code, message, hint, exitCode: exit, details } = error;
  return { error: { code, message, hint, exit, ...(details === undefined ? {} : { details }) } };
}

/** Tells on standard error what went wrong and what can be done, and yields the exit status. */
export function reportFailure(error: unknown, io: Io): number {
  if (error instanceof DtunnelError) {
    io.err(failureText(error, io.colour.err));
    return error.exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.err(`error[S001]: unexpected failure\n${stack}\n  = help: ${ERRORS.S001.hint}\n`);
  return EXIT.failure;
}

/** An operational error as text; configuration findings are shown in full. */
export function failureText(error: DtunnelError, colour: boolean): string {
  const findings = diagnosticsIn(error.details);
  const red = (text: string): string => (colour ? `\u001b[1;31m${text}\u001b[0m` : text);
  const head = `${red(`error[${error.code}]`)}: ${error.message}\n`;
  if (findings !== undefined) return `${renderDiagnostics(findings, colour)}\n${head}`;
  return `${head}  = help: ${error.hint}\n  = see: dtunnel help ${error.code}\n`;
}

/** Configuration findings that an error carries, be it from this process or from a daemon. */
function diagnosticsIn(details: unknown): Diagnostics | undefined {
  if (typeof details !== 'object' || details === null || !('items' in details) || !Array.isArray(details.items)) {
    return undefined;
  }
  const items = details.items.filter(isDiagnostic);
  const omitted = 'omitted' in details && typeof details.omitted === 'number' ? details.omitted : 0;
  return { items, omitted };
}

function isDiagnostic(value: unknown): value is Diagnostic {
  return (
    typeof value === 'object' &&
    value !== null &&
    'severity' in value &&
    'labels' in value &&
    Array.isArray(value.labels)
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
