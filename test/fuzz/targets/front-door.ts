import type { Instant } from '../../../src/base/brand.ts';
import { Connection } from '../../../src/dtls/connection.ts';
import { Listener } from '../../../src/dtls/listener.ts';
import { fragmentsIn } from '../../../src/dtls/handshake/reassembly.ts';
import { parseClientHello } from '../../../src/dtls/messages/client-hello.ts';
import { recordsIn } from '../../../src/dtls/record.ts';
import { equalBytes } from '../../../src/wire/bytes.ts';
import { CLIENT_ADDRESS, Pair, sideOptions } from '../../support/pair.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { holds, type Target } from '../target.ts';

const NOW = 1000 as Instant;

/** A listener whose secrets are the same each time, so that the cookies in the seeds are good. */
function listener(): Listener {
  return new Listener({ crypto: new SeededRandom(4711) });
}

/** The hellos of an honest client: without a cookie, and with the right one for CLIENT_ADDRESS. */
const [FIRST, SECOND] = honestHellos();

/** A first datagram from an unproven address. */
export const frontDoor: Target = {
  name: 'front-door',
  covers: /^dtls\/(listener|cookie|record|handshake\/(reassembly|server)|messages\/client-hello|extensions\/.*)\.ts$/,
  executions: 5_000,
  seeds: [FIRST, SECOND],
  run(input) {
    const door = listener();
    const verdict = door.receive(CLIENT_ADDRESS, input, NOW);
    if (verdict.kind === 'challenge') {
      // RFC 6347 §4.2.1: no amplification.
      holds(verdict.reply.length <= input.length, 'an answer is no larger than the question');
    }
    if (verdict.kind !== 'accept') return;
    // Nobody makes a cookie by chance: it is the seed's, for the seed's hello.
    holds(equalBytes(randomOf(input), randomOf(SECOND)), 'a cookie is good for its own hello only');
    const elsewhere = door.receive(Uint8Array.of(1, 2, 3, 4, 5, 6), input, NOW);
    holds(elsewhere.kind !== 'accept', 'a cookie is good for its own address only');
    const connection = new Connection(sideOptions('server', new SeededRandom(5)), verdict.hello);
    connection.start(NOW);
    let octets = 0;
    for (let effect = connection.poll(); effect !== undefined; effect = connection.poll()) {
      if (effect.kind === 'transmit') octets += effect.datagram.length;
    }
    holds(octets < 4000, 'a proven address gets one flight');
  },
};

function honestHellos(): [Uint8Array, Uint8Array] {
  const pair = new Pair({ client: { protocols: ['dtunnel/1'], connectionId: Uint8Array.of(1, 2, 3) } });
  const [first] = pair.link.toServer.log;
  if (first === undefined) throw new Error('a client says hello');
  const verdict = listener().receive(CLIENT_ADDRESS, first, NOW);
  if (verdict.kind !== 'challenge') throw new Error('a first hello is challenged');
  pair.toClient(verdict.reply);
  const second = pair.link.toServer.log.at(-1);
  if (second === undefined || listener().receive(CLIENT_ADDRESS, second, NOW).kind !== 'accept') {
    throw new Error('a hello with its cookie is accepted');
  }
  return [first, second];
}

function randomOf(datagram: Uint8Array): Uint8Array {
  const [record] = recordsIn(datagram, 0);
  const [fragment] = record === undefined ? [] : fragmentsIn(record.fragment);
  const hello = fragment === undefined ? undefined : parseClientHello(fragment.data);
  return hello?.random ?? new Uint8Array(0);
}
