import { createRequire } from 'node:module';
import { DtunnelError } from '../base/errors.ts';

/**
 * The native addon's surface, exactly as C++ exports it: positional arguments, addresses as 4 or 16 octets. Only the
 * files of this folder use it. Misuse throws TypeError; the kernel's refusals throw a `SystemError`.
 */
export interface Addon {
  readonly notify: (socket: string, state: string) => void;
  readonly forbidDumps: () => void;
  readonly icmpEcho: (
    address: Uint8Array,
    count: number,
    intervalMs: number,
    timeoutMs: number,
    payloadBytes: number,
    dontFragment: boolean,
  ) => Promise<{ readonly sent: number; readonly rttMs: readonly number[]; readonly errno: number }>;
}

/** An Error from a system call: `code` is errno's name, `syscall` the call or socket option. */
export interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
}

/** Whether `thrown` came from a system call. */
export function isSystemError(thrown: unknown): thrown is SystemError {
  return (
    thrown instanceof Error &&
    'code' in thrown &&
    typeof thrown.code === 'string' &&
    'syscall' in thrown &&
    typeof thrown.syscall === 'string'
  );
}

let loaded: Addon | undefined;

/** The addon, loaded on first use; throws DT_NATIVE_MISSING naming every place that was tried. */
export function loadAddon(): Addon {
  loaded ??= load();
  return loaded;
}

function load(): Addon {
  const require = createRequire(import.meta.url);
  const failures: string[] = [];
  for (const place of PLACES) {
    try {
      return require(place) as Addon;
    } catch (error) {
      failures.push(`${place}: ${error instanceof Error ? error.message.split('\n', 1)[0] : String(error)}`);
    }
  }
  throw new DtunnelError('S020', `cannot load the native addon (${failures.join('; ')})`);
}

/** Relative to this file, which lies equally deep in src and in dist. */
const PLACES = ['../../native/build/Release/dtunnel.node', '../../native/build/Debug/dtunnel.node'];
