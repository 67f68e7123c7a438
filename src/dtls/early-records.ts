import { MAX_EARLY_OCTETS, MAX_EARLY_RECORDS } from './limits.ts';
import type { RecordView } from './record.ts';

/**
 * Protected records that came before their keys: the end of a flight that overtook its middle. Unauthenticated, hence few;
 * the newest stay, so that forged ones keep the true one out for no longer than its next repetition.
 */
export class EarlyRecords {
  #records: RecordView[] = [];

  /** Keeps a copy; yields how many older ones had to go. */
  keep(record: RecordView): number {
    this.#records.push({
      ...record,
      connectionId: record.connectionId.slice(),
      fragment: record.fragment.slice(),
    });
    let octets = this.#records.reduce((sum, kept) => sum + kept.fragment.length, 0);
    let gone = 0;
    while (this.#records.length > MAX_EARLY_RECORDS || octets > MAX_EARLY_OCTETS) {
      octets -= this.#records.shift()?.fragment.length ?? 0;
      gone++;
    }
    return gone;
  }

  /** Yields all that are kept, in order of arrival, and keeps none. */
  take(): readonly RecordView[] {
    const records = this.#records;
    this.#records = [];
    return records;
  }
}
