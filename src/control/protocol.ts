import { z } from 'zod';
import { LOG_LEVELS } from './log-levels.ts';

/**
 * What is said over the control socket: HTTP on a unix socket, JSON bodies, streams as one JSON document a line. The
 * major version is part of every path, so that a CLI and a daemon of different releases find out before they
 * misunderstand each other. Within a version changes are additive only.
 */

/** Name and major version of the protocol; the value of the header below. */
export const PROTOCOL = 'dtunnel.control/1';

/** Response header that carries `PROTOCOL`, also on errors. */
export const PROTOCOL_HEADER = 'dtunnel-control';

/** Prefix of every path of this version. */
export const PATH_PREFIX = '/v1';

/** Largest request body, octets: the largest legitimate one is below a hundred. */
export const MAX_REQUEST_BYTES = 16 * 1024;

/** `hello`: who answers. */
export const helloReply = z.object({
  protocol: z.string(),
  version: z.string(),
  tunnel: z.string(),
  pid: z.int(),
});

/** `reload`: `plan` changes nothing, `revert` goes back to the settings before the last reload. */
export const reloadRequest = z.strictObject({ plan: z.boolean().default(false), revert: z.boolean().default(false) });

/** One line of a reload plan: `Change` of config/diff.ts. */
export const reloadChange = z.object({
  action: z.enum(['+', '-', '~']),
  /** The peer's name; absent: the interface. */
  peer: z.string().optional(),
  /** Absent when a whole peer comes or goes. */
  key: z.string().optional(),
  text: z.string(),
  hitless: z.boolean(),
  note: z.string(),
});

/** Outcome of `reload`. */
export const reloadReply = z.object({
  applied: z.boolean(),
  generation: z.int(),
  changes: z.array(reloadChange),
  durationMs: z.number(),
  /** Packets the data plane dropped while the change was applied. */
  droppedPackets: z.int(),
});

/** `rekey`: without `peer`, all of them. */
export const rekeyRequest = z.strictObject({ peer: z.string().max(256).optional() });

/** Which peers a fresh handshake was started with. */
export const rekeyReply = z.object({ peers: z.array(z.string()) });

/** `drain`: ends within `timeoutMs`. */
export const drainRequest = z.strictObject({ timeoutMs: z.int().min(0).max(3_600_000).default(30_000) });

/** Outcome of `drain`. */
export const drainReply = z.object({
  result: z.enum(['drained', 'timeout']),
  sessionsLeft: z.int(),
  durationMs: z.number(),
});

/** `upgrade`: `restart` allows a clean restart where the new program cannot take over. */
export const upgradeRequest = z.strictObject({ restart: z.boolean().default(true) });

/**
 * Outcome of `upgrade`. `handed_over`: the new process has every session. `restarting`: it could not have them for
 * `reason`; the old one stops once it has answered, and the new one starts afresh.
 */
export const upgradeReply = z.discriminatedUnion('result', [
  z.object({
    result: z.literal('handed_over'),
    tunnels: z.int(),
    peers: z.int(),
    /** Descriptors handed over: the queues of the device and the UDP sockets. */
    sockets: z.int(),
    /** From the last packet of the old process to the first chance of the new one. */
    gapMs: z.number(),
    droppedPackets: z.int(),
    pid: z.int(),
    previousPid: z.int(),
    version: z.string(),
    previousVersion: z.string(),
  }),
  z.object({
    result: z.literal('restarting'),
    reason: z.string(),
    peers: z.int(),
    previousPid: z.int(),
    previousVersion: z.string(),
  }),
]);

/** `down`: the changes undone, in order; the process ends after it has answered. */
export const downReply = z.object({
  changes: z.array(z.string()),
  /** Peers that were told. */
  told: z.array(z.string()),
});

/** `ping`: one authenticated probe through the tunnel. */
export const pingRequest = z.strictObject({
  peer: z.string().max(256),
  timeoutMs: z.int().min(1).max(60_000).default(3_000),
});

/** Outcome of `ping`: without `rttMs` the probe was lost. */
export const pingReply = z.object({
  peer: z.string(),
  rttMs: z.number().optional(),
  endpoint: z.string().optional(),
  mtuBytes: z.int().optional(),
});

/** `rotate/ask`, `rotate/switch`: which files are meant follows from the configuration. */
export const rotateRequest = z.strictObject({});

/** What each enabled peer makes of the next certificate. */
export const rotateReply = z.object({
  /** Of the next certificate, colon hex. */
  fingerprint: z.string(),
  peers: z.array(z.object({ name: z.string(), result: z.enum(['known', 'refused', 'silent', 'unable']) })),
});

/** The certificate in force after the switch, and with whom fresh keys are being made. */
export const switchReply = z.object({ fingerprint: z.string(), generation: z.int(), peers: z.array(z.string()) });

/** `log-level`: from now on. */
export const logLevelRequest = z.strictObject({ level: z.enum(LOG_LEVELS) });

/** What was set, and what was before. */
export const logLevelReply = z.object({ level: z.enum(LOG_LEVELS), before: z.enum(LOG_LEVELS) });

/** An error of the control socket, and of `--json` output: never a stack, never a secret. */
export const errorReply = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string(),
    exit: z.int(),
    /** Config diagnostics, when a file was the reason. */
    details: z.unknown().optional(),
  }),
});

/** Who answers. */
export type HelloReply = z.infer<typeof helloReply>;
/** What to reload. */
export type ReloadRequest = z.infer<typeof reloadRequest>;
/** One line of a plan. */
export type ReloadChange = z.infer<typeof reloadChange>;
/** What a reload did. */
export type ReloadReply = z.infer<typeof reloadReply>;
/** Whom to rekey with. */
export type RekeyRequest = z.infer<typeof rekeyRequest>;
/** With whom a rekey began. */
export type RekeyReply = z.infer<typeof rekeyReply>;
/** How long to drain. */
export type DrainRequest = z.infer<typeof drainRequest>;
/** How a drain ended. */
export type DrainReply = z.infer<typeof drainReply>;
/** How to upgrade. */
export type UpgradeRequest = z.infer<typeof upgradeRequest>;
/** What an upgrade came to. */
export type UpgradeReply = z.infer<typeof upgradeReply>;
/** What stopping undid. */
export type DownReply = z.infer<typeof downReply>;
/** Whom to probe. */
export type PingRequest = z.infer<typeof pingRequest>;
/** What the probe told. */
export type PingReply = z.infer<typeof pingReply>;
/** What peers make of the next certificate. */
export type RotateReply = z.infer<typeof rotateReply>;
/** What the switch did. */
export type SwitchReply = z.infer<typeof switchReply>;
/** Which level to log from now on. */
export type LogLevelRequest = z.infer<typeof logLevelRequest>;
/** What was set. */
export type LogLevelReply = z.infer<typeof logLevelReply>;
/** Why a request failed. */
export type ErrorReply = z.infer<typeof errorReply>;
