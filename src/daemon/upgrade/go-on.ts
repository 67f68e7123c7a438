import { tookOverEvent } from '../announcements.ts';
import type { Starting } from '../start-afresh.ts';
import type { Takeover } from './takeover.ts';
import { droppedSoFar } from './target.ts';

/** The parts of a daemon that takes over. */
export interface Continuing extends Starting {
  /** Something that an operator should see in the status. */
  readonly warn: (text: string) => void;
}

/**
 * Goes on where the process of `takeover` was. Whatever can fail comes before the word to go: until then the data plane
 * is frozen, that process can go on, and nothing is taken back here that is still its own. Resolves when it has let go of
 * everything.
 */
export async function goOn(takeover: Takeover, daemon: Continuing): Promise<void> {
  const { parts, host, views, recorder, metrics, metricsService, undo } = daemon;
  const { state, descriptors } = takeover;
  const { mark } = host.continueFrom(state.host, daemon.inForce().settings);
  views.continueFrom(state.views);
  recorder.continueFrom(state.recorder);
  metrics.continueFrom(state.history);
  const tunnel = daemon.makeTunnel();
  tunnel.continueFrom(state.tunnel, parts.clock());
  await metrics.setPeers(state.tunnel.peers.map((peer) => peer.name));
  await daemon.serve(true);
  const plane = parts.openPlane({ ...daemon.planeOptions(mark), adopt: { descriptors, state: takeover.plane } });
  takeover.plane.fill(0);
  undo.push(() => plane.close());
  const driver = daemon.drive(tunnel, plane);
  await takeover.ready();
  plane.thaw();
  const now = parts.clock();
  // From here on it is this process that undoes, and nothing that goes wrong is worth the tunnel.
  undo.push(() => host.tearDown());
  driver.input((continued, at) => continued.tick(at));
  const dropped = Math.max(0, droppedSoFar(plane, parts) - state.dropped);
  const gapMs = now - state.frozenAt;
  metrics.handover('completed', gapMs / 1000);
  await takeover.running(now, dropped);
  try {
    daemon.control()?.takePlace();
  } catch (error) {
    daemon.warn(`commands cannot reach this tunnel: ${textOf(error)}`);
  }
  daemon.tell(tookOverEvent(takeover, daemon.version, gapMs, dropped));
  undo.push(() => metricsService.close());
  try {
    await metricsService.start(daemon.inForce());
  } catch (error) {
    daemon.warn(`metrics cannot be read: ${textOf(error)}`);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
