import type { TunMtu } from '../base/brand.ts';
import { DtunnelError } from '../base/errors.ts';
import type { Settings } from '../config/settings.ts';
import type { Offload, Plane, PlaneOptions } from '../plane/plane.ts';
import { deviceMtu } from './host/host-sync.ts';
import type { DaemonParts } from './parts.ts';
import { listenSpecs } from './reload.ts';

/** Names of devices: IFNAMSIZ leaves 15 octets (netdevice(7)). */
const MAX_DEVICE_NAME = 15;

const OFFLOADS: readonly Offload[] = [
  'tun-tso',
  'tun-uso',
  'tun-coalesce-tcp',
  'tun-coalesce-udp',
  'udp-segment',
  'udp-gro',
];

/** The device of tunnel `name`. */
export function deviceName(name: string): string {
  return `dt-${name}`.slice(0, MAX_DEVICE_NAME);
}

/** How to open the data plane for `settings`. */
export function planeOptions(
  settings: Settings,
  host: { readonly lanes: number; readonly mark: number | undefined },
): Omit<PlaneOptions, 'onEvent'> {
  const { interface: face } = settings;
  return {
    device: { name: deviceName(face.name), mtu: deviceMtu(settings, [], 0) as TunMtu },
    listen: listenSpecs(settings),
    lanes: face.lanes === 'auto' ? host.lanes : face.lanes,
    crypto: face.crypto,
    fwMark: host.mark,
    disable: OFFLOADS.filter((offload) => face.disableOffloads.includes(offload)),
    realtime: face.realtime,
  };
}

/** Opens the data plane; a port that is taken is told with who holds it. */
export function openPlane(options: PlaneOptions, parts: Pick<DaemonParts, 'openPlane' | 'portHolder'>): Plane {
  try {
    return parts.openPlane(options);
  } catch (error) {
    if (!(error instanceof DtunnelError) || error.code !== 'N001') throw error;
    const holder = options.listen.map(({ port }) => parts.portHolder(port)).find((one) => one !== undefined);
    if (holder === undefined) throw error;
    throw new DtunnelError('N001', `${error.message}: pid ${holder.pid} (${holder.name})`, { cause: error });
  }
}
