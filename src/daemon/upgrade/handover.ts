import { z } from 'zod';
import type { Instant } from '../../base/brand.ts';
import { errorReply } from '../../control/protocol.ts';
import { tunnelState } from '../../tunnel/handover.ts';

/**
 * What two processes say to each other while one takes over from the other. In order:
 *
 *     old                          new
 *     prepare ─────────────────►   reads the file, loads everything          (nothing has changed; 10 s)
 *             ◄───────────────── prepared | incompatible | failed
 *     freezes, state ──────────►   makes its tunnel, adopts the frozen plane (packets wait in the kernel; 2 s)
 *             ◄───────────────── ready | failed
 *     go ──────────────────────►   thaws: from here on record numbers are the new one's
 *             ◄───────────────── running
 *     renames the control socket, tells the service manager
 *     released ────────────────►   READY, metrics listener, watchdog
 *
 * Until `go` the old process may thaw and go on as if nothing had happened; afterwards it never may, whatever the new one
 * says or does not say: a number used twice under one key gives the key away (RFC 5288 §3).
 */

/** Version of all this. A process that does not know it says `incompatible`. */
export const HANDOVER_FORMAT = 1;

const instant = z.number().transform((at) => at as Instant);

/** A change of the host as host-plan.ts describes it. */
const hostChange = z
  .strictObject({
    key: z.string(),
    family: z.literal([4, 6]),
    apply: z.string(),
    undo: z.string().optional(),
    text: z.string().optional(),
  })
  .transform(({ key, family, apply, undo, text }) => ({ key, family, apply, undo, text }));

/** What `Host` has set up and will take back. */
export const hostState = z.strictObject({
  device: z.string(),
  freeTable: z.int(),
  mtu: z.int(),
  applied: z.array(hostChange),
  switched: z.array(z.strictObject({ name: z.string(), before: z.string() })),
  /** Keys of rules that another daemon needs as well. */
  shared: z.array(z.string()),
});

/** What `Views` remembers. */
export const viewsState = z.strictObject({
  startedAt: instant,
  state: z.strictObject({ name: z.string(), since: instant }),
  lastReloadSuccessful: z.boolean(),
  /** What an instant lacks to its time of day, ms: so that an instant keeps its time. */
  clocks: z.number().optional(),
  warnings: z.array(z.string()),
});

/** What `Recorder` remembers of each peer. */
export const recorderState = z.array(
  z.strictObject({
    peer: z.string(),
    rtts: z.array(z.number()),
    failures: z.strictObject({ reason: z.string(), count: z.int() }).optional(),
    lastHandshake: z.strictObject({ durationMs: z.number(), suite: z.string(), endpoint: z.string() }).optional(),
  }),
);

/** Upgrades so far, for the counters. */
export const handoverHistory = z.strictObject({
  completed: z.int(),
  failed: z.int(),
  incompatible: z.int(),
  /** Seconds of each that was completed. */
  gaps: z.array(z.number()),
});

/** Everything but the data plane's state, which goes with it as octets. */
export const handedOver = z.strictObject({
  kind: z.literal('state'),
  frozenAt: instant,
  generation: z.int(),
  since: instant,
  /** Which of the descriptors that were passed the data plane goes on with, in its order: one may have gone meanwhile. */
  descriptors: z.array(z.int().min(0).max(1024)),
  /** How many were passed. */
  passed: z.int().min(0).max(1025),
  /** Packets dropped so far for want of room or keys, to tell how many the gap has cost. */
  dropped: z.int(),
  tunnel: tunnelState,
  host: hostState,
  views: viewsState,
  recorder: recorderState,
  history: handoverHistory,
});

/** See `handedOver`. */
export type HandedOver = z.output<typeof handedOver>;
/** As the old process writes it. */
export type HandoverDocument = z.input<typeof handedOver>;

/** From the old process. `prepare` is read loosely: a format this release does not know may have other fields. */
export const prepareMessage = z.object({
  kind: z.literal('prepare'),
  format: z.int(),
  version: z.string(),
  pid: z.int(),
  /** The settings in force as the text of a configuration. */
  settings: z.string(),
  /** What the state would be now: reading it once makes the reading fast that packets wait for. Means nothing else. */
  rehearsal: z.unknown(),
});

/** The word to go; nothing else may be taken for it. */
export const goMessage = z.object({ kind: z.literal('go') });

/** What the new process answers. */
export const successorMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('prepared'), version: z.string() }),
  z.object({ kind: z.literal('incompatible'), format: z.int() }),
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('running'), at: instant, droppedPackets: z.int() }),
  z.object({ kind: z.literal('failed'), error: errorReply.shape.error }),
]);

/** One of them. */
export type SuccessorMessage = z.output<typeof successorMessage>;

/** The descriptors of the new process: this one is the channel, the data plane's follow. */
export const CHANNEL_DESCRIPTOR = 3;
/** See `CHANNEL_DESCRIPTOR`. */
export const FIRST_DESCRIPTOR = 4;
