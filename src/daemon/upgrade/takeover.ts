import { Socket } from 'node:net';
import { DtunnelError } from '../../base/errors.ts';
import { parseSettings } from '../../config/load.ts';
import { toErrorReply } from '../../control/server.ts';
import { type Channel, FrameChannel } from './frame-channel.ts';
import {
  FIRST_DESCRIPTOR,
  goMessage,
  type HandedOver,
  handedOver,
  HANDOVER_FORMAT,
  prepareMessage,
} from './handover.ts';
import { type Configuration, configurationOf, readConfiguration } from '../in-force.ts';
import type { DaemonParts } from '../parts.ts';
import { planOf } from '../reload.ts';

/** What a daemon is given that takes over instead of starting. */
export interface Takeover {
  /** The settings in force, which may be others than those of the file. */
  readonly configuration: Configuration;
  /** The file says something else: to be applied as a reload once the daemon runs. */
  readonly reload: boolean;
  readonly previous: { readonly pid: number; readonly version: string };
  readonly state: HandedOver;
  readonly descriptors: readonly number[];
  /** The data plane's state, keys included; overwritten once it has been adopted. */
  readonly plane: Uint8Array;
  /** All is made, the data plane frozen: asks whether it may thaw. From then on the old process never will. */
  ready(): Promise<void>;
  /** Packets flow, since `at`. Resolves when everything else is this process's too. */
  running(at: number, droppedPackets: number): Promise<void>;
  /** It cannot be. Says nothing once the word to go has come: nobody may conclude that keys are unused. */
  failed(error: unknown): void;
}

/**
 * The new process's side until it has the state: looks whether it could run with the file, says so, and waits to be
 * given the rest. Throws what the file is refused for; the old process is told the same.
 */
export async function takeOver(
  channel: Channel,
  configFile: string,
  version: string,
  parts: DaemonParts,
): Promise<Takeover> {
  let mayThaw = false;
  const failed = (error: unknown): void => {
    if (!mayThaw) channel.send({ kind: 'failed', error: toErrorReply(error).error });
  };
  try {
    const prepare = prepareMessage.parse((await channel.receive()).document);
    if (prepare.format !== HANDOVER_FORMAT) {
      channel.send({ kind: 'incompatible', format: HANDOVER_FORMAT });
      throw new DtunnelError('S041', `the running daemon hands over in form ${prepare.format}`);
    }
    const { configuration, reload } = configurations(configFile, prepare.settings, parts);
    parts.preload();
    handedOver.safeParse(prepare.rehearsal);
    channel.send({ kind: 'prepared', version });
    const { document, octets } = await channel.receive();
    const state = handedOver.parse(document);
    // A socket that was only read for a while after a change of ports, and whose time ended meanwhile.
    for (let i = 0; i < state.passed; i++)
      if (!state.descriptors.includes(i)) parts.closeDescriptor(FIRST_DESCRIPTOR + i);
    return {
      configuration,
      reload,
      previous: { pid: prepare.pid, version: prepare.version },
      state,
      descriptors: state.descriptors.map((i) => FIRST_DESCRIPTOR + i),
      plane: octets,
      failed,
      ready: async () => {
        channel.send({ kind: 'ready' });
        const { document } = await channel.receive();
        goMessage.parse(document);
        mayThaw = true;
      },
      running: async (at, droppedPackets) => {
        channel.send({ kind: 'running', at, droppedPackets });
        // If the old process died on the way, the tunnel is this one's all the same.
        await channel.receive().catch(() => undefined);
        channel.close();
      },
    };
  } catch (error) {
    failed(error);
    throw error;
  }
}

/** The channel that this process was started with. */
export function inheritedChannel(descriptor: number): Channel {
  return new FrameChannel(new Socket({ fd: descriptor, readable: true, writable: true }));
}

/** What was in force, and whether the file differs. Throws when the file is wrong or cannot be applied while running. */
function configurations(file: string, inForce: string, parts: DaemonParts) {
  const inFile = readConfiguration(file, parts);
  const parsed = parseSettings(file, inForce);
  if (!parsed.ok) throw new DtunnelError('S042', 'the new program does not understand the settings in force');
  const configuration = configurationOf(parsed.value.settings, [], parts);
  const { changes } = planOf(configuration, inFile);
  const stuck = changes.filter((change) => !change.hitless).map((change) => change.key ?? change.peer ?? '');
  if (stuck.length > 0)
    throw new DtunnelError('S031', `the file changes what cannot change while running: ${stuck.join(', ')}`);
  const isSame = changes.length === 0 && configuration.metricsToken === inFile.metricsToken;
  return { configuration: isSame ? inFile : configuration, reload: !isSame };
}
