import type { Epoch, SequenceNumber } from '../../../src/base/brand.ts';
import { parseAlert } from '../../../src/dtls/alert.ts';
import { recordsIn, writeRecord } from '../../../src/dtls/record.ts';
import { equalBytes } from '../../../src/wire/bytes.ts';
import { join } from '../mutate.ts';
import { holds, type Target } from '../target.ts';

/** The first octet is the length of the connection id that records to us carry; the rest is a datagram. */
export const records: Target = {
  name: 'records',
  covers: /^(dtls\/(record|alert)|wire\/.*)\.ts$/,
  executions: 20_000,
  seeds: [
    join(Uint8Array.of(0), record(22, 0, 0, 40), record(20, 0, 1, 1)),
    join(Uint8Array.of(6), record(25, 6, 7, 60), record(23, 0, 8, 30), record(21, 0, 9, 2)),
    Uint8Array.of(255),
  ],
  run(input) {
    const idLength = input[0] ?? 0;
    const datagram = input.subarray(1);
    let at = 0;
    for (const view of recordsIn(datagram, idLength)) {
      if (view === undefined) {
        at = datagram.length;
        break;
      }
      const written = writeRecord(view);
      holds(equalBytes(written, datagram.subarray(at, at + written.length)), 'a record is written as it was read');
      at += written.length;
      const alert = parseAlert(view.fragment);
      holds(alert === undefined || view.fragment.length === 2, 'an alert has two octets');
    }
    holds(at === datagram.length, 'the records are all of the datagram');
  },
};

function record(type: number, idLength: number, sequence: number, length: number): Uint8Array {
  return writeRecord({
    type,
    version: 0xfefd,
    epoch: 1 as Epoch,
    sequence: sequence as SequenceNumber,
    connectionId: new Uint8Array(idLength).fill(0xc1),
    fragment: new Uint8Array(length).fill(length),
  });
}
