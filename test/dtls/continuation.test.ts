import { describe, expect, it } from 'vitest';
import type { SequenceNumber } from '../../src/base/brand.ts';
import { ALERTS, writeAlert } from '../../src/dtls/alert.ts';
import { type Continuation, ContinuedConnection } from '../../src/dtls/continuation.ts';
import type { Effect } from '../../src/dtls/effects.ts';
import { CONTENT, recordsIn } from '../../src/dtls/record.ts';
import { Writer } from '../../src/wire/writer.ts';

/** A server whose last flight answered message 4. */
const SERVER: Continuation = {
  lastFlight: { answers: 4, nextPlain: 9 as SequenceNumber, finished: Uint8Array.from({ length: 24 }, (_, i) => i) },
  renegotiationAlerts: 0,
};
const CLIENT: Continuation = { lastFlight: undefined, renegotiationAlerts: 0 };

function message(type: number, sequence: number, length = 12): Uint8Array {
  return new Writer()
    .uint(type, 1)
    .uint(length, 3)
    .uint(sequence, 2)
    .uint(0, 3)
    .vector(3, new Uint8Array(length))
    .take();
}

function effects(connection: ContinuedConnection): Effect[] {
  const all: Effect[] = [];
  for (let effect = connection.poll(); effect !== undefined; effect = connection.poll()) all.push(effect);
  return all;
}

const FINISHED = 20;
const CLIENT_HELLO = 1;

describe('an association that another process established', () => {
  it('sends the last flight again when Finished comes again, with the next number in clear', () => {
    const connection = new ContinuedConnection(SERVER);
    for (const expected of [9, 10]) {
      connection.receiveOpened(CONTENT.handshake, message(FINISHED, 4));
      const [change, finished] = effects(connection);
      if (change?.kind !== 'transmit') throw new Error('no ChangeCipherSpec');
      const [record] = recordsIn(change.datagram, 0);
      expect(record).toMatchObject({ type: CONTENT.changeCipherSpec, epoch: 0, sequence: expected });
      expect(finished).toEqual({ kind: 'seal', contentType: 22, fragment: SERVER.lastFlight?.finished });
    }
    expect(connection.continuation()?.lastFlight?.nextPlain).toBe(11);
  });

  it('sends it once for a message in many pieces, and for no other message', () => {
    const connection = new ContinuedConnection(SERVER);
    const twice = new Writer().bytes(message(FINISHED, 4)).bytes(message(FINISHED, 4)).take();
    connection.receiveOpened(CONTENT.handshake, twice);
    expect(effects(connection)).toHaveLength(2);
    connection.receiveOpened(CONTENT.handshake, message(FINISHED, 5));
    connection.receiveOpened(CONTENT.handshake, message(11, 4));
    connection.receiveOpened(CONTENT.handshake, Uint8Array.of(20, 0));
    expect(effects(connection)).toEqual([]);
    const client = new ContinuedConnection(CLIENT);
    client.receiveOpened(CONTENT.handshake, message(FINISHED, 4));
    expect(effects(client)).toEqual([]);
  });

  it('refuses renegotiation a bounded number of times, counted on by the next process', () => {
    let connection = new ContinuedConnection(CLIENT);
    let refused = 0;
    for (let i = 0; i < 40; i++) {
      connection.receiveOpened(CONTENT.handshake, message(CLIENT_HELLO, 7, 40));
      refused += effects(connection).length;
      connection = new ContinuedConnection(connection.continuation() ?? CLIENT);
    }
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(10);
  });

  it('answers close_notify in kind and ends; a fatal alert ends it, a warning does not', () => {
    const closed = new ContinuedConnection(SERVER);
    closed.receiveOpened(CONTENT.alert, writeAlert('close_notify'));
    expect(effects(closed)).toMatchObject([
      { kind: 'seal', contentType: 21, fragment: writeAlert('close_notify') },
      { kind: 'closed', reason: { code: 'closed', by: 'peer' } },
    ]);
    expect([closed.state, closed.continuation()]).toEqual(['closed', undefined]);
    closed.receiveOpened(CONTENT.alert, writeAlert('close_notify'));
    closed.close('closed');
    expect(effects(closed)).toEqual([]);
    const fatal = new ContinuedConnection(SERVER);
    fatal.receiveOpened(CONTENT.alert, Uint8Array.of(1, ALERTS.user_canceled));
    expect(effects(fatal)).toEqual([]);
    fatal.receiveOpened(CONTENT.alert, Uint8Array.of(2, ALERTS.internal_error));
    expect(effects(fatal)).toMatchObject([{ kind: 'closed', reason: { code: 'peer_alert', alert: 80 } }]);
  });

  it('tells the peer when it is closed here', () => {
    const connection = new ContinuedConnection(CLIENT);
    connection.close('closed');
    expect(effects(connection)).toMatchObject([
      { kind: 'seal', contentType: 21, fragment: writeAlert('close_notify') },
      { kind: 'closed', reason: { code: 'closed', by: 'local', alert: 0 } },
    ]);
  });
});
