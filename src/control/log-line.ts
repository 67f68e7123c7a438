/** One line of the log as data, and as a person reads it. */

/** A logged event: the fixed fields, then whatever belongs to the event, scalars with unit suffixes. */
export interface LogRecord {
  /** pino's numbers: 10 trace, 20 debug, 30 info, 40 warn, 50 error. */
  readonly level: number;
  /** Epoch milliseconds. */
  readonly time: number;
  readonly event: string;
  readonly tunnel: string;
  readonly peer?: string;
  readonly msg: string;
  /** Lines of the same event that were left out since the last one. */
  readonly suppressed?: number;
  readonly [field: string]: string | number | boolean | undefined;
}

/** How to print. */
export interface PrettyOptions {
  readonly colour: boolean;
  /** Off where the reader stamps lines itself (the journal). Default on. */
  readonly time?: boolean;
}

/** `value` as a record when it has the fixed fields of one. */
export function toLogRecord(value: unknown): LogRecord | undefined {
  return isRecord(value) ? value : undefined;
}

function isRecord(value: unknown): value is LogRecord {
  if (typeof value !== 'object' || value === null) return false;
  const text = (name: string): boolean => name in value && typeof Reflect.get(value, name) === 'string';
  const number = (name: string): boolean => name in value && typeof Reflect.get(value, name) === 'number';
  return number('level') && number('time') && text('event') && text('msg');
}

/** The name of a pino level number. */
export function levelName(level: number): 'trace' | 'debug' | 'info' | 'warn' | 'error' {
  if (level >= 50) return 'error';
  if (level >= 40) return 'warn';
  if (level >= 30) return 'info';
  return level >= 20 ? 'debug' : 'trace';
}

const COLOURS = { trace: '2', debug: '2', info: '32', warn: '33', error: '31' } as const;

/** Fields that every line has, or that its columns show already. */
const FIXED: ReadonlySet<string> = new Set(['level', 'time', 'event', 'tunnel', 'peer', 'msg', 'suppressed']);

/** `record` as one line: local time, level, tunnel/peer, event, what happened. */
export function prettyLine(record: LogRecord, { colour, time = true }: PrettyOptions): string {
  const level = levelName(record.level);
  const paint = (code: string, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const subject = record.peer === undefined ? record.tunnel : `${record.tunnel}/${record.peer}`;
  const columns = [
    ...(time ? [paint('2', clockText(record.time))] : []),
    paint(COLOURS[level], level.toUpperCase().padEnd(5)),
    printable(subject).padEnd(13),
    paint('1', printable(record.event).padEnd(17)),
    printable(detailOf(record)),
  ];
  const more = record.suppressed === undefined ? '' : ` (${record.suppressed} more suppressed)`;
  return `${columns.join(' ').trimEnd()}${more}`;
}

function detailOf(record: LogRecord): string {
  switch (record.event) {
    case 'peer.up':
      return parts(record['endpoint'], unit('handshake', record['handshakeMs'], 'ms'), record['cipher']);
    case 'handshake.refused':
      return parts(record['reason'], record['fingerprint'], unit('from', record['remote'], ''));
    default: {
      const fields = Object.entries(record)
        .filter(([name, value]) => !FIXED.has(name) && value !== undefined)
        .map(([name, value]) => `${name}=${quoted(String(value))}`);
      return [record.msg, ...fields].join('  ');
    }
  }
}

function parts(...values: readonly (string | number | boolean | undefined)[]): string {
  return values.filter((value) => value !== undefined && value !== '').join('  ');
}

function unit(label: string, value: string | number | boolean | undefined, suffix: string): string | undefined {
  return value === undefined ? undefined : `${label} ${value}${suffix === '' ? '' : ` ${suffix}`}`;
}

function quoted(text: string): string {
  return /\s/.test(text) ? JSON.stringify(text) : text;
}

/** Text without control characters: what others chose cannot break lines or drive the terminal. */
function printable(text: string): string {
  return Array.from(text, (character) => (isControl(character.charCodeAt(0)) ? '?' : character)).join('');
}

function isControl(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

function clockText(epochMs: number): string {
  const date = new Date(epochMs);
  const two = (n: number): string => String(n).padStart(2, '0');
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${time}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
