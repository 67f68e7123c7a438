/**
 * Every operational error there is: what an operator can meet, with the stable code that `dtunnel help CODE` explains,
 * the exit status of the command it ends (UX: exit codes), and what can be done. Protocol failures are not here: they
 * are values (`CloseReason`). Codes are a public contract: add, never renumber.
 */

/** Exit statuses of the command line. */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  notRunning: 3,
  unknown: 4,
  incompatible: 5,
  degraded: 6,
  refused: 7,
  timeout: 8,
  permission: 77,
  config: 78,
} as const;

/** One documented error. */
export interface ErrorEntry {
  /** Name in code and in JSON output. */
  readonly id: string;
  readonly exit: number;
  /** One line: what the operator can do. */
  readonly hint: string;
}

/** `C` config, `K` key, `N` network, `H` handshake, `S` system. */
export const ERRORS = {
  S001: { id: 'DT_UNEXPECTED', exit: EXIT.failure, hint: 'this is a bug: please report it with the lines above' },
  S010: {
    id: 'DT_TUN_PERMISSION',
    exit: EXIT.permission,
    hint: 'run as root, or give the process CAP_NET_ADMIN (the systemd unit does)',
  },
  S011: {
    id: 'DT_TUN_UNAVAILABLE',
    exit: EXIT.failure,
    hint: 'load the tun module (modprobe tun) or create /dev/net/tun',
  },
  S012: {
    id: 'DT_TUN_BUSY',
    exit: EXIT.failure,
    hint: 'another process holds the device: stop it or choose another Name',
  },
  S013: { id: 'DT_IPROUTE2_MISSING', exit: EXIT.failure, hint: 'install iproute2 (apt-get install iproute2)' },
  S014: {
    id: 'DT_HOST_SETUP',
    exit: EXIT.failure,
    hint: 'every change made so far was undone; fix what ip(8) reports',
  },
  S015: { id: 'DT_ALREADY_RUNNING', exit: EXIT.failure, hint: 'use dtunnel reload, or dtunnel down first' },
  S016: { id: 'DT_NOT_RUNNING', exit: EXIT.notRunning, hint: 'start it with dtunnel up' },
  S017: { id: 'DT_UNKNOWN_TUNNEL', exit: EXIT.unknown, hint: 'dtunnel status lists what runs' },
  S018: { id: 'DT_UNKNOWN_PEER', exit: EXIT.unknown, hint: 'dtunnel status lists the peers' },
  S019: { id: 'DT_INCOMPATIBLE', exit: EXIT.incompatible, hint: 'restart the daemon, or use the matching dtunnel' },
  S020: { id: 'DT_NATIVE_MISSING', exit: EXIT.failure, hint: 'build the addon: npm run build' },
  S021: { id: 'DT_USAGE', exit: EXIT.usage, hint: 'see dtunnel --help' },
  S022: { id: 'DT_TIMEOUT', exit: EXIT.timeout, hint: 'see dtunnel status for what is missing' },
  S023: { id: 'DT_FILE', exit: EXIT.failure, hint: 'check the path and its permissions' },
  S024: { id: 'DT_CONTROL_PERMISSION', exit: EXIT.permission, hint: 'run as root or as a member of group dtunnel' },
  S025: { id: 'DT_STEP_FAILED', exit: EXIT.failure, hint: 'what it said is above; everything made so far was undone' },
  S026: {
    id: 'DT_NAMESPACES',
    exit: EXIT.permission,
    hint: 'run as root (sudo), or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0',
  },
  S030: { id: 'DT_CONFIG_REJECTED', exit: EXIT.config, hint: 'dtunnel check FILE shows every error with its place' },
  S031: {
    id: 'DT_NEEDS_RESTART',
    exit: EXIT.failure,
    hint: 'nothing was changed; for these settings: dtunnel down, then dtunnel up',
  },
  S032: { id: 'DT_NOTHING_TO_REVERT', exit: EXIT.failure, hint: 'only the last reload of this run can be taken back' },
  S033: { id: 'DT_RELOAD_FAILED', exit: EXIT.failure, hint: 'the settings from before are in force again' },
  S034: { id: 'DT_BUSY', exit: EXIT.failure, hint: 'wait for the other command to end' },
  N001: {
    id: 'DT_UDP_IN_USE',
    exit: EXIT.failure,
    hint: 'choose another ListenPort or stop the program that holds it',
  },
  N002: { id: 'DT_UDP_BIND', exit: EXIT.failure, hint: 'check ListenAddress and ListenPort' },
  N003: { id: 'DT_METRICS_BIND', exit: EXIT.failure, hint: 'choose another Metrics listener, or Metrics = off' },
  N004: {
    id: 'DT_UNREACHABLE',
    exit: EXIT.timeout,
    hint: 'nothing answered: check address, port and firewall on the way',
  },
  N005: { id: 'DT_RESOLVE', exit: EXIT.failure, hint: 'check the host name and the resolver' },
  H001: { id: 'DT_HANDSHAKE_REFUSED', exit: EXIT.refused, hint: 'compare fingerprints on both sides' },
  K001: { id: 'DT_KEY_UNREADABLE', exit: EXIT.config, hint: 'check the path and its owner' },
  K002: { id: 'DT_KEY_PERMISSIONS', exit: EXIT.config, hint: 'chmod 600 the key: nobody else may read it' },
  K003: {
    id: 'DT_KEY_MISMATCH',
    exit: EXIT.config,
    hint: 'PrivateKey does not belong to Certificate: regenerate both',
  },
  K004: { id: 'DT_KEY_FORMAT', exit: EXIT.config, hint: 'PEM is needed; make a pair with dtunnel keygen' },
  K005: { id: 'DT_KEY_EXISTS', exit: EXIT.failure, hint: 'dtunnel keygen never overwrites: move the old files away' },
  C001: { id: 'DT_CONFIG_UNREADABLE', exit: EXIT.config, hint: 'check the path and its permissions' },
} as const satisfies Record<string, ErrorEntry>;

/** A code of the table. */
export type ErrorCode = keyof typeof ERRORS;

/**
 * An operational failure: thrown by commands, reload and start-up, caught at the edges. `message` says what could not be
 * done with both values where two disagree; it never holds a secret.
 */
export class DtunnelError extends Error {
  readonly code: ErrorCode;
  /** What the operator can do: the table's line unless a more precise one was given. */
  readonly hint: string;
  /** Findings that led to it, as plain data for JSON (config diagnostics); undefined when the message says it all. */
  readonly details: unknown;

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly hint?: string; readonly cause?: unknown; readonly details?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DtunnelError';
    this.code = code;
    this.hint = options.hint ?? ERRORS[code].hint;
    this.details = options.details;
  }

  /** The exit status of the command that this error ends. */
  get exitCode(): number {
    return ERRORS[this.code].exit;
  }
}
