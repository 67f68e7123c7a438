import { z } from 'zod';
import { errorReply } from './protocol.ts';

/**
 * What a daemon that was started detached tells the command that started it, one JSON document a line, until it is ready
 * or has failed. Between one release and itself: not a public contract.
 */
export const startReport = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('change'), text: z.string() }),
  z.object({ kind: z.literal('warning'), text: z.string() }),
  z.object({ kind: z.literal('ready'), tunnel: z.string(), pid: z.int() }),
  z.object({ kind: z.literal('failed'), error: errorReply.shape.error }),
]);

/** One line of it. */
export type StartReport = z.infer<typeof startReport>;
