import type { Duration, Instant } from '../base/brand.ts';
import type { Clock } from '../base/clock.ts';
import { DtunnelError } from '../base/errors.ts';
import { type Change, type Plan, planChanges } from '../config/diff.ts';
import type { Settings } from '../config/settings.ts';
import type { ReloadReply, ReloadRequest } from '../control/protocol.ts';
import type { ListenSpec, Plane, PlaneStats } from '../plane/plane.ts';
import { sumDrops } from '../metrics/snapshot-metrics.ts';
import { neededMark } from './host/host-plan.ts';
import type { Configuration, InForce } from './in-force.ts';
import type { PreparedListener } from './metrics-service.ts';
import { colonHex } from './status.ts';
import { UndoStack } from './undo.ts';

/** How long the old sockets are read after the listening port changed. */
const SOCKET_OVERLAP = 30_000 as Duration;

/** Stands for the table that was found free at the start: no table has this number. */
const UNNUMBERED_TABLE = -1;

/** What a reload works on. All of it is asked at the time. */
export interface ReloadTarget {
  readonly clock: Clock;
  plane(): Plane;
  inForce(): InForce;
  /** Reads the file again; throws DtunnelError. */
  read(): Configuration;
  /** Host set-up for other settings, socket marks included; yields the way back. */
  changeHost(settings: Settings): Promise<() => Promise<void>>;
  /** Opens what listens differently. */
  changeMetrics(next: Configuration): Promise<PreparedListener>;
  /** Gives settings and identity to the tunnel, the log and the counters. Cannot fail. */
  adopt(next: InForce): void;
  /** Tells the world; `before` is what was in force. */
  report(outcome: 'applied' | 'reverted' | 'rejected', detail: string): void;
}

/**
 * Changes of the settings while packets flow: planned first, applied all or nothing, taken back on request. One at a
 * time.
 */
export class Reloader {
  readonly #target: ReloadTarget;
  /** What `--revert` goes back to. */
  #previous: Configuration | undefined;
  #busy = false;

  constructor(target: ReloadTarget) {
    this.#target = target;
  }

  /** Carries `request` out. Throws DtunnelError with everything as it was. */
  async reload(request: ReloadRequest): Promise<ReloadReply> {
    return this.exclusive(async () => {
      try {
        return await this.#run(request);
      } catch (error) {
        if (!request.plan) this.#target.report('rejected', error instanceof Error ? error.message : String(error));
        throw error;
      }
    });
  }

  /** Keeps reloads out while `operation` runs. */
  async exclusive<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new DtunnelError('S034', 'another reload or an upgrade is under way');
    this.#busy = true;
    try {
      return await operation();
    } finally {
      this.#busy = false;
    }
  }

  async #run({ plan: planOnly, revert }: ReloadRequest): Promise<ReloadReply> {
    const { clock } = this.#target;
    const plane = this.#target.plane();
    const before = this.#target.inForce();
    const next = revert ? this.#previous : this.#target.read();
    if (next === undefined) throw new DtunnelError('S032', 'there was no reload since the start');
    const plan = planOf(before, next);
    const generation = planOnly ? before.generation : before.generation + 1;
    if (planOnly) return reply(plan, { applied: false, generation, durationMs: 0, droppedPackets: 0 });
    const stuck = plan.changes.filter((change) => !change.hitless);
    if (stuck.length > 0) {
      const keys = stuck.map((change) => change.key ?? change.peer ?? '').join(', ');
      throw new DtunnelError('S031', `cannot change while running: ${keys}`);
    }
    const began = clock();
    const dropsBefore = droppedPackets(plane.stats());
    await this.#apply(next, { ...next, generation, since: began });
    const durationMs = clock() - began;
    const lost = Math.max(0, Number(droppedPackets(plane.stats()) - dropsBefore));
    this.#previous = before;
    const detail = `${plan.changes.length} changes, generation ${generation}`;
    this.#target.report(revert ? 'reverted' : 'applied', detail);
    return reply(plan, { applied: true, generation, durationMs, droppedPackets: lost });
  }

  /** Everything that may be refused comes first; the tunnel, which refuses nothing, last. */
  async #apply(next: Configuration, inForce: InForce): Promise<void> {
    const target = this.#target;
    const before = target.inForce();
    const undo = new UndoStack(() => undefined);
    try {
      const metrics = await target.changeMetrics(next);
      undo.push(metrics.undo);
      if (listensDifferently(before.settings, next.settings)) {
        target.plane().rebind(listenSpecs(next.settings), SOCKET_OVERLAP);
        undo.push(() => target.plane().rebind(listenSpecs(before.settings), 0 as Duration));
      }
      undo.push(await target.changeHost(next.settings));
      target.adopt(inForce);
      await metrics.commit();
    } catch (error) {
      await undo.unwind();
      if (error instanceof DtunnelError) throw error;
      throw new DtunnelError('S033', `reload failed: ${String(error)}`, { cause: error });
    }
  }
}

