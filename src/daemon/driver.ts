import type { Instant } from '../base/brand.ts';
import type { Clock } from '../base/clock.ts';
import { DtunnelError } from '../base/errors.ts';
import { assertNever } from '../base/invariant.ts';
import type { Plane, PlaneEvent } from '../plane/plane.ts';
import type { TunnelEffect, TunnelEvent } from '../tunnel/effects.ts';
import type { Resolution, TunnelFace } from '../tunnel/face.ts';

/** Calls back once at an instant; arming again replaces, undefined disarms. */
export interface Alarm {
  set(at: Instant | undefined): void;
}

/** Makes the alarm of a driver; real time in `timer-alarm.ts`, virtual in tests. */
export type MakeAlarm = (onDue: () => void) => Alarm;

/** A data-plane event that is not for the tunnel. */
export type PlaneNotice = Extract<PlaneEvent, { readonly kind: 'offload-disabled' | 'failed' }>;

/** What a driver connects. */
export interface DriverOptions {
  readonly tunnel: TunnelFace;
  readonly plane: Plane;
  readonly clock: Clock;
  readonly makeAlarm: MakeAlarm;
  /** Looks a name up; never rejects. */
  readonly resolve: (host: string) => Promise<Resolution>;
  readonly onEvent: (event: TunnelEvent, now: Instant) => void;
  /** Draining or closing is complete. */
  readonly onFinished: (sessionsLeft: number) => void;
  readonly onPlaneNotice: (notice: PlaneNotice) => void;
}

/**
 * Joins the sans-IO tunnel with the world: every input is followed by draining its effects, in order, onto the data
 * plane, and by arming the one alarm for its next deadline.
 */
export class Driver {
  readonly #options: DriverOptions;
  readonly #alarm: Alarm;
  #stopped = false;
  #draining = false;
  /** What waits for `goOn`; undefined while inputs are taken. */
  #held: (() => void)[] | undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#alarm = options.makeAlarm(() => this.input((tunnel, now) => tunnel.tick(now)));
  }

  /**
   * Gives the tunnel an input at the present instant and performs all that it asks for. Throws S034 while the driver
   * holds.
   */
  input<T>(give: (tunnel: TunnelFace, now: Instant) => T): T {
    if (this.#held !== undefined) throw new DtunnelError('S034', 'an upgrade is under way');
    const { tunnel, clock } = this.#options;
    const given = give(tunnel, clock());
    this.#drain();
    return given;
  }

  /** The same as soon as inputs are taken: now, or when the driver goes on. */
  enqueue(give: (tunnel: TunnelFace, now: Instant) => void): void {
    if (this.#stopped) return;
    if (this.#held === undefined) this.input(give);
    else this.#held.push(() => this.input(give));
  }

  /** Takes no input and lets no alarm ring until `goOn`. */
  hold(): void {
    this.#held = [];
    this.#alarm.set(undefined);
  }

  /** Inputs wait for `goOn`. */
  get holds(): boolean {
    return this.#held !== undefined;
  }

  /** Takes what came meanwhile, and what is due. */
  goOn(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const give of held) give();
    this.input((tunnel, now) => tunnel.tick(now));
  }

  /** An event of the data plane. */
  readonly planeEvent = (event: PlaneEvent): void => {
    if (this.#stopped) return;
    if (this.#held !== undefined) {
      this.#held.push(() => this.planeEvent(event));
      return;
    }
    switch (event.kind) {
      case 'datagram':
        this.input((tunnel, now) => tunnel.datagram(event.path, event.datagram, now));
        break;
      case 'record': {
        const { slot, contentType, fragment, path, newest } = event;
        this.input((tunnel, now) => tunnel.record(slot, contentType, fragment, path, newest, now));
        break;
      }
      case 'confirmed':
        this.input((tunnel, now) => tunnel.confirmed(event.slot, now));
        break;
      case 'moved':
        this.input((tunnel, now) => tunnel.moved(event.slot, event.path, now));
        break;
      case 'offload-disabled':
      case 'failed':
        this.#options.onPlaneNotice(event);
        break;
      default:
        assertNever(event, 'plane event');
    }
  };

  /** No input is taken and no alarm rings from now on. */
  stop(): void {
    this.#stopped = true;
    this.#alarm.set(undefined);
  }

  #drain(): void {
    // An effect may lead to another input (a hook that asks for a rekey): the outer loop goes on with what that adds.
    if (this.#draining || this.#stopped) return;
    this.#draining = true;
    try {
      for (let effect = this.#options.tunnel.poll(); effect !== undefined; effect = this.#options.tunnel.poll()) {
        this.#perform(effect);
      }
    } finally {
      this.#draining = false;
    }
    if (!this.#stopped) this.#alarm.set(this.#options.tunnel.deadline);
  }

  #perform(effect: TunnelEffect): void {
    const { plane } = this.#options;
    switch (effect.kind) {
      case 'send':
        plane.sendDatagram(effect.path, effect.datagram);
        break;
      case 'install': {
        const { slot, peer, path, pathMtu, packs, keys } = effect;
        plane.install({ ...keys, slot, peer, path, pathMtu, packs });
        break;
      }
      case 'activate':
        plane.activate(effect.peer, effect.slot);
        break;
      case 'move':
        plane.move(effect.slot, effect.path);
        break;
      case 'path-mtu':
        plane.setPathMtu(effect.slot, effect.mtu);
        break;
      case 'retire':
        plane.retire(effect.slot);
        break;
      case 'seal': {
        const { slot, contentType, fragment, path } = effect;
        if (plane.sealAndSend(slot, contentType, fragment, path)) break;
        this.enqueue((tunnel, now) => tunnel.refused(slot, fragment.length, now));
        break;
      }
      case 'inject':
        plane.inject(effect.peer, effect.packet);
        break;
      case 'routes':
        plane.setRoutes(effect.routes);
        break;
      case 'peer':
        plane.setPeer(effect.peer, effect.options);
        break;
      case 'remove-peer':
        plane.removePeer(effect.peer);
        break;
      case 'resolve':
        this.#resolve(effect.host);
        break;
      case 'event':
        this.#options.onEvent(effect.event, this.#options.clock());
        break;
      case 'finished':
        this.#options.onFinished(effect.sessionsLeft);
        break;
      default:
        assertNever(effect, 'tunnel effect');
    }
  }

  #resolve(host: string): void {
    void this.#options.resolve(host).then((answer) => {
      this.enqueue((tunnel, now) => tunnel.resolved(host, answer, now));
    });
  }
}
