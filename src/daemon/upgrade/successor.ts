import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { DtunnelError } from '../../base/errors.ts';
import { type Channel, FrameChannel } from './frame-channel.ts';
import { CHANNEL_DESCRIPTOR } from './handover.ts';

/** The process that is to take over, as the old one sees it. */
export interface Successor {
  readonly pid: number;
  readonly channel: Channel;
  /** Resolves when it has ended: with its exit status, undefined when a signal ended it. */
  readonly ended: Promise<number | undefined>;
  kill(): void;
  /** Lets go of it: this process may end before it. */
  release(): void;
}

/** Starts successors; tests have their own. */
export interface Successors {
  /** With the channel and these descriptors, to take over. */
  spawn(descriptors: readonly number[]): Successor;
  /** As this process was started, to start afresh. Yields its pid. */
  restart(): number;
  /** Asks the one with this pid to end as SIGTERM does. */
  terminate(pid: number): void;
}

/** Processes of the program as it is now on disk, with the arguments, environment and rights of this one. */
export const systemSuccessors: Successors = {
  spawn: (descriptors) => {
    const args = successorArguments(process.argv.slice(1), ['--handover-fd', String(CHANNEL_DESCRIPTOR)]);
    const child = spawn(process.execPath, [...process.execArgv, ...args], {
      env: successorEnvironment(process.env),
      stdio: ['inherit', 'inherit', 'inherit', 'pipe', ...descriptors],
    });
    // Both `error` (it could not be run) and `exit` end it.
    const ended = new Promise<number | undefined>((resolve) => {
      child.once('error', () => resolve(undefined));
      child.once('exit', (status) => resolve(status ?? undefined));
    });
    const stream = child.stdio[CHANNEL_DESCRIPTOR];
    if (child.pid === undefined || !(stream instanceof Duplex)) {
      throw new DtunnelError('S042', `cannot start ${process.execPath}`);
    }
    return {
      pid: child.pid,
      channel: new FrameChannel(stream),
      ended,
      kill: () => child.kill('SIGKILL'),
      release: () => child.unref(),
    };
  },
  restart: () => {
    const args = successorArguments(process.argv.slice(1), []);
    const child = spawn(process.execPath, [...process.execArgv, ...args], {
      env: successorEnvironment(process.env),
      stdio: 'inherit',
    });
    child.once('error', () => undefined);
    child.unref();
    if (child.pid === undefined) throw new DtunnelError('S042', `cannot start ${process.execPath}`);
    return child.pid;
  },
  terminate: (pid) => {
    process.kill(pid, 'SIGTERM');
  },
};

/** The arguments of a daemon without those that were for itself alone, and with `more`. */
export function successorArguments(own: readonly string[], more: readonly string[]): readonly string[] {
  const kept: string[] = [];
  for (let i = 0; i < own.length; i++) {
    const argument = own[i] ?? '';
    if (PERSONAL.includes(argument)) i++;
    else if (!PERSONAL.some((option) => argument.startsWith(`${option}=`))) kept.push(argument);
  }
  return [...kept, ...more];
}

/** The watchdog's patience is for whoever is the main process, which is another one soon (sd_watchdog_enabled(3)). */
function successorEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...environment, WATCHDOG_PID: undefined };
}

const PERSONAL = ['--report-fd', '--handover-fd'];
