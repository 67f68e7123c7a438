import { DtunnelError } from '../base/errors.ts';
import type { PingReply } from '../control/protocol.ts';
import { endpointKey } from '../net/endpoint.ts';
import type { PeerSnapshot } from '../tunnel/effects.ts';

/** Waits for probes through the tunnel on behalf of `dtunnel ping`. */
export class Pinger {
  readonly #waiting = new Set<(peer: string, rttMs: number | undefined) => void>();

  /** A probe of `peer` was answered, or lost when `rttMs` is undefined. */
  probed(peer: string, rttMs: number | undefined): void {
    for (const listener of this.#waiting) listener(peer, rttMs);
  }

  /** Sends a probe with `send` and yields what became of it, at the latest after `timeoutMs`. */
  async ping(peer: PeerSnapshot, timeoutMs: number, send: () => void): Promise<PingReply> {
    const { name, association } = peer;
    if (association === undefined) throw new DtunnelError('S022', `${name} is ${peer.state}: there is nobody to ask`);
    if (association.protocol === undefined) {
      throw new DtunnelError('S022', `${name} is a plain DTLS peer: it does not answer probes`);
    }
    const rttMs = await this.#next(name, timeoutMs, send);
    return {
      peer: name,
      ...(rttMs === undefined ? {} : { rttMs }),
      endpoint: endpointKey(association.path.remote),
      mtuBytes: association.innerMtu,
    };
  }

  #next(name: string, timeoutMs: number, send: () => void): Promise<number | undefined> {
    return new Promise((resolve) => {
      const done = (rtt: number | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(listener);
        resolve(rtt);
      };
      const listener = (peer: string, rtt: number | undefined): void => {
        if (peer === name) done(rtt);
      };
      const timer = setTimeout(() => done(undefined), timeoutMs);
      this.#waiting.add(listener);
      send();
    });
  }
}
