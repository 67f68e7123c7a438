import type { Epoch, Fingerprint, SequenceNumber } from '../../../src/base/brand.ts';
import { writeRecord } from '../../../src/dtls/record.ts';
import { Writer } from '../../../src/wire/writer.ts';
import { CLIENT_IDENTITY, Pair, type PairOptions, SERVER_IDENTITY, type Side } from '../../support/pair.ts';
import { join } from '../mutate.ts';
import { holds, Script, type Target } from '../target.ts';

const COVERS = /^(dtls|crypto|wire)\/.*\.ts$/;

/**
 * A script of what a hostile network does to a handshake from its first datagram on: it loses, repeats, alters, cuts and
 * joins datagrams, and puts in its own. A forged message in clear may end the handshake, but never with the wrong peer,
 * with data that nobody sent, or with an exception.
 */
export const handshake: Target = {
  name: 'handshake',
  covers: COVERS,
  executions: 400,
  seeds: [
    Uint8Array.of(0),
    Uint8Array.of(7, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0),
    Uint8Array.of(15, 0, 3, 0, 0, 20, 1, 0, 0, 4, 1, 1, 30, 0, 0, 6, 0, 22, 0, 0, 5, 1, 2, 3, 4, 5),
    Uint8Array.from({ length: 200 }, (_, at) => (at * 41) & 255),
  ],
  run(input) {
    const script = new Script(input);
    const pair = new Pair(pairOptions(script));
    let only = 0;
    while (!script.over) {
      const kind = script.below(10);
      // Losing and repeating alone is what any network does.
      if (kind > 2) only = 1;
      hostile(kind, pair, script);
      checkSides(pair);
    }
    pair.drive(() => pair.established, 60_000);
    checkSides(pair);
    holds(only === 1 || pair.established, 'loss and repetition alone do not end a handshake');
  },
};

/**
 * A script of what a hostile network puts into an established association. Nothing of it may change anything: what the
 * two ends say to each other afterwards arrives, once, and nothing else does.
 */
export const established: Target = {
  name: 'established',
  covers: COVERS,
  executions: 400,
  seeds: [
    Uint8Array.of(0, 3, 0, 0, 0, 1, 1),
    Uint8Array.of(6, 5, 1, 23, 0, 1, 9, 40, 1, 2, 3, 5, 0, 21, 0, 0, 2, 2, 40),
    Uint8Array.from({ length: 160 }, (_, at) => (at * 59 + 3) & 255),
  ],
  run(input) {
    const script = new Script(input);
    const pair = new Pair({ ...pairOptions(script), quality: {} }).connect();
    pair.drive(() => false, 1000);
    pair.say('client', 'first');
    pair.drive(() => false, 1000);
    while (!script.over) {
      // Only what an attacker can do who does not hold up the honest datagrams.
      hostile(3 + script.below(5), pair, script);
      checkSides(pair);
    }
    pair.say('client', 'to the server');
    pair.say('server', 'to the client');
    pair.drive(() => false, 5000);
    holds(pair.client.closed === undefined && pair.accepted.closed === undefined, 'the association lives');
    holds(pair.accepted.texts.join() === 'first,to the server', 'the server gets what was said, once');
    holds(pair.client.texts.join() === 'to the client', 'the client gets what was said, once');
  },
};

/** Options of both sides from the first octet: connection ids, small datagrams, no cookies. */
function pairOptions(script: Script): PairOptions {
  const choice = script.uint(1);
  const maxDatagram = [1400, 300, 120, 64][choice & 3] ?? 1400;
  const ids = (choice & 4) !== 0;
  return {
    seed: 1 + (choice >> 4),
    cookies: (choice & 8) === 0,
    client: { maxDatagram, ...(ids ? { connectionId: Uint8Array.of(0xc1, 0xc2) } : {}) },
    server: { maxDatagram, ...(ids ? { connectionId: Uint8Array.of(0x51, 0x52, 0x53) } : {}) },
  };
}

