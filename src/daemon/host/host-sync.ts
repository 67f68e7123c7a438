import type { Settings } from '../../config/settings.ts';
import { prefixText } from '../../net/prefix.ts';
import type { PeerGlance } from '../../tunnel/effects.ts';
import type { Host } from './host.ts';
import { pauseBetweenLooks } from '../pace.ts';

/** Device MTU before any path is known: what 1500 outside leaves inside, with room for the longest headers. */
export const INITIAL_MTU = 1420;

/** What an adjustment looks at, asked when its turn comes. */
type HostState = () => { readonly settings: Settings; readonly peers: readonly PeerGlance[] };

/**
 * Keeps the host in step with the peers: the device's MTU with the paths, and routes with peers that are down when
 * FailClosed is off. Operations on the host run one after the other, never interleaved with a reload.
 */
export class HostSync {
  readonly #host: Host;
  readonly #onFailure: (error: unknown) => void;
  #tail: Promise<unknown> = Promise.resolve();
  #queued = false;
  #stopped = false;
  /** Runs during the pause after an adjustment; what was asked for meanwhile. */
  #pause: NodeJS.Timeout | undefined;
  #waiting: HostState | undefined;

  /** `onFailure` is told of an adjustment that failed; the next one is tried nevertheless. */
  constructor(host: Host, onFailure: (error: unknown) => void) {
    this.#host = host;
    this.#onFailure = onFailure;
  }

  /** Runs `operation` when all that were asked for before are done. */
  exclusive<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(operation);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** Adjusts to what `state` yields when its turn comes; requests that wait already are joined. */
  adjust(state: HostState): void {
    if (this.#queued || this.#stopped) return;
    this.#queued = true;
    if (this.#pause === undefined) this.#adjust(state);
    else this.#waiting = state;
  }

  /** No more adjustments; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#pause);
    await this.#tail;
  }

  #adjust(state: HostState): void {
    void this.exclusive(async () => {
      this.#queued = false;
      if (this.#stopped) return;
      const { settings, peers } = state();
      this.#rest(pauseBetweenLooks(peers.length));
      await this.#host.setMtu(settings, deviceMtu(settings, peers, this.#host.mtu));
      if (!settings.interface.failClosed) await this.#host.change(settings, withheldPrefixes(settings, peers));
    }).catch(this.#onFailure);
  }

  #rest(durationMs: number): void {
    if (durationMs === 0) return;
    this.#pause = setTimeout(() => {
      const state = this.#waiting;
      this.#pause = undefined;
      this.#waiting = undefined;
      if (state !== undefined) this.#adjust(state);
    }, durationMs);
  }
}

/**
 * MTU for the device: what the widest path carries inside, so that no path is narrower than it must be; packets too big
 * for a narrower one are answered per peer. Without any path it stays at `present`.
 */
export function deviceMtu(settings: Settings, peers: readonly PeerGlance[], present: number): number {
  const widest = peers.reduce((most, { association }) => Math.max(most, association?.innerMtu ?? 0), 0);
  if (widest > 0) return widest;
  if (present > 0) return present;
  return settings.interface.mtu === 'auto' ? INITIAL_MTU : settings.interface.mtu;
}

/** Prefixes all of whose peers are down: without FailClosed other routes may serve them meanwhile. With it, none. */
export function withheldPrefixes(
  settings: Settings,
  peers: readonly Pick<PeerGlance, 'name' | 'up'>[],
): ReadonlySet<string> {
  if (settings.interface.failClosed) return new Set();
  const up = new Set(peers.filter((peer) => peer.up).map((peer) => peer.name));
  const served = new Set<string>();
  const all = new Set<string>();
  for (const peer of settings.peers) {
    for (const prefix of peer.allowedIps) {
      all.add(prefixText(prefix));
      if (up.has(peer.name)) served.add(prefixText(prefix));
    }
  }
  return new Set([...all].filter((text) => !served.has(text)));
}

/** `host` with no route to peers that are down where other routes may serve their prefixes. */
export function routedHost(
  host: Host,
  peers: () => readonly PeerGlance[],
): Pick<Host, 'markFor' | 'letPass' | 'change'> {
  return {
    markFor: (settings) => host.markFor(settings),
    letPass: (mark) => host.letPass(mark),
    change: (settings) => host.change(settings, withheldPrefixes(settings, peers())),
  };
}
