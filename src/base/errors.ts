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
  S020: {
    id: 'DT_NATIVE_MISSING',
    exit: EXIT.failure,
    hint: 'build the addon: npm run build in a checkout, npx node-gyp rebuild --directory native in an installed package',
  },
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
  S035: {
    id: 'DT_ROTATE_WAITING',
    exit: EXIT.timeout,
    hint: 'paste the line above at the peers named, reload there, and run dtunnel rotate again: it goes on where it was',
  },
  S036: { id: 'DT_ROTATE_FILES', exit: EXIT.failure, hint: 'run as root, or as the user that owns the key' },
  S040: {
    id: 'DT_HANDOVER',
    exit: EXIT.incompatible,
    hint: 'the tunnel runs on as it was; dtunnel down, then dtunnel up, starts the new version',
  },
  S041: {
    id: 'DT_UPGRADE_INCOMPATIBLE',
    exit: EXIT.incompatible,
    hint: 'nothing was changed; without --no-restart the new program is started afresh, with a short interruption',
  },
  S042: {
    id: 'DT_UPGRADE_FAILED',
    exit: EXIT.failure,
    hint: 'nothing was lost: the old process goes on; dtunnel logs shows what the new one said',
  },
  S043: {
    id: 'DT_UPGRADE_LOST',
    exit: EXIT.failure,
    hint: 'the tunnel starts afresh: its peers shake hands again',
  },
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
  N006: {
    id: 'DT_UDP_MARK',
    exit: EXIT.failure,
    hint: 'give the process CAP_NET_ADMIN: FwMark and default routes need it',
  },
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
  K006: {
    id: 'DT_CREDENTIAL_MISSING',
    exit: EXIT.config,
    hint: 'add LoadCredential=NAME:/path to the systemd unit',
  },
  K007: {
    id: 'DT_KEY_UNSUPPORTED',
    exit: EXIT.config,
    hint: 'use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more: dtunnel keygen',
  },
  C001: { id: 'DT_CONFIG_UNREADABLE', exit: EXIT.config, hint: 'check the path and its permissions' },
  C002: { id: 'DT_CONFIG_ENCODING', exit: EXIT.config, hint: 'the file must be plain UTF-8 text' },
  C003: { id: 'DT_CONFIG_SYNTAX', exit: EXIT.config, hint: 'a line is a [Section], a Key = value, or a # comment' },
  C004: { id: 'DT_CONFIG_QUOTE_OPEN', exit: EXIT.config, hint: 'a quoted value ends on the line it began on' },
  C005: { id: 'DT_CONFIG_ESCAPE', exit: EXIT.config, hint: 'known escapes are \\" \\\\ \\n \\t' },
  C006: { id: 'DT_CONFIG_QUOTE_PLACE', exit: EXIT.config, hint: 'quote the whole value, or separate the words' },
  C007: { id: 'DT_CONFIG_VARIABLE', exit: EXIT.config, hint: `write \${NAME} or \${NAME:-default}` },
  C008: {
    id: 'DT_CONFIG_VARIABLE_UNSET',
    exit: EXIT.config,
    hint: `set the variable, or give it a default: \${NAME:-default}`,
  },
  C009: { id: 'DT_CONFIG_TOO_LARGE', exit: EXIT.config, hint: 'split the configuration, or remove what is not needed' },
  C010: { id: 'DT_CONFIG_SECTION', exit: EXIT.config, hint: 'sections are [Interface] and [Peer]' },
  C011: { id: 'DT_CONFIG_NO_SECTION', exit: EXIT.config, hint: 'put [Interface] or [Peer] above the setting' },
  C012: { id: 'DT_CONFIG_KEY', exit: EXIT.config, hint: 'correct the spelling; dtunnel config schema lists every key' },
  C013: { id: 'DT_CONFIG_KEY_SECTION', exit: EXIT.config, hint: 'move the setting to the section it belongs to' },
  C014: { id: 'DT_CONFIG_DUPLICATE_KEY', exit: EXIT.config, hint: 'keep one of the two' },
  C015: { id: 'DT_CONFIG_MISSING', exit: EXIT.config, hint: 'add the setting' },
  C016: { id: 'DT_CONFIG_EMPTY', exit: EXIT.config, hint: 'write a value, or remove the line' },
  C017: { id: 'DT_CONFIG_ONE_VALUE', exit: EXIT.config, hint: 'keep one value; text that holds a comma needs quotes' },
  C018: { id: 'DT_CONFIG_WIREGUARD', exit: EXIT.config, hint: 'dtunnel convert translates a WireGuard file' },
  C019: { id: 'DT_CONFIG_INTERFACE', exit: EXIT.config, hint: 'a configuration has exactly one [Interface]' },
  C020: {
    id: 'DT_CONFIG_FINGERPRINT',
    exit: EXIT.config,
    hint: 'print it with  dtunnel fingerprint /path/to/peer.crt',
  },
  C021: { id: 'DT_CONFIG_ADDRESS', exit: EXIT.config, hint: 'write address/length, as in 10.1.0.0/16 or fd01::/48' },
  C022: {
    id: 'DT_CONFIG_ENDPOINT',
    exit: EXIT.config,
    hint: 'write host:port, as in vpn.example.net:4433 or [2001:db8::1]:4433',
  },
  C023: { id: 'DT_CONFIG_NUMBER', exit: EXIT.config, hint: 'write a whole number within the range' },
  C024: { id: 'DT_CONFIG_DURATION', exit: EXIT.config, hint: 'write a whole number with ms, s, m, h or d' },
  C025: {
    id: 'DT_CONFIG_SIZE',
    exit: EXIT.config,
    hint: 'sizes end in KiB, MiB, GiB or TiB; rates in kbit, mbit or gbit',
  },
  C026: { id: 'DT_CONFIG_CHOICE', exit: EXIT.config, hint: 'write one of the words that are listed' },
  C027: { id: 'DT_CONFIG_PATH', exit: EXIT.config, hint: 'write the absolute path of a file' },
  C028: { id: 'DT_CONFIG_NAME', exit: EXIT.config, hint: 'use letters, digits and _ = + . -' },
  C029: { id: 'DT_CONFIG_METRICS', exit: EXIT.config, hint: 'write address:port, unix:/path, or off' },
  C030: {
    id: 'DT_CONFIG_INCLUDE',
    exit: EXIT.config,
    hint: 'check the path; included files hold [Peer] sections only',
  },
  C031: {
    id: 'DT_CONFIG_OVERLAP',
    exit: EXIT.config,
    hint: 'remove one, or set different Priority= values to make one a standby',
  },
  C032: { id: 'DT_CONFIG_DUPLICATE_NAME', exit: EXIT.config, hint: 'give each peer a name of its own' },
  C033: { id: 'DT_CONFIG_DUPLICATE_FINGERPRINT', exit: EXIT.config, hint: 'each peer has a certificate of its own' },
  C034: { id: 'DT_CONFIG_LISTEN_PORT', exit: EXIT.config, hint: 'set ListenPort, or give every peer an Endpoint' },
  C035: {
    id: 'DT_CONFIG_OWN_ADDRESS',
    exit: EXIT.config,
    hint: 'AllowedIPs are what lies behind the peer, not this side',
  },
  C036: { id: 'DT_CONFIG_MTU_IPV6', exit: EXIT.config, hint: 'IPv6 needs an MTU of at least 1280' },
  C037: { id: 'DT_CONFIG_METRICS_OPEN', exit: EXIT.config, hint: 'set MetricsToken, or listen on 127.0.0.1' },
  C040: {
    id: 'DT_PAIR_FINGERPRINT',
    exit: EXIT.config,
    hint: "put the other side's fingerprint into the [Peer] section",
  },
  C041: {
    id: 'DT_PAIR_PREFIXES',
    exit: EXIT.config,
    hint: "each side's AllowedIPs must hold the other side's Address",
  },
  C042: {
    id: 'DT_PAIR_UNREACHABLE',
    exit: EXIT.config,
    hint: 'give at least one side an Endpoint that the other listens on',
  },
  C101: { id: 'DT_CONFIG_REPEATED_VALUE', exit: EXIT.config, hint: 'remove one of the two' },
  C102: { id: 'DT_PAIR_ENDPOINT', exit: EXIT.config, hint: 'check the endpoint, or add the address to ListenAddress' },
  C103: { id: 'DT_PAIR_MTU', exit: EXIT.config, hint: 'set the same MTU on both sides, or auto' },
  C104: { id: 'DT_CONFIG_HOST_BITS', exit: EXIT.config, hint: 'write the block with its host bits zero' },
  C105: {
    id: 'DT_CONFIG_LOOP',
    exit: EXIT.config,
    hint: 'leave the endpoint out of AllowedIPs, or use FwMark with a routing rule',
  },
  C106: { id: 'DT_CONFIG_NO_PEERS', exit: EXIT.config, hint: 'add a [Peer] section' },
  C107: { id: 'DT_CONFIG_UNUSED', exit: EXIT.config, hint: 'remove the setting, or what makes it void' },
  C108: { id: 'DT_CONFIG_INCLUDE_EMPTY', exit: EXIT.config, hint: 'check the pattern' },
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
