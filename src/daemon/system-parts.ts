import { closeSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { monotonicClock } from '../base/clock.ts';
import { loadSettings } from '../config/load.ts';
import { runtimeDir } from '../control/paths.ts';
import { systemRandom } from '../crypto/random.ts';
import { type Address, parseAddress } from '../net/address.ts';
import { notifyServiceManager, preloadAddon, runProgram } from '../plane/host.ts';
import { openNativePlane } from '../plane/native-plane.ts';
import { Tunnel } from '../tunnel/tunnel.ts';
import { diskFiles } from './config-files.ts';
import { loadIdentity, loadMetricsToken, processContext } from './identity-files.ts';
import { SystemIp } from './host/ip.ts';
import { NetworkWatch } from './network-watch.ts';
import type { DaemonParts } from './parts.ts';
import { findPortHolder } from './port-holder.ts';
import { resolveHost } from './resolver.ts';
import { systemSuccessors } from './upgrade/successor.ts';
import { systemSysctl } from './host/sysctl.ts';
import { timerAlarms } from './timer-alarm.ts';

/** Group whose members may use control sockets of a daemon that runs as root. */
const CONTROL_GROUP = 'dtunnel';

/** The real world. */
export function systemParts(environment: Readonly<Record<string, string | undefined>>): DaemonParts {
  const identityContext = processContext(environment);
  return {
    load: (path) => loadSettings(path, diskFiles, (name) => environment[name]),
    readIdentity: ({ certificate, privateKey }) => loadIdentity({ certificate, privateKey }, identityContext),
    readToken: (token) => loadMetricsToken(token, identityContext),
    openPlane: openNativePlane,
    preload: preloadAddon,
    makeTunnel: (options) => new Tunnel(options),
    crypto: systemRandom,
    ip: new SystemIp(runProgram),
    sysctl: systemSysctl,
    resolve: resolveHost,
    makeAlarm: timerAlarms(monotonicClock),
    clock: monotonicClock,
    wallClock: () => Date.now(),
    notify: notifyServiceManager,
    environment,
    watchNetwork: (ownDevice, onChange) => {
      const watch = new NetworkWatch({ ownDevice, onChange });
      return () => watch.close();
    },
    tunOverflows,
    localAddresses,
    portHolder: (port) => findPortHolder('udp', port),
    lanes: 1,
    controlGid: process.geteuid?.() === 0 ? groupId(CONTROL_GROUP) : undefined,
    runtimeDir: runtimeDir(environment),
    closeDescriptor: closeSync,
    successors: systemSuccessors,
  };
}

function localAddresses(): readonly Address[] {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  return all.map(({ address }) => parseAddress(address)).filter((address) => address !== undefined);
}

/** Packets that found the device's queue full: the kernel counts them as dropped on transmission (tun.c). */
function tunOverflows(device: string): number | undefined {
  try {
    return Number(readFileSync(`/sys/class/net/${device}/statistics/tx_dropped`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** group(5). */
function groupId(name: string): number | undefined {
  try {
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((entry) => entry.startsWith(`${name}:`));
    const id = Number(line?.split(':')[2]);
    return Number.isInteger(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
