import { type Result, err, ok } from '../base/result.ts';
import type { ConfigCode } from './diagnostic.ts';
import { maskKeyMaterial } from './secrets.ts';

/** Why a text is not a value of its type. Offsets count from the start of the text. */
export interface ValueProblem {
  readonly code: ConfigCode;
  readonly message: string;
  /** Where the caret goes; the whole value when undefined. */
  readonly at: number | undefined;
  readonly length: number;
  readonly label: string | undefined;
  readonly help: string | undefined;
}

/** Yields the value that `text` stands for. Total: never throws. */
export type ValueParser<T> = (text: string) => Result<T, ValueProblem>;

/** A ValueProblem. */
export function problem(
  code: ConfigCode,
  message: string,
  rest: { readonly at?: number; readonly length?: number; readonly label?: string; readonly help?: string } = {},
): ValueProblem {
  const { at, length = 1, label, help } = rest;
  return { code, message, at, length, label, help };
}

/** `text` in quotes for a message, cut to what fits a line; what looks like a key is masked. */
export function quoted(text: string): string {
  const masked = maskKeyMaterial(text);
  const shown = masked.length > 48 ? `${masked.slice(0, 45)}…` : masked;
  return `'${shown}'`;
}

/** A parser for one of the words of `choices`, in any case. */
export function choice<const Word extends string>(choices: readonly Word[]): ValueParser<Word> {
  return (text) => {
    const found = choices.find((word) => word.toLowerCase() === text.toLowerCase());
    if (found !== undefined) return ok(found);
    return err(
      problem('C026', `${quoted(text)} is none of ${choices.join(', ')}`, { help: `write ${orList(choices)}` }),
    );
  };
}

/** Tries `first`, then `second`; the problem reported is that of `second`. */
export function either<A, B>(first: ValueParser<A>, second: ValueParser<B>): ValueParser<A | B> {
  return (text) => {
    const a = first(text);
    return a.ok ? a : second(text);
  };
}

/** `word` in any case as `value`; for use with `either`. */
export function word<const T>(spelling: string, value: T): ValueParser<T> {
  return (text) =>
    text.toLowerCase() === spelling ? ok(value) : err(problem('C026', `${quoted(text)} is not ${spelling}`));
}

/** A whole number from `min` to `max`; `instead` names the words that may stand in its place, for the message. */
export function integer(what: string, min: number, max: number, instead = ''): ValueParser<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return ok(value);
    const alternative = instead === '' ? '' : `, or ${instead}`;
    return err(
      problem('C023', `${quoted(text)} is no ${what}`, {
        help: `write a number from ${min} to ${max}${alternative}`,
      }),
    );
  };
}

/** `on`, `yes`, `true` or their opposites. */
export const parseSwitch: ValueParser<boolean> = (text) => {
  const lower = text.toLowerCase();
  if (lower === 'on' || lower === 'yes' || lower === 'true') return ok(true);
  if (lower === 'off' || lower === 'no' || lower === 'false') return ok(false);
  return err(
    problem('C026', `${quoted(text)} is neither on nor off`, { help: 'write on or off (yes and no will do)' }),
  );
};

/** `a, b or c`. */
export function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
