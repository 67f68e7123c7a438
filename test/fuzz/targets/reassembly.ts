import { Reassembly } from '../../../src/dtls/handshake/reassembly.ts';
import { MAX_REASSEMBLY_OCTETS } from '../../../src/dtls/limits.ts';
import { HANDSHAKE_HEADER } from '../../../src/dtls/messages/message.ts';
import { equalBytes } from '../../../src/wire/bytes.ts';
import { holds, Script, type Target } from '../target.ts';

const HONEST = Uint8Array.from({ length: 700 }, (_, at) => (at * 13 + (at >> 3)) & 255);
const CERTIFICATE = 11;

/**
 * A script of fragments, hostile and honest, then the honest message in whole, cut as the first octet says: it must come
 * out whatever was said before, since what is said last counts.
 */
export const reassembly: Target = {
  name: 'reassembly',
  covers: /^dtls\/handshake\/reassembly\.ts$/,
  executions: 5_000,
  seeds: [
    Uint8Array.of(50, 0, 0, 10, 1, 0, 100, 2, 0, 0, 50),
    Uint8Array.of(255, 1, 11, 2, 188, 0, 0, 0, 10, 7, 1, 11, 2, 188, 0, 0, 5, 20, 9, 1, 16, 0, 30, 0, 0, 0, 30, 1),
    claims(9_000),
    claims(16_000),
    Uint8Array.from({ length: 600 }, (_, at) => (at * 37) & 255),
  ],
  run(input) {
    const script = new Script(input);
    const size = 1 + script.uint(1);
    const subject = new Reassembly(3);
    while (!script.over) {
      const honest = script.below(3) === 0;
      if (honest) addHonest(subject, script.below(700), script.below(700));
      else addHostile(subject, script);
      holds(subject.octets >= 0 && subject.octets <= MAX_REASSEMBLY_OCTETS, 'memory is bounded');
      // A hostile message may well be whole; the honest one is then the next.
      if (script.below(4) === 0 && subject.ready !== undefined) {
        const message = subject.take();
        holds(message !== undefined && message.raw.length === HANDSHAKE_HEADER + message.body.length, 'taken is whole');
      }
    }
    subject.clear();
    holds(subject.octets === 0, 'clearing leaves nothing');
    for (let at = 0; at < HONEST.length; at += size) addHonest(subject, at, size);
    const message = subject.take();
    holds(message !== undefined && equalBytes(message.body, HONEST), 'the honest message comes out');
    holds(subject.octets === 0, 'nothing is left of it');
  },
};

/** A script of beginnings of large certificates, one after the other: what they claim is more than may be kept. */
function claims(length: number): Uint8Array {
  const one = (ahead: number): number[] => [1, CERTIFICATE, 1, length >> 8, length & 255, ahead + 2, 0, 0, 1, 0xaa, 1];
  return Uint8Array.from([200, ...[0, 1, 2, 3, 4, 5, 6, 7].flatMap(one)]);
}

function addHonest(subject: Reassembly, offset: number, size: number): void {
  const data = HONEST.subarray(offset, offset + size);
  subject.add({ code: CERTIFICATE, length: HONEST.length, sequence: subject.next, offset, data });
}

function addHostile(subject: Reassembly, script: Script): void {
  const [code, length, ahead] = [script.uint(1) % 24, script.uint(script.below(2) + 1), script.uint(1) % 12];
  const offset = script.uint(script.below(2) + 1);
  subject.add({ code, length, sequence: subject.next + ahead - 2, offset, data: script.take(script.uint(1)) });
}
