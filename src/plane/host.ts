import type { Duration } from '../base/brand.ts';
import { type Address, addressBytes } from '../net/address.ts';
import { loadAddon } from './binding.ts';

/** What `icmpEcho` does, with its defaults. */
export interface EchoOptions {
  /** Requests to send; 1. */
  readonly count?: number;
  /** Between two requests; 200 ms. */
  readonly interval?: Duration;
  /** To wait for an answer after the last request; 1 s. */
  readonly timeout?: Duration;
  /** Payload octets behind the 8 of ICMP's header; 56. */
  readonly bytes?: number;
  /** Forbids fragmentation on the way; false. */
  readonly dontFragment?: boolean;
}

/** What came back. */
export interface EchoReport {
  readonly sent: number;
  /** Round-trip times of the answers in order of arrival, milliseconds. */
  readonly rttMs: readonly number[];
  /** errno of the last refused send (90 is EMSGSIZE); 0: none. */
  readonly errno: number;
}

/** Pings `address` off the event loop. Rejects with a SystemError only when no ICMP socket can be had. */
export function icmpEcho(address: Address, options: EchoOptions = {}): Promise<EchoReport> {
  return loadAddon().icmpEcho(
    addressBytes(address),
    options.count ?? 1,
    options.interval ?? 200,
    options.timeout ?? 1000,
    options.bytes ?? 56,
    options.dontFragment ?? false,
  );
}

/** What a program left. */
export interface ProgramReport {
  /** Exit status; -1: a signal ended it. */
  readonly status: number;
  /** Killed when its time was over. */
  readonly late: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Another program, to be run to its end. */
export interface ProgramRun {
  /** Absolute path. */
  readonly file: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly input: string;
  readonly timeoutMs: number;
}

/**
 * Runs a program. Node's own way copies the process first (fork(2)): some milliseconds in which no event is handled, and
 * afterwards every data thread pays for each page it writes. Rejects with a SystemError when it cannot be started.
 */
export function runProgram({ file, args, environment, input, timeoutMs }: ProgramRun): Promise<ProgramReport> {
  const variables = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  return loadAddon().runProgram(file, args, variables, input, timeoutMs);
}

/** Sends `state` (sd_notify(3): "READY=1", …) to the service manager's `socket` (the value of NOTIFY_SOCKET). */
export function notifyServiceManager(socket: string, state: string): void {
  loadAddon().notify(socket, state);
}

/** No core file and no tracing by the same user from now on: keys stay in this process (prctl(2), PR_SET_DUMPABLE). */
export function forbidDumps(): void {
  loadAddon().forbidDumps();
}

/** Loads the addon now instead of at first use; throws DT_NATIVE_MISSING. */
export function preloadAddon(): void {
  loadAddon();
}
