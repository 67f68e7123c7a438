import { socketPath } from '../control/paths.ts';
import { ControlServer } from '../control/server.ts';
import type { Plane, PlaneOptions } from '../plane/plane.ts';
import type { TunnelFace } from '../tunnel/face.ts';
import { hostWarningEvent, startingEvent } from './announcements.ts';
import type { Driver } from './driver.ts';
import { deviceMtu } from './host/host-sync.ts';
import { openPlane } from './plane-options.ts';
import type { UndoStack } from './undo.ts';
import type { Upgradeable } from './upgrade/target.ts';

/** The parts of a daemon that starts, afresh or in the place of another process. */
export interface Starting extends Upgradeable {
  readonly undo: UndoStack;
  readonly makeTunnel: () => TunnelFace;
  /** Binds the control socket; `beside` the one of a process that gives way later. */
  readonly serve: (beside: boolean) => Promise<void>;
  readonly planeOptions: (mark: number | undefined) => PlaneOptions;
  readonly drive: (tunnel: TunnelFace, plane: Plane) => Driver;
}

/** Starts a tunnel of which nothing exists yet. When it throws, `undo` knows what is to be taken back. */
export async function startAfresh(daemon: Starting): Promise<void> {
  const { name, parts, host, metrics, metricsService, undo, tell } = daemon;
  const { settings, warnings } = daemon.inForce();
  tell(startingEvent(daemon.version, daemon.configFile));
  for (const warning of warnings) tell({ event: 'config.warning', level: 'warn', msg: warning });
  for (const remark of host.remarks(settings)) tell(hostWarningEvent(remark));
  // Asked first, so that a second start says what is wrong and not that the device is busy.
  await ControlServer.refuseIfServed(socketPath(name, parts.runtimeDir));

  const { mark } = await host.prepare(settings);
  const plane = openPlane(daemon.planeOptions(mark), parts);
  undo.push(() => plane.close());
  await host.setUp(settings, plane.deviceName, deviceMtu(settings, [], 0));
  undo.push(() => host.tearDown());
  const driver = daemon.drive(daemon.makeTunnel(), plane);
  await metrics.setPeers(settings.peers.map((peer) => peer.name));
  await daemon.serve(false);
  await metricsService.start(daemon.inForce());
  undo.push(() => metricsService.close());
  driver.input((tunnel, now) => tunnel.start(now));
}
