/** Quantities as operators read them. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** A length of time in at most two units: `3 h 12 min`, `9 y 364 d`, `48 s`, `31 ms`. */
export function span(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  const whole = Math.round(seconds);
  const units: readonly (readonly [number, string])[] = [
    [YEAR, 'y'],
    [DAY, 'd'],
    [HOUR, 'h'],
    [MINUTE, 'min'],
    [1, 's'],
  ];
  const first = units.findIndex(([size]) => whole >= size);
  const parts: string[] = [];
  let rest = whole;
  for (const [size, name] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(' ');
}

/** The same in one unit, rounded down: `3 h`. */
export function briefSpan(seconds: number): string {
  return span(seconds).split(' ').slice(0, 2).join(' ');
}

/** Octets in IEC units with three digits: `18.2 GiB`, `512 B`. */
export function bytes(count: number): string {
  return scaled(count, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']);
}

/** Bits per second in SI units: `4.81 Gb/s`. */
export function bitRate(bitsPerSecond: number): string {
  return scaled(bitsPerSecond, 1000, ['b/s', 'kb/s', 'Mb/s', 'Gb/s', 'Tb/s']);
}

/** Packets per second: `12.3 kpps`. */
export function packetRate(perSecond: number): string {
  return scaled(perSecond, 1000, ['pps', 'kpps', 'Mpps', 'Gpps']);
}

/** A count with thousands separated: `13,902,118`. */
export function grouped(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Milliseconds with one decimal, more for what is faster: `14.1 ms`, `0.21 ms`. */
export function milliseconds(seconds: number): string {
  const ms = seconds * 1000;
  return `${ms.toFixed(ms < 1 ? 2 : 1)} ms`;
}

/** A share as a percentage: `0.4 %`. */
export function percent(ratio: number, digits = 1): string {
  return `${(ratio * 100).toFixed(digits)} %`;
}

/** A colon fingerprint by its first four and last two octets, enough to tell two apart at a glance. */
export function shortFingerprint(colonHex: string): string {
  const octets = colonHex.split(':');
  return octets.length <= 8 ? colonHex : `${octets.slice(0, 4).join(':')}:…:${octets.slice(-2).join(':')}`;
}

/** Address and port as one word. */
export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let amount = value;
  let index = 0;
  // 999.5 would be written as 1000 of its unit.
  while (amount >= base - 0.5 && index < units.length - 1) {
    amount /= base;
    index += 1;
  }
  const digits = index === 0 || amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2;
  return `${amount.toFixed(digits)} ${units[index]}`;
}