/** Where a plane listens for `settings`. */
export function listenSpecs({ interface: { listenAddresses, listenPort } }: Settings): readonly ListenSpec[] {
  if (listenAddresses.length === 0) return [{ address: undefined, port: listenPort }];
  return listenAddresses.map((address) => ({ address, port: listenPort }));
}

function listensDifferently(before: Settings, next: Settings): boolean {
  const text = (settings: Settings): string =>
    listenSpecs(settings)
      .map(({ address, port }) => `${address ?? '*'} ${port}`)
      .sort()
      .join();
  return text(before) !== text(next);
}

/** The plan between two configurations, with what lies outside the file: the certificate's content, the socket mark. */
export function planOf(before: Configuration, next: Configuration): Plan {
  const changes = before.hash === next.hash ? [] : planChanges(before.settings, next.settings).changes;
  const extra: Change[] = [];
  if (before.identity.fingerprint !== next.identity.fingerprint) {
    const short = (fingerprint: string): string => `${colonHex(fingerprint.slice(0, 8))}:…`;
    extra.push({
      action: '~',
      peer: undefined,
      key: 'Certificate',
      text: `${short(before.identity.fingerprint)} → ${short(next.identity.fingerprint)}`,
      hitless: true,
      note: 'from the next handshake on',
    });
  }
  // Sockets are marked as configured, or to keep out of a default route of ours.
  const markBefore = neededMark(before.settings, UNNUMBERED_TABLE);
  const markAfter = neededMark(next.settings, UNNUMBERED_TABLE);
  if (markBefore !== markAfter) {
    const text = (mark: number | undefined): string => {
      if (mark === undefined) return 'unmarked';
      return mark === UNNUMBERED_TABLE ? 'marked for a default route' : `marked 0x${mark.toString(16)}`;
    };
    extra.push({
      action: '~',
      peer: undefined,
      key: 'FwMark',
      text: `sockets ${text(markBefore)} → ${text(markAfter)}`,
      hitless: true,
      note: '',
    });
  }
  const others = changes.filter((change) => extra.every(({ key }) => change.key !== key || change.peer !== undefined));
  const all = [...extra, ...others];
  return { changes: all, hitless: all.every((change) => change.hitless) };
}

function reply(plan: Plan, outcome: Omit<ReloadReply, 'changes'>): ReloadReply {
  const changes = plan.changes.map(({ action, peer, key, text, hitless, note }) => ({
    action,
    ...(peer === undefined ? {} : { peer }),
    ...(key === undefined ? {} : { key }),
    text,
    hitless,
    note,
  }));
  return { changes, ...outcome };
}

/** Packets of inner hosts that were dropped on the way out, or on the way in for want of a place to go. */
export function droppedPackets(stats: PlaneStats): bigint {
  const { in: inbound, out: outbound } = sumDrops([stats.drops, stats.peerDrops]);
  return (
    outbound.no_route +
    outbound.peer_down +
    outbound.no_key +
    outbound.queue_full +
    outbound.send_error +
    inbound.no_key
  );
}

/** When a generation came into force, as the reply to those who ask later. */
export function reloadedAt({ generation, since }: InForce): Instant | undefined {
  return generation > 1 ? since : undefined;
}
