import type { Daemon } from './daemon.ts';

/** Time a drain on SIGTERM may take, ms; the unit's TimeoutStopSec is above it. */
const DRAIN_LIMIT = 5_000;

/** The part of `process` that signals come from. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/**
 * HUP reloads, USR1 writes the status to the log, TERM drains and stops, a second TERM or INT stops at once. Yields the
 * end of listening.
 */
export function handleSignals(
  daemon: Pick<Daemon, 'reload' | 'logStatus' | 'drain' | 'stop'>,
  source: SignalSource,
): () => void {
  let terminating = false;
  const terminate = (): void => {
    if (terminating) {
      void daemon.stop();
      return;
    }
    terminating = true;
    void daemon.drain(DRAIN_LIMIT).then(() => daemon.stop());
  };
  const handlers: readonly (readonly [NodeJS.Signals, () => void])[] = [
    ['SIGHUP', () => void daemon.reload()],
    ['SIGUSR1', () => daemon.logStatus()],
    ['SIGINT', () => void daemon.stop()],
    ['SIGTERM', terminate],
  ];
  for (const [name, handler] of handlers) source.on(name, handler);
  return () => {
    for (const [name, handler] of handlers) source.off(name, handler);
  };
}
