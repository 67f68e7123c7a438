import type { InterfaceSettings } from '../config/settings.ts';
import type { LogLevel } from '../control/log-levels.ts';
import { Log, type LogFormat } from './log.ts';
import type { BuildInfo, DaemonParts } from './parts.ts';
import type { EventMetrics } from '../metrics/event-metrics.ts';
import type { Takeover } from './upgrade/takeover.ts';

/** What a daemon is started with. */
export interface DaemonOptions {
  readonly configFile: string;
  readonly parts: DaemonParts;
  readonly build: BuildInfo;
  readonly pid: number;
  /** Instead of the configured level, until the first reload. */
  readonly level?: LogLevel | undefined;
  readonly log: {
    /** Takes finished lines. */
    readonly write: (line: string) => void;
    /** The form of lines, given what the settings ask for. */
    readonly format: (configured: 'auto' | 'pretty' | 'json') => LogFormat;
    readonly colour: boolean;
  };
  /** Goes on with what another process has, instead of starting. */
  readonly takeover?: Takeover | undefined;
  /** Told of every change to the host, as `[+]` and `[-]` lines tell it. */
  readonly onChange: (change: string, done: 'made' | 'undone') => void;
}

/** The log of a daemon with these settings. */
export function daemonLog({ level, log, parts }: DaemonOptions, face: InterfaceSettings, metrics: EventMetrics): Log {
  return new Log({
    tunnel: face.name,
    level: level ?? face.logLevel,
    format: log.format(face.logFormat),
    colour: log.colour,
    write: log.write,
    clock: parts.clock,
    wallClock: parts.wallClock,
    onLogged: (name) => metrics.logged(name),
    onSuppressed: (event) => metrics.suppressed(event),
  });
}
