import { DtunnelError } from '../base/errors.ts';
import type { InterfaceSettings } from '../config/settings.ts';
import type { RotateReply } from '../control/protocol.ts';
import type { Identity } from '../crypto/identity.ts';
import { formatFingerprint } from '../crypto/fingerprint.ts';
import type { TunnelEvent } from '../tunnel/effects.ts';
import type { TrialResult } from '../tunnel/trials.ts';
import { pairBeside } from './identity-paths.ts';

/** What a rotation works on. */
export interface RotationTarget {
  settings(): InterfaceSettings;
  /** Throws DtunnelError K…. */
  readIdentity(settings: InterfaceSettings): Identity;
  /** Asks all enabled peers; yields whom. */
  ask(identity: Identity): readonly string[];
}

/** More than a trial takes, ms. */
const LIMIT = 10_000;

/** The daemon's part in `dtunnel rotate`: asking the peers whether they know the next certificate. */
export class Rotation {
  readonly #target: RotationTarget;
  #waiting: ((event: Trial) => void) | undefined;

  constructor(target: RotationTarget) {
    this.#target = target;
  }

  /** Takes note of what a peer made of a certificate. */
  tried(event: Trial): void {
    this.#waiting?.(event);
  }

  /**
   * What every enabled peer makes of the certificate that lies beside the one in force. The files are found and not
   * named by who asks: nobody can have the daemon open others.
   */
  async ask(): Promise<RotateReply> {
    if (this.#waiting !== undefined) throw new DtunnelError('S034', 'another command asks the peers already');
    const settings = this.#target.settings();
    const next = this.#target.readIdentity({ ...settings, ...pairBeside(settings, 'next') });
    const results = await this.#results(next);
    return {
      fingerprint: formatFingerprint(next.fingerprint),
      peers: [...results].map(([name, result]) => ({ name, result })),
    };
  }

  #results(identity: Identity): Promise<ReadonlyMap<string, TrialResult>> {
    return new Promise((resolve) => {
      const results = new Map<string, TrialResult>();
      let asked: readonly string[] | undefined;
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiting = undefined;
        resolve(new Map((asked ?? []).map((name) => [name, results.get(name) ?? 'silent'])));
      };
      const timer = setTimeout(finish, LIMIT);
      const done = (): boolean => asked?.every((name) => results.has(name)) === true;
      this.#waiting = ({ peer, fingerprint, result }) => {
        if (fingerprint !== identity.fingerprint) return;
        results.set(peer, result);
        if (done()) finish();
      };
      // Answers may come before the list does.
      asked = this.#target.ask(identity);
      if (done()) finish();
    });
  }
}

type Trial = Extract<TunnelEvent, { kind: 'trial' }>;
