import { isDeepStrictEqual } from 'node:util';
import { ms } from '../../../src/base/brand.ts';
import { parseControlMessage, writeControlMessage } from '../../../src/tunnel/control-message.ts';
import { holds, type Target } from '../target.ts';

/** The plaintext of a control message from an authenticated peer, which may be another program or another version. */
export const controlMessages: Target = {
  name: 'control-messages',
  covers: /^tunnel\/control-message\.ts$/,
  executions: 20_000,
  seeds: [
    writeControlMessage({ type: 'probe', use: 'active', id: 7 }, 64),
    writeControlMessage({ type: 'probe-reply', use: 'standby', id: 7 }),
    writeControlMessage({ type: 'path-mtu-probe', id: 9, size: 100 }),
    writeControlMessage({ type: 'path-mtu-ack', id: 9, size: 1400 }),
    writeControlMessage({ type: 'path-challenge', token: new Uint8Array(8).fill(3) }),
    writeControlMessage({ type: 'path-response', token: new Uint8Array(8).fill(4) }),
    writeControlMessage({ type: 'drain', deadline: ms(30_000) }),
    writeControlMessage({ type: 'goodbye', why: 'stopping', pause: ms(1000) }),
    writeControlMessage({ type: 'rekey-request' }),
  ],
  run(input) {
    const message = parseControlMessage(input);
    if (message === undefined) return;
    const written = writeControlMessage(message, input.length);
    holds((written[0] ?? 255) < 0x10, 'no control message looks like an IP packet');
    holds(isDeepStrictEqual(parseControlMessage(written), message), 'what is written reads as what was read');
  },
};
