import type { Daemon } from './daemon.ts';

/** Time a drain on SIGTERM may take, ms; the unit's TimeoutStopSec is above it. */
const DRAIN_LIMIT = 5_000;

/** The part of `process` that signals come from. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/**
 * HUP reloads, USR1 writes the status to the log, USR2 hands over to a new process (never restarts), TERM drains and stops, a second TERM or INT stops at once. Yields the
 * end of listening.
 */
export function handleSignals(
  daemon: Pick<Daemon, 'reload' | 'logStatus' | 'upgradeBySignal' | 'drain' | 'stop'>,
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
    ['SIGUSR2', () => void daemon.upgradeBySignal()],
    ['SIGINT', () => void daemon.stop()],
    ['SIGTERM', terminate],
  ];
  for (const [name, handler] of handlers) source.on(name, handler);
  return () => {
    for (const [name, handler] of handlers) source.off(name, handler);
  };
}

/**
 * Keeps signals from ending a process that is half way through its start. `release` lets go of them and yields whether
 * one came that asks to end; calling it again changes nothing.
 */
export function holdSignals(source: SignalSource): { release(): boolean } {
  const held: NodeJS.Signals[] = [];
  // Without a listener of ours the runtime would open its debugger on USR1, and USR2 would end the process.
  const names = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGTERM'] as const;
  const listeners = names.map((name) => [name, (): void => void held.push(name)] as const);
  for (const [name, listener] of listeners) source.on(name, listener);
  return {
    release() {
      for (const [name, listener] of listeners) source.off(name, listener);
      return held.includes('SIGINT') || held.includes('SIGTERM');
    },
  };
}
