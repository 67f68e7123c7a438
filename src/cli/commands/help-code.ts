import { DtunnelError, ERRORS, type ErrorCode, EXIT } from '../../base/errors.ts';
import { CONFIG_EXPLANATIONS } from '../explanations/config.ts';
import type { Explanation } from '../explanations/explanation.ts';
import { KEY_EXPLANATIONS } from '../explanations/keys.ts';
import { NETWORK_EXPLANATIONS } from '../explanations/network.ts';
import { SYSTEM_EXPLANATIONS } from '../explanations/system.ts';
import { type Io, json } from '../io.ts';

/** `dtunnel help [CODE]`. */
export interface HelpCodeArgs {
  /** `C012`, or `DT_CONFIG_KEY`; undefined lists every code. */
  readonly code: string | undefined;
  readonly json: boolean;
}

/** Explains an error code with an example, or lists them all. */
export async function run(args: HelpCodeArgs, io: Io): Promise<number> {
  const codes = args.code === undefined ? ALL_CODES : [findCode(args.code)];
  if (args.json) io.out(json({ schema: 'dtunnel.help/1', codes: codes.map(toJson) }));
  else if (args.code === undefined) for (const code of codes) io.out(`${code}  ${titleOf(code)}\n`);
  else for (const code of codes) io.out(page(code));
  return EXIT.ok;
}

/** What is said about `code`; undefined for a code that nobody explained, which a test refuses. */
export function explanationOf(code: ErrorCode): Explanation | undefined {
  return EXPLANATIONS.get(code);
}

/** Every code, by class and number. */
export const ALL_CODES: readonly ErrorCode[] = keysOf(ERRORS).toSorted();

const EXPLANATIONS: ReadonlyMap<string, Explanation> = new Map(
  [CONFIG_EXPLANATIONS, KEY_EXPLANATIONS, NETWORK_EXPLANATIONS, SYSTEM_EXPLANATIONS].flatMap((table) =>
    Object.entries(table),
  ),
);

function findCode(text: string): ErrorCode {
  const wanted = text.toUpperCase();
  const found = ALL_CODES.find((code) => code === wanted || ERRORS[code].id === wanted);
  if (found !== undefined) return found;
  throw new DtunnelError('S021', `there is no code ${JSON.stringify(text.slice(0, 40))}`, {
    hint: 'dtunnel help lists them all',
  });
}

function titleOf(code: ErrorCode): string {
  return explanationOf(code)?.title ?? ERRORS[code].hint;
}

function page(code: ErrorCode): string {
  const { id, exit, hint } = ERRORS[code];
  const explanation = explanationOf(code);
  const parts = [`${code}  ${titleOf(code)}`];
  if (explanation !== undefined) parts.push(wrap(explanation.text, WIDTH));
  parts.push(`What to do: ${hint}`);
  if (explanation !== undefined) parts.push(explanation.example.replaceAll(/^(?=.)/gm, '    '));
  parts.push(`(${id}, exit status ${exit})`);
  return `${parts.join('\n\n')}\n`;
}

function toJson(code: ErrorCode): object {
  const { id, exit, hint } = ERRORS[code];
  const explanation = explanationOf(code);
  return {
    code,
    id,
    exit,
    hint,
    title: titleOf(code),
    text: explanation?.text ?? null,
    example: explanation?.example ?? null,
  };
}

/** Fits a terminal of 80 columns. */
const WIDTH = 78;

function wrap(text: string, width: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}

function keysOf<K extends string>(record: Readonly<Record<K, unknown>>): readonly K[] {
  const keys: K[] = [];
  for (const key in record) keys.push(key);
  return keys;
}
