import type { Duration } from '../base/brand.ts';
import { err, ok } from '../base/result.ts';
import { type ValueParser, problem, quoted } from './value.ts';

/** Durations, sizes and rates: text to number and back. */

const DURATION_UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/** A duration from `min` to `max` milliseconds; a bare number is seconds. `instead` names words allowed in its place. */
export function duration(min: number, max: number, instead = ''): ValueParser<Duration> {
  return (text) => {
    const match = /^(\d{1,16})\s*([A-Za-z]*)$/.exec(text);
    const unit = DURATION_UNITS.get(match?.[2] === '' ? 's' : (match?.[2]?.toLowerCase() ?? ''));
    const alternative = instead === '' ? '' : `, or ${instead}`;
    if (match === null || unit === undefined) {
      return err(
        problem('C024', `${quoted(text)} is not a duration`, {
          help: `write a whole number with ms, s, m, h or d, as in 90s${alternative}`,
        }),
      );
    }
    const value = Number(match[1]) * unit;
    if (value >= min && value <= max) return ok(value as Duration);
    return err(
      problem('C024', `${quoted(text)} is out of range`, {
        help: `write a duration from ${durationText(min)} to ${durationText(max)}${alternative}`,
      }),
    );
  };
}

/** `milliseconds` with the largest unit that leaves a whole number. */
export function durationText(milliseconds: number): string {
  return milliseconds === 0 ? '0s' : withUnit(milliseconds, DURATION_UNITS);
}

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
  ['TiB', 2 ** 40],
]);

/** A number of octets from `min` to 2^53 − 1. */
export function size(min: number, instead: string): ValueParser<number> {
  return (text) => {
    const match = /^(\d{1,16})\s*([A-Za-z]*)$/.exec(text);
    const unit = unitOf(SIZE_UNITS, match?.[2]);
    if (match === null || unit === undefined) {
      return err(
        problem('C025', `${quoted(text)} is not a size`, {
          help: `write bytes, or a whole number with KiB, MiB, GiB or TiB, or ${instead}`,
        }),
      );
    }
    const value = Number(match[1]) * unit;
    if (value >= min && Number.isSafeInteger(value)) return ok(value);
    const bound = value < min ? `at least ${sizeText(min)}` : 'less than 8192 TiB';
    return err(problem('C025', `${quoted(text)} is out of range`, { help: `write ${bound}, or ${instead}` }));
  };
}

/** `octets` with the largest unit that leaves a whole number. */
export function sizeText(octets: number): string {
  return withUnit(octets, SIZE_UNITS);
}

const RATE_UNITS: ReadonlyMap<string, number> = new Map([
  ['kbit', 1e3],
  ['mbit', 1e6],
  ['gbit', 1e9],
]);

/** Smallest rate that still carries a full packet in a second. */
const MIN_RATE = 16_000;

/** Bits per second, with SI units as in tc(8). */
export const parseRate: ValueParser<number> = (text) => {
  const match = /^(\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z]+)$/.exec(text);
  const unit = unitOf(RATE_UNITS, match?.[2]);
  if (match === null || unit === undefined) {
    return err(
      problem('C025', `${quoted(text)} is not a rate`, { help: 'write a number with kbit, mbit or gbit, or off' }),
    );
  }
  const value = Math.round(Number(match[1]) * unit);
  if (value >= MIN_RATE && value <= 1e12) return ok(value);
  return err(problem('C025', `${quoted(text)} is out of range`, { help: 'write a rate from 16kbit to 1000gbit' }));
};

/** `bitsPerSecond` with the largest unit that leaves a whole number of it, else in kbit with a fraction. */
export function rateText(bitsPerSecond: number): string {
  for (const [unit, factor] of [...RATE_UNITS].toReversed()) {
    if (bitsPerSecond % factor === 0) return `${bitsPerSecond / factor}${unit}`;
  }
  return `${bitsPerSecond / 1e3}kbit`;
}

function unitOf(units: ReadonlyMap<string, number>, written: string | undefined): number | undefined {
  if (written === undefined) return undefined;
  for (const [unit, factor] of units) if (unit.toLowerCase() === written.toLowerCase()) return factor;
  return undefined;
}

function withUnit(value: number, units: ReadonlyMap<string, number>): string {
  let text = `${value}`;
  for (const [unit, factor] of units) if (value !== 0 && value % factor === 0) text = `${value / factor}${unit}`;
  return text;
}
