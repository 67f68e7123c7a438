import { pino } from 'pino';
import type { Instant } from '../base/brand.ts';
import type { Clock } from '../base/clock.ts';
import { type LogRecord, prettyLine, toLogRecord } from '../control/log-line.ts';
import type { LogLevel } from '../control/log-levels.ts';
import { LogBudget } from './log-budget.ts';

/** Ids of events: a public vocabulary (add, never rename). */
export type EventId =
  | 'daemon.start'
  | 'daemon.ready'
  | 'daemon.drain'
  | 'daemon.stop'
  | 'daemon.failed'
  | 'daemon.upgrade'
  | 'daemon.status'
  | 'config.loaded'
  | 'config.warning'
  | 'config.rejected'
  | 'config.applied'
  | 'config.reverted'
  | 'host.changed'
  | 'host.warning'
  | 'peer.up'
  | 'peer.degraded'
  | 'peer.down'
  | 'peer.state'
  | 'peer.closed'
  | 'peer.roamed'
  | 'peer.failover'
  | 'peer.failback'
  | 'handshake.started'
  | 'handshake.completed'
  | 'handshake.refused'
  | 'handshake.failed'
  | 'handshake.ignored'
  | 'rekey.done'
  | 'rekey.failed'
  | 'probe.answered'
  | 'probe.lost'
  | 'cert.expiring'
  | 'cert.rotated'
  | 'mtu.changed'
  | 'dns.changed'
  | 'dns.failed'
  | 'flood.begin'
  | 'flood.end'
  | 'clock.jumped'
  | 'network.changed'
  | 'offload.disabled'
  | 'hook.failed'
  | 'memory.ignored'
  | 'memory.unwritten'
  | 'control.bug';

/** Something worth telling: scalars only, so that no key, payload or object ever reaches a log. */
export interface DaemonEvent {
  readonly event: EventId;
  readonly level: LogLevel;
  readonly msg: string;
  readonly peer?: string | undefined;
  readonly fields?: Readonly<Record<string, string | number | boolean | undefined>>;
}

/** How lines leave the process. */
export type LogFormat = 'pretty' | 'json' | 'journal';

/** What a log needs. */
export interface LogOptions {
  readonly tunnel: string;
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly colour: boolean;
  /** Takes a finished line with its line feed. */
  readonly write: (line: string) => void;
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly wallClock: () => number;
  /** Told of every line that was written, and of every one that was not. */
  readonly onLogged?: (level: string) => void;
  readonly onSuppressed?: (event: string) => void;
}

/** Lines kept for `dtunnel logs`. */
const KEPT = 1000;

/** sd-daemon(3): syslog priorities by pino level. */
const PRIORITIES: Readonly<Record<string, number>> = { trace: 7, debug: 7, info: 6, warn: 4, error: 3 };

/**
 * The daemon's only voice: pino with a fixed vocabulary, a budget per event, and the recent lines kept for those who ask
 * over the control socket.
 */
export class Log {
  readonly #options: LogOptions;
  readonly #pino: pino.Logger;
  readonly #budget = new LogBudget();
  #form: LogFormat;
  readonly #recent: LogRecord[] = [];
  readonly #listeners = new Set<(record: object) => void>();
  readonly #eventListeners = new Set<(record: object) => void>();
  /** The last line left out per event: what its summary repeats. */
  readonly #lastSuppressed = new Map<string, DaemonEvent>();

  constructor(options: LogOptions) {
    this.#options = options;
    this.#form = options.format;
    this.#pino = pino(
      {
        level: options.level,
        base: { tunnel: options.tunnel },
        timestamp: () => `,"time":${Math.trunc(options.wallClock())}`,
      },
      { write: (line: string) => this.#written(line) },
    );
  }

  /** Changes the form of lines from now on. */
  setFormat(format: LogFormat): void {
    this.#form = format;
  }

  /** Lines of this level and above are written. */
  get level(): LogLevel {
    return toLevel(this.#pino.level);
  }

  /** Changes the level from now on. */
  setLevel(level: LogLevel): void {
    this.#pino.level = level;
  }

  /** Logs `event` unless its level or its budget says no; subscribers of events get it in any case. */
  log(event: DaemonEvent, now: Instant = this.#options.clock()): void {
    this.#publish(event);
    if (!this.#pino.isLevelEnabled(event.level)) return;
    const { allowed, suppressed } = this.#budget.take(event.event, now);
    if (!allowed) {
      this.#lastSuppressed.set(event.event, event);
      this.#options.onSuppressed?.(event.event);
      return;
    }
    this.#write(event, suppressed);
  }

  /** Tells what was left out and not told since. To be called once a minute and at the end. */
  summarize(): void {
    for (const [id, suppressed] of this.#budget.takeSuppressed()) {
      const event = this.#lastSuppressed.get(id);
      if (event !== undefined) this.#write(event, suppressed);
    }
    this.#lastSuppressed.clear();
  }

  /** The lines kept, oldest first. */
  recent(): readonly LogRecord[] {
    return this.#recent;
  }

  /** Gives `listener` every line from now on; yields the end of it. */
  readonly follow = (listener: (record: object) => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Gives `listener` every event from now on, below the level and beyond the budget too; yields the end of it. */
  readonly events = (listener: (record: object) => void): (() => void) => {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  };

  #publish({ event, level, msg, peer, fields }: DaemonEvent): void {
    if (this.#eventListeners.size === 0) return;
    const time = new Date(this.#options.wallClock()).toISOString();
    const record = { time, event, level, tunnel: this.#options.tunnel, peer, msg, ...fields };
    for (const listener of this.#eventListeners) listener(record);
  }

  #write({ event, level, msg, peer, fields }: DaemonEvent, suppressed: number): void {
    this.#pino[level]({ event, peer, ...fields, ...(suppressed > 0 ? { suppressed } : {}) }, msg);
    this.#options.onLogged?.(level);
  }

  #written(line: string): void {
    const record = toLogRecord(JSON.parse(line));
    if (record === undefined) return;
    this.#recent.push(record);
    if (this.#recent.length > KEPT) this.#recent.shift();
    for (const listener of this.#listeners) listener(record);
    this.#options.write(this.#format(line, record));
  }

  #format(line: string, record: LogRecord): string {
    switch (this.#form) {
      case 'json':
        return line;
      case 'pretty':
        return `${prettyLine(record, { colour: this.#options.colour })}\n`;
      case 'journal': {
        // The journal stamps lines itself, and takes the priority off the front.
        const { time: _, ...untimed } = record;
        return `<${PRIORITIES[toLevel(this.#pino.levels.labels[record.level] ?? 'info')]}>${JSON.stringify(untimed)}\n`;
      }
    }
  }
}

/** The form lines leave in: as configured, else for people on a terminal and for machines otherwise. */
export function chooseLogFormat(
  configured: 'auto' | 'pretty' | 'json',
  output: { readonly isTerminal: boolean; readonly isJournal: boolean },
): LogFormat {
  if (configured === 'pretty') return 'pretty';
  if (output.isJournal) return 'journal';
  return configured === 'auto' && output.isTerminal ? 'pretty' : 'json';
}

function toLevel(name: string): LogLevel {
  switch (name) {
    case 'trace':
    case 'debug':
    case 'warn':
    case 'error':
      return name;
    default:
      return 'info';
  }
}
