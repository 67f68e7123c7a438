import type { Instant } from '../../base/brand.ts';
import type { ControlServer } from '../../control/server.ts';
import type { EventMetrics } from '../../metrics/event-metrics.ts';
import { renderSettings } from '../../config/render.ts';
import type { Plane } from '../../plane/plane.ts';
import type { TunnelFace } from '../../tunnel/face.ts';
import { upgradeEvent } from '../announcements.ts';
import type { Driver } from '../driver.ts';
import type { DaemonEvent } from '../log.ts';
import type { HandoverDocument } from './handover.ts';
import type { Host } from '../host/host.ts';
import type { HostSync } from '../host/host-sync.ts';
import { type InForce, readConfiguration } from '../in-force.ts';
import type { LastKnownFile } from '../last-known.ts';
import type { MetricsService } from '../metrics-service.ts';
import type { ServiceManager } from '../notify.ts';
import type { DaemonParts } from '../parts.ts';
import type { Recorder } from '../recorder.ts';
import { droppedPackets, type Reloader } from '../reload.ts';
import type { UpgradeTarget } from './upgrade.ts';
import type { Views } from '../views.ts';

/** The parts of a daemon that an upgrade takes hold of. Functions are asked at the time. */
export interface Upgradeable {
  readonly name: string;
  readonly pid: number;
  readonly version: string;
  readonly configFile: string;
  readonly parts: DaemonParts;
  readonly reloader: Reloader;
  readonly host: Host;
  readonly hostSync: HostSync;
  readonly views: Views;
  readonly recorder: Recorder;
  readonly metrics: EventMetrics;
  readonly metricsService: MetricsService;
  readonly manager: ServiceManager;
  /** Written once more and then left alone. */
  readonly lastKnown: LastKnownFile;
  readonly inForce: () => InForce;
  readonly running: () => { readonly plane: Plane; readonly tunnel: TunnelFace; readonly driver: Driver };
  readonly control: () => ControlServer | undefined;
  readonly isStopping: () => boolean;
  /** Clocks, network and the manager's watchdog. */
  readonly stopWatching: () => void;
  /** Resolves `ended` of the daemon. */
  readonly end: (status: number) => void;
  /** Drains and stops in order, has `last` done when nothing of this process is left in the world, and ends. */
  readonly stopBefore: (last: () => void, drainMs: number) => void;
  readonly tell: (event: DaemonEvent) => void;
}

/** A drain before a restart takes no longer than this, ms: as on SIGTERM. */
const RESTART_DRAIN = 5_000;

/** What an upgrade does to `daemon`. */
export function upgradeTarget(daemon: Upgradeable): UpgradeTarget {
  const { parts, pid, manager, running, control } = daemon;
  return {
    pid,
    version: daemon.version,
    successors: parts.successors,
    refusal: () => refusal(daemon),
    exclusive: (operation) => daemon.reloader.exclusive(() => daemon.hostSync.exclusive(operation)),
    settings: () => renderSettings(daemon.inForce().settings),
    descriptors: () => running().plane.descriptors(),
    peers: () => daemon.inForce().settings.peers.length,
    rehearsal: (passed) => documentOf(daemon, { passed, dropped: 0, frozenAt: parts.clock() }),
    freeze: (passed) => freeze(daemon, passed),
    thaw: () => {
      const { plane, driver } = running();
      plane.thaw();
      driver.goOn();
    },
    leaveTo: async (heir) => {
      const { driver } = running();
      // Nothing here touches host, peers or service manager any more.
      driver.stop();
      void daemon.hostSync.stop();
      daemon.lastKnown.stop();
      control()?.giveWay();
      manager.mainProcess(heir);
      daemon.stopWatching();
      await daemon.metricsService.close();
    },
    end: () => {
      // The reply that tells of the upgrade leaves first.
      setImmediate(() => {
        void (control()?.leave() ?? Promise.resolve()).then(() => {
          // Only now: whoever asked before is still answered.
          running().plane.close();
          daemon.end(0);
        });
      });
    },
    checkFile: () => void readConfiguration(daemon.configFile, parts),
    restart: () => daemon.stopBefore(() => manager.mainProcess(parts.successors.restart()), RESTART_DRAIN),
    report: (result, detail, gapMs) => {
      daemon.metrics.handover(result, gapMs === undefined ? undefined : gapMs / 1000);
      daemon.tell(upgradeEvent(result, detail, gapMs));
    },
  };
}

/** Packets lost so far for want of room or keys, in the data plane and in the queues of the kernel. */
export function droppedSoFar(plane: Plane, parts: Pick<DaemonParts, 'tunOverflows'>): number {
  const stats = plane.stats();
  const overflows = parts.tunOverflows(plane.deviceName) ?? 0;
  return Number(droppedPackets(stats) + stats.udp.receiveOverflows) + overflows;
}

function refusal({ pid, isStopping, running, name }: Upgradeable): string | undefined {
  if (pid === 1) return 'this is process 1 of a container, which ends with it: restart the container';
  return isStopping() || running().tunnel.draining ? `${name} is stopping` : undefined;
}

function freeze(daemon: Upgradeable, passed: readonly number[]): ReturnType<UpgradeTarget['freeze']> {
  const { plane, driver } = daemon.running();
  const { clock } = daemon.parts;
  const dropped = droppedSoFar(plane, daemon.parts);
  const frozenAt = clock();
  // What it has taken already still passes through the tunnel here.
  const state = plane.freeze();
  driver.hold();
  try {
    return { document: documentOf(daemon, { passed, dropped, frozenAt }), plane: state };
  } catch (error) {
    state.fill(0);
    throw error;
  }
}

/** All but the data plane's state. */
function documentOf(
  daemon: Upgradeable,
  {
    passed,
    dropped,
    frozenAt,
  }: { readonly passed: readonly number[]; readonly dropped: number; readonly frozenAt: Instant },
): HandoverDocument {
  const { plane, tunnel } = daemon.running();
  const { clock } = daemon.parts;
  const { generation, since } = daemon.inForce();
  const { gaps, ...counts } = daemon.metrics.handovers;
  return {
    kind: 'state',
    frozenAt,
    generation,
    since,
    descriptors: plane.descriptors().map((descriptor) => passed.indexOf(descriptor)),
    passed: passed.length,
    dropped,
    tunnel: tunnel.export(clock()),
    host: daemon.host.export(),
    views: daemon.views.export(),
    recorder: daemon.recorder.export(),
    history: { ...counts, gaps: [...gaps] },
  };
}
