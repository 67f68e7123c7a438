import type { ServiceManager } from './notify.ts';
import type { DaemonParts } from './parts.ts';
import { startPulse } from './pulse.ts';

/** What is watched, and who is told. */
export interface SurroundingsOptions {
  readonly parts: Pick<DaemonParts, 'clock' | 'wallClock' | 'watchNetwork'>;
  readonly manager: ServiceManager;
  /** Ours: what it does is a consequence. */
  readonly device: string;
  readonly onLag: (seconds: number) => void;
  readonly onClockJump: (seconds: number) => void;
  readonly onMinute: () => void;
  /** Addresses, links or routes of the host changed. */
  readonly onNetwork: () => void;
}

/** Watches clocks, event loop and network, and feeds the service manager's watchdog. Yields the end of it. */
export function watchSurroundings(options: SurroundingsOptions): () => void {
  const { parts, manager, device, onLag, onClockJump, onMinute, onNetwork } = options;
  const { clock, wallClock, watchNetwork } = parts;
  const ends = [startPulse({ clock, wallClock, onLag, onClockJump, onMinute }), watchNetwork(device, onNetwork)];
  if (manager.watchdogInterval !== undefined) {
    const watchdog = setInterval(() => manager.alive(), manager.watchdogInterval);
    ends.push(() => clearInterval(watchdog));
  }
  return () => {
    for (const end of ends) end();
  };
}
