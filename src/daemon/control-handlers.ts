import { DtunnelError } from '../base/errors.ts';
import {
  type DownReply,
  type DrainReply,
  type PingReply,
  PROTOCOL,
  type RotateReply,
  type UpgradeReply,
  type UpgradeRequest,
} from '../control/protocol.ts';
import type { ControlHandlers } from '../control/server.ts';
import type { StatusDocument } from '../control/status.ts';
import type { PeerSnapshot } from '../tunnel/effects.ts';
import type { Log } from './log.ts';
import type { Reloader } from './reload.ts';

/** What the control socket may ask of the daemon. */
export interface Controlled {
  readonly name: string;
  readonly pid: number;
  readonly version: string;
  readonly log: Log;
  readonly reloader: Reloader;
  peers(): readonly PeerSnapshot[];
  status(): StatusDocument;
  /** False: no such peer. */
  rekey(peer: string | undefined): boolean;
  drain(timeoutMs: number): Promise<DrainReply>;
  stop(): Promise<DownReply>;
  upgrade(request: UpgradeRequest): Promise<UpgradeReply>;
  /** Throws while an upgrade is under way: nothing else changes the daemon then. */
  refuseWhileUpgrading(): void;
  ping(peer: PeerSnapshot, timeoutMs: number): Promise<PingReply>;
  rotateAsk(): Promise<RotateReply>;
  /** Fingerprint of the certificate in force. */
  fingerprint(): string;
  metrics(): Promise<string>;
}

/** The answers of the control socket. */
export function controlHandlers(daemon: Controlled): ControlHandlers {
  const { log } = daemon;
  const peerNamed = (name: string): PeerSnapshot => {
    const peers = daemon.peers();
    const found = peers.find((peer) => peer.name === name);
    if (found !== undefined) return found;
    const names = peers.map((peer) => peer.name).join(', ');
    throw new DtunnelError('S018', `${daemon.name} has no peer ${name}${names === '' ? '' : ` (there are ${names})`}`);
  };
  return {
    hello: () => ({ protocol: PROTOCOL, version: daemon.version, tunnel: daemon.name, pid: daemon.pid }),
    status: () => daemon.status(),
    reload: (request) => daemon.reloader.reload(request),
    rekey: ({ peer }) => {
      if (peer !== undefined) peerNamed(peer);
      const established = daemon.peers().filter(({ association }) => association !== undefined);
      daemon.rekey(peer);
      return { peers: peer === undefined ? established.map(({ name }) => name) : [peer] };
    },
    drain: async ({ timeoutMs }) => {
      daemon.refuseWhileUpgrading();
      const outcome = await daemon.drain(timeoutMs);
      await daemon.stop();
      return outcome;
    },
    upgrade: (request) => daemon.upgrade(request),
    down: async () => {
      daemon.refuseWhileUpgrading();
      return daemon.stop();
    },
    ping: ({ peer, timeoutMs }) => daemon.ping(peerNamed(peer), timeoutMs),
    rotateAsk: () => daemon.rotateAsk(),
    rotateSwitch: async () => {
      const { generation } = await daemon.reloader.reload({ plan: false, revert: false });
      const peers = daemon.peers().filter(({ association }) => association !== undefined);
      daemon.rekey(undefined);
      return { fingerprint: daemon.fingerprint(), generation, peers: peers.map(({ name }) => name) };
    },
    logLevel: ({ level }) => {
      const before = log.level;
      log.setLevel(level);
      return { level, before };
    },
    metrics: () => daemon.metrics(),
    recentLog: () => log.recent(),
    events: log.events,
    log: log.follow,
  };
}