/** One act of the network. 0 … 2 are honest networks' faults, 3 … 7 are forgeries, the rest is the application. */
function hostile(kind: number, pair: Pair, script: Script): void {
  const toServer = script.below(2) === 0;
  const link = toServer ? pair.link.toServer : pair.link.toClient;
  const inject = (datagram: Uint8Array): void => (toServer ? pair.toServer(datagram) : pair.toClient(datagram));
  switch (kind) {
    case 0:
      pair.drive(() => true, 0);
      advance(pair);
      return;
    case 1: {
      const nth = link.log.length + 1 + script.below(3);
      // Each is lost once at most, and no more than a flight or two in all: retransmission must win in time.
      if (nth < 40) link.drop({ nth });
      return;
    }
    case 2: {
      // Never the other direction's: networks repeat, they do not reflect.
      const again = link.log[script.below(link.log.length)];
      if (again !== undefined) inject(again);
      return;
    }
    case 3: {
      const forged = logged(pair, toServer, script).slice();
      const at = script.below(forged.length);
      forged[at] = (forged[at] ?? 0) ^ (1 + script.below(255));
      inject(forged);
      return;
    }
    case 4: {
      const whole = logged(pair, toServer, script);
      inject(script.below(2) === 0 ? whole.slice(0, script.below(whole.length)) : join(whole, script.take(12)));
      return;
    }
    case 5: {
      const [type, epoch, sequence] = [script.uint(1), script.below(3), script.uint(1)];
      const connectionId = type === 25 ? script.take(script.below(5)) : new Uint8Array(0);
      inject(forgedRecord(type, epoch, sequence, connectionId, script.take(script.below(80))));
      return;
    }
    case 6: {
      const fragment = new Writer(64)
        .uint(script.below(24), 1)
        .uint(script.uint(script.below(3) + 1), 3)
        .uint(script.below(9), 2)
        .uint(script.uint(script.below(2) + 1), 3)
        .vector(3, script.take(script.below(40)))
        .take();
      inject(forgedRecord(22, script.below(2), 100 + script.uint(1), new Uint8Array(0), fragment));
      return;
    }
    case 7:
      inject(join(logged(pair, toServer, script), logged(pair, !toServer, script)));
      return;
    case 8:
      pair.client.connection.setMaxDatagram(64 + script.uint(1));
      pair.server?.connection.setMaxDatagram(64 + script.uint(1));
      return;
    default:
      if (pair.client.session !== undefined) pair.say('client', `said ${script.uint(1)}`);
  }
}

/** Lets time pass to the next thing that is due. */
function advance(pair: Pair): void {
  const next = pair.deadline;
  if (next === undefined) return;
  pair.clock.advanceTo(next);
  pair.step();
}

/** A datagram that was sent in this direction, or in the other if none was. */
function logged(pair: Pair, toServer: boolean, script: Script): Uint8Array {
  const { log } = toServer ? pair.link.toServer : pair.link.toClient;
  return log[script.below(log.length)] ?? pair.link.toServer.log[0] ?? new Uint8Array(0);
}

function forgedRecord(
  type: number,
  epoch: number,
  sequence: number,
  connectionId: Uint8Array,
  fragment: Uint8Array,
): Uint8Array {
  return writeRecord({
    type,
    version: 0xfefd,
    epoch: epoch as Epoch,
    sequence: sequence as SequenceNumber,
    connectionId,
    fragment,
  });
}

/** What must hold of both ends at any time. */
function checkSides(pair: Pair): void {
  checkSide(pair.client, SERVER_IDENTITY.fingerprint);
  if (pair.server !== undefined) checkSide(pair.server, CLIENT_IDENTITY.fingerprint);
}

function checkSide(side: Side, peer: Fingerprint): void {
  holds(side.session === undefined || side.session.peer === peer, 'established means: with the pinned peer');
  holds(count(side, 'established') <= 1, 'a handshake completes once');
  holds(count(side, 'closed') <= 1, 'an association ends once');
  holds(side.closed === undefined || side.effects.at(-1) === 'closed', 'nothing comes after the end');
  holds((side.closed !== undefined) === (side.connection.state === 'closed'), 'the end is said');
  holds(side.connection.state !== 'closed' || side.connection.deadline === undefined, 'what is over waits for nothing');
  holds(
    side.texts.every((text) => text.startsWith('said ') || KNOWN_TEXTS.has(text)),
    'data is what the far end said',
  );
}

const KNOWN_TEXTS = new Set(['first', 'to the server', 'to the client']);

function count(side: Side, kind: string): number {
  return side.effects.filter((one) => one === kind).length;
}
