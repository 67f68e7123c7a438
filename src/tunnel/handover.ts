import { z } from 'zod';
import type { Duration, Fingerprint, Instant, PeerId, SequenceNumber, SessionSlot } from '../base/brand.ts';
import { CLOSE_CODES, type CloseCode } from '../dtls/close-codes.ts';
import { type Address, parseAddress } from '../net/address.ts';

/**
 * All that a tunnel knows and another process must know to go on with it, as plain JSON: peers with their associations,
 * calls' pauses, and what was learned of paths. No keys: those are the data plane's. Handshakes under way are left out;
 * they are made again. `Tunnel.export` writes it, `tunnelState` reads it strictly, `Tunnel.continueFrom` goes on with it.
 *
 * Instants are those of CLOCK_MONOTONIC, which all processes of a host share.
 */

const instant = z.number().transform((at) => at as Instant);
const duration = z.number().transform((length) => length as Duration);
const slot = z
  .int()
  .min(0)
  .max(0xffffff)
  .transform((n) => n as SessionSlot);
const peerId = z
  .int()
  .min(0)
  .max(0xffffffff)
  .transform((n) => n as PeerId);
const octets = z
  .string()
  .regex(/^(?:[0-9a-f]{2})*$/)
  .transform(fromHex);
const count = z.int().min(0);
const port = z.int().min(1).max(0xffff);

const address = z.string().transform((text, context): Address => {
  const parsed = parseAddress(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: 'no address' });
  return z.NEVER;
});

const fingerprint = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .transform((text) => text as Fingerprint);

const path = z
  .strictObject({ remote: z.strictObject({ address, port }), local: address.optional() })
  .transform(({ remote, local }) => ({ remote, local }));

const role = z.enum(['client', 'server']);
const use = z.enum(['standby', 'active', 'retiring']);
const health = z.enum(['alive', 'troubled', 'suspect', 'dead']);
const trigger = z.enum(['start', 'time', 'data', 'manual', 'retry', 'peer', 'unknown-session', 'failover']);

const lastFlight = z.strictObject({
  answers: count,
  nextPlain: count.transform((n) => n as SequenceNumber),
  finished: octets,
});

const association = z.strictObject({
  slot,
  connectionId: octets,
  role,
  trigger,
  startedAt: instant,
  path,
  fingerprint,
  aead: z.enum(['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305']),
  /** Octets around each inner packet. */
  overhead: count,
  established: z.strictObject({
    suite: z.string(),
    group: z.enum(['x25519', 'secp256r1', 'secp384r1']),
    protocol: z.string().optional(),
    extendedMasterSecret: z.boolean(),
    connectionIds: z.boolean(),
    retransmissions: count,
    peerCertificate: octets,
  }),
  continuation: z.strictObject({ lastFlight: lastFlight.optional(), renegotiationAlerts: count }),
});

const session = z.strictObject({
  association,
  establishedAt: instant,
  use,
  peerUse: use.optional(),
  peerUseAt: instant.optional(),
  draining: z.boolean(),
  confirmed: z.boolean(),
  health,
  deadSince: instant.optional(),
  supersededAt: instant.optional(),
  rekeyAt: instant.optional(),
  rekeyWanted: trigger.optional(),
  rekeyAskedAt: instant.optional(),
  rekeyAskedLast: instant.optional(),
  checkAt: instant,
  lastTraffic: instant,
  lastReceive: instant,
  liveness: z.strictObject({
    askedAt: instant.optional(),
    unanswered: count,
    /** Absent: the next check probes at once. */
    lastProbe: instant.optional(),
    lastCheck: instant,
    plannedCheck: instant,
  }),
  nextId: count,
  ownSealed: count,
  ownOpened: count,
  sealedSeen: z.int(),
  openedSeen: z.int(),
});

const leg = z.strictObject({
  host: z.string(),
  port,
  /** To an address that is not configured. */
  isStray: z.boolean(),
  local: address.optional(),
  remembered: z.boolean(),
  addresses: z.array(address),
  /** Sessions that were called along it, replaced ones included. */
  sessions: z.array(slot),
  /** The latest of them. */
  live: slot.optional(),
  rekey: trigger.optional(),
  failedAt: instant.optional(),
  failures: count,
  nextAt: instant.optional(),
  resolveAt: instant.optional(),
  resolveFailures: count,
  lastResolve: instant.optional(),
  absent: count,
});

const memory = z.strictObject({
  address,
  smoothed: z.number().optional(),
  variation: z.number(),
  /** Latest probes, oldest first: answered or not. */
  outcomes: z.array(z.boolean()),
  mtu: count,
  /** Absent: nothing has failed. */
  failed: count.optional(),
  raiseAt: instant.optional(),
  confirmedAt: instant,
});

const closeReason = z
  .strictObject({
    code: z.enum(Object.keys(CLOSE_CODES) as CloseCode[]),
    by: z.enum(['local', 'peer']),
    alert: z.int().optional(),
    seen: z.string().optional(),
    expected: z.string().optional(),
  })
  .transform(({ code, by, alert, seen, expected }) => ({ code, by, alert, seen, expected }));

const peer = z.strictObject({
  id: peerId,
  name: z.string(),
  state: z.enum(['disabled', 'resolving', 'connecting', 'up', 'degraded', 'down']),
  since: instant,
  everUp: z.boolean(),
  wasWavering: z.boolean(),
  heldUntil: instant.optional(),
  lastReceive: instant.optional(),
  lastKnown: path.optional(),
  lastFailure: z.strictObject({ at: instant, reason: closeReason }).optional(),
  rekeyAfter: z.union([duration, z.literal('off')]),
  current: slot.optional(),
  troubleSince: instant.optional(),
  pausedUntil: instant.optional(),
  memories: z.array(memory),
  legs: z.array(leg),
  /** Oldest first. */
  sessions: z.array(session),
});

const resting = z.strictObject({ slot, connectionId: octets, until: instant });

/** Reads what `Tunnel.export` has written, after a trip through JSON. */
export const tunnelState = z.strictObject({
  slots: z.strictObject({ fresh: count, resting: z.array(resting) }),
  /** Prefix and the peer that carries it, of several. */
  choices: z.array(z.tuple([z.string(), peerId])),
  peers: z.array(peer),
});

/** As written: plain JSON. */
export type TunnelExport = z.input<typeof tunnelState>;
/** As read. */
export type TunnelState = z.output<typeof tunnelState>;
/** One peer as written. */
export type PeerExport = TunnelExport['peers'][number];
/** One peer as read. */
export type PeerState = TunnelState['peers'][number];
/** What a caller's leg leaves behind. */
export type LegExport = PeerExport['legs'][number];
/** The same as read. */
export type LegState = PeerState['legs'][number];
/** A session as written. */
export type SessionExport = PeerExport['sessions'][number];
/** The same as read. */
export type SessionState = PeerState['sessions'][number];
/** An association as written. */
export type AssociationExport = SessionExport['association'];
/** The same as read. */
export type AssociationState = SessionState['association'];
/** What is known of a path, as written. */
export type MemoryExport = PeerExport['memories'][number];
/** The same as read. */
export type MemoryState = PeerState['memories'][number];
/** Slots as written. */
export type SlotsExport = TunnelExport['slots'];
/** The same as read. */
export type SlotsState = TunnelState['slots'];

function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
