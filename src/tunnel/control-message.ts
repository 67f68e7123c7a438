import { type Duration, ms } from '../base/brand.ts';
import { assertNever } from '../base/invariant.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';

/**
 * What two ends that agreed on ALPN `dtunnel/1` say to each other inside application-data records. The first octet is
 * below 0x10, which no IP packet has. Receivers ignore types they do not know and octets behind those they do, so
 * messages may grow.
 *
 * ```
 *  octets  1     1     …
 *          type  use   id(4)  padding(n)         probe, path-MTU probe
 *          type  use   id(4)                     probe reply
 *          type  0     id(4)  size(2)            path-MTU ack; size = octets of the message it answers
 *          type  0     token(8)                  path challenge, path response
 *          type  0     deadline(4), ms           drain notice
 *          type  why   pause(4), ms              goodbye
 *          type  0                               rekey request
 * ```
 */
export type ControlMessage =
  /** Answer me. `use`: what the sender does with the association the probe came on. */
  | { readonly type: 'probe'; readonly use: Use; readonly id: number }
  | { readonly type: 'probe-reply'; readonly use: Use; readonly id: number }
  /** Confirm that a datagram of this size arrived (RFC 8899). */
  | { readonly type: 'path-mtu-probe'; readonly id: number; readonly size: number }
  | { readonly type: 'path-mtu-ack'; readonly id: number; readonly size: number }
  /** Show that you receive at the address this went to. */
  | { readonly type: 'path-challenge'; readonly token: Uint8Array }
  | { readonly type: 'path-response'; readonly token: Uint8Array }
  /** The sender stops in `deadline` at the latest: use another way if there is one. */
  | { readonly type: 'drain'; readonly deadline: Duration }
  /** The sender leaves on purpose; do not call for `pause`. */
  | { readonly type: 'goodbye'; readonly why: GoodbyeReason; readonly pause: Duration }
  /** The sender, server of this association, wants fresh keys. */
  | { readonly type: 'rekey-request' };

/** What an end does with an association: sends its traffic there, keeps it warm, or is leaving it. */
export type Use = 'standby' | 'active' | 'retiring';

/** Why somebody says goodbye. */
export type GoodbyeReason = 'stopping' | 'draining' | 'disabled' | 'removed';

/** Octets of a token in path challenges: unguessable off the path (RFC 9000 §8.2.1 has the same size). */
export const TOKEN_LENGTH = 8;

/** Octets of a path-MTU probe or padded probe without padding. */
export const PROBE_HEADER = 6;

/** The message in the plaintext of an application-data record; undefined when it is unknown or damaged. Copies tokens. */
export function parseControlMessage(plaintext: Uint8Array): ControlMessage | undefined {
  const r = new Reader(plaintext);
  const type = r.uint(1);
  const flags = r.uint(1);
  const message = parseBody(type, flags, r, plaintext.length);
  return r.ok ? message : undefined;
}

/** The plaintext of `message`, padded with zeros to `length` octets if that is longer. */
export function writeControlMessage(message: ControlMessage, length = 0): Uint8Array {
  const w = new Writer(Math.max(16, length));
  switch (message.type) {
    case 'probe':
    case 'probe-reply':
      w.uint(TYPES[message.type], 1).uint(USES.indexOf(message.use), 1).uint(message.id, 4);
      break;
    case 'path-mtu-probe':
      w.uint(TYPES[message.type], 1).uint(0, 1).uint(message.id, 4);
      return padded(w, Math.max(length, message.size));
    case 'path-mtu-ack':
      w.uint(TYPES[message.type], 1).uint(0, 1).uint(message.id, 4).uint(message.size, 2);
      break;
    case 'path-challenge':
    case 'path-response':
      w.uint(TYPES[message.type], 1).uint(0, 1).bytes(message.token);
      break;
    case 'drain':
      w.uint(TYPES.drain, 1).uint(0, 1).uint(clampMs(message.deadline), 4);
      break;
    case 'goodbye':
      w.uint(TYPES.goodbye, 1).uint(GOODBYES.indexOf(message.why), 1).uint(clampMs(message.pause), 4);
      break;
    case 'rekey-request':
      w.uint(TYPES['rekey-request'], 1).uint(0, 1);
      break;
    default:
      return assertNever(message, 'control message');
  }
  return padded(w, length);
}

function parseBody(type: number, flags: number, r: Reader, length: number): ControlMessage | undefined {
  switch (type) {
    case TYPES.probe:
    case TYPES['probe-reply']: {
      const use = USES[flags];
      const id = r.uint(4);
      if (use === undefined) return undefined;
      return { type: type === TYPES.probe ? 'probe' : 'probe-reply', use, id };
    }
    case TYPES['path-mtu-probe']:
      return { type: 'path-mtu-probe', id: r.uint(4), size: length };
    case TYPES['path-mtu-ack']:
      return { type: 'path-mtu-ack', id: r.uint(4), size: r.uint(2) };
    case TYPES['path-challenge']:
      return { type: 'path-challenge', token: r.view(TOKEN_LENGTH).slice() };
    case TYPES['path-response']:
      return { type: 'path-response', token: r.view(TOKEN_LENGTH).slice() };
    case TYPES.drain:
      return { type: 'drain', deadline: ms(r.uint(4)) };
    case TYPES.goodbye: {
      const why = GOODBYES[flags];
      const pause = ms(r.uint(4));
      return why === undefined ? undefined : { type: 'goodbye', why, pause };
    }
    case TYPES['rekey-request']:
      return { type: 'rekey-request' };
    default:
      return undefined;
  }
}

function padded(w: Writer, length: number): Uint8Array {
  if (w.length < length) w.bytes(new Uint8Array(length - w.length));
  return w.take();
}

function clampMs(duration: Duration): number {
  return Math.min(Math.max(Math.round(duration), 0), 0xffffffff);
}

const TYPES = {
  probe: 0x01,
  'probe-reply': 0x02,
  'path-mtu-probe': 0x03,
  'path-mtu-ack': 0x04,
  'path-challenge': 0x05,
  'path-response': 0x06,
  drain: 0x07,
  goodbye: 0x08,
  'rekey-request': 0x09,
} as const satisfies Record<ControlMessage['type'], number>;

const USES: readonly Use[] = ['standby', 'active', 'retiring'];
const GOODBYES: readonly GoodbyeReason[] = ['stopping', 'draining', 'disabled', 'removed'];
