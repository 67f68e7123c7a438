import { isDeepStrictEqual } from 'node:util';
import { HANDSHAKE_HEADER, parseMessage, writeMessage } from '../../../src/dtls/messages/message.ts';
import { HANDSHAKE_CODES, handshakeTypeOf } from '../../../src/dtls/messages/types.ts';
import { fragmentsIn } from '../../../src/dtls/handshake/reassembly.ts';
import { recordsIn } from '../../../src/dtls/record.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { Pair } from '../../support/pair.ts';
import { join } from '../mutate.ts';
import { holds, type Target } from '../target.ts';

/** The first octet is a handshake type, the rest its body. */
export const messages: Target = {
  name: 'messages',
  covers: /^dtls\/(messages|extensions)\/.*\.ts$/,
  executions: 20_000,
  seeds: honestMessages(),
  run(input) {
    const type = handshakeTypeOf(input[0] ?? 0);
    if (type === undefined) return;
    const message = parseMessage(type, input.subarray(1));
    if (message === undefined) return;
    holds(message.type === type, 'a message is of the type that was asked for');
    const body = writeMessage(message, 5).subarray(HANDSHAKE_HEADER);
    const again = parseMessage(type, body);
    holds(isDeepStrictEqual(plain(again), plain(message)), 'what is written reads as what was read');
    holds(body.length <= input.length + 2, 'nothing grows by being read and written');
  },
  mutate: changeLength,
};

/** Changes one of the length fields a body consists of: two octets that say how much is left, or nearly. */
function changeLength(input: Uint8Array, random: SeededRandom): Uint8Array {
  const out = input.slice();
  const fields: number[] = [];
  for (let at = 1; at + 1 < out.length; at++) {
    const one = out[at] ?? 0;
    const two = one * 256 + (out[at + 1] ?? 0);
    if (two > 0 && at + 2 + two <= out.length) fields.push(at + 1);
    if (one > 0 && at + 1 + one === out.length) fields.push(at);
  }
  const at = fields[random.below(Math.max(1, fields.length))];
  if (at !== undefined) out[at] = (out[at] ?? 0) + ([-2, -1, 1, 2][random.below(5)] ?? 127);
  // Half of the time the body really is so long.
  if (at !== undefined && random.chance(0.5)) {
    return random.chance(0.5)
      ? join(out.subarray(0, at + 1), random.random(1), out.subarray(at + 1))
      : out.slice(0, -1);
  }
  return out;
}

/** Every message of a real handshake, and of one with connection ids and protocols. */
function honestMessages(): Uint8Array[] {
  const out: Uint8Array[] = [];
  const offers = { protocols: ['dtunnel/1'], connectionId: Uint8Array.of(1, 2, 3, 4), maxDatagram: 65_000 };
  for (const options of [{ maxDatagram: 65_000 }, offers]) {
    const pair = new Pair({ client: options, server: options }).connect();
    for (const datagram of [...pair.link.toServer.log, ...pair.link.toClient.log]) {
      for (const record of recordsIn(datagram, 0)) {
        if (record === undefined || record.type !== 22 || record.epoch !== 0) continue;
        for (const fragment of fragmentsIn(record.fragment)) {
          if (fragment !== undefined) out.push(join(Uint8Array.of(fragment.code), fragment.data));
        }
      }
    }
  }
  out.push(join(Uint8Array.of(HANDSHAKE_CODES.finished), new Uint8Array(12)));
  return out;
}

/** Without the kinds of array that views and copies differ in. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
