import { type Epoch, MAX_SEQUENCE, nextSequence, type SequenceNumber } from '../base/brand.ts';
import { invariant } from '../base/invariant.ts';
import { err, ok, type Result } from '../base/result.ts';
import type { EpochKeys } from './effects.ts';
import type { EpochSecrets } from './handshake/step.ts';
import { KEY_LIMITS, type KeyLimits } from './limits.ts';
import { type Opened, openRecord, sealedOverhead, sealRecord } from './protection.ts';
import { RECORD_HEADER, type RecordView, writeRecord } from './record.ts';
import { ReplayWindow } from './replay.ts';
import { DTLS_1_2 } from './versions.ts';

/** Why nothing more can be sealed: numbers or the key are used up. */
export type Exhausted = 'sequence_exhausted' | 'aead_limit';

/**
 * Both epochs of an association that never renegotiates: 0 in clear and 1 under the agreed keys. The one owner of their
 * write counters, until `handOver` gives epoch 1 away: then it seals nothing more.
 */
export class Epochs {
  #plainNext: SequenceNumber | undefined;
  #protected: ProtectedEpoch | undefined;
  #handedOver = false;
  readonly #limits: KeyLimits;

  /** `firstPlain`: number of our first record in clear (RFC 6347 §4.2.1: a server takes that of the hello). */
  constructor(firstPlain: SequenceNumber, limits: KeyLimits = KEY_LIMITS) {
    this.#plainNext = firstPlain;
    this.#limits = limits;
  }

  /** Whether the keys of epoch 1 are known and still here. */
  get ready(): boolean {
    return this.#protected !== undefined;
  }

  /** Whether epoch 1 was given away. */
  get handedOver(): boolean {
    return this.#handedOver;
  }

  /** Number of our next record in clear; undefined once all are used. */
  get nextPlain(): SequenceNumber | undefined {
    return this.#plainNext;
  }

  /** The id that protected records to us must carry; empty: none. */
  get ourConnectionId(): Uint8Array {
    return this.#protected?.secrets.ids?.ours ?? NO_ID;
  }

  /** Octets that epoch 0 or 1 adds to a fragment. */
  overhead(epoch: 0 | 1): number {
    if (epoch === 0) return RECORD_HEADER;
    const { secrets } = this.#epoch1();
    return sealedOverhead(secrets.write, secrets.ids?.peers ?? NO_ID);
  }

  /** Takes the keys of epoch 1 into use. `firstProtected` is 0 outside tests. */
  install(secrets: EpochSecrets, firstProtected = 0 as SequenceNumber): void {
    invariant(this.#protected === undefined, 'epoch 1 gets its keys once');
    this.#protected = {
      secrets,
      window: new ReplayWindow(),
      next: firstProtected,
      sealed: 0,
      failedOpens: 0,
    };
  }

  /** A record of this epoch with `fragment`. */
  write(epoch: 0 | 1, contentType: number, fragment: Uint8Array): Result<Uint8Array, Exhausted> {
    return epoch === 0 ? this.#writePlain(contentType, fragment) : this.#seal(contentType, fragment);
  }

  /** What a record of epoch 1 holds, or why it is dropped. The replay window stays as it was: see `commit`. */
  open(record: RecordView): Opened | 'replay' | 'bad_mac' {
    const epoch = this.#epoch1();
    if (!epoch.window.check(record.sequence)) return 'replay';
    const opened = openRecord(epoch.secrets.read, record);
    if (opened === undefined) {
      epoch.failedOpens++;
      return 'bad_mac';
    }
    return opened;
  }

  /** Marks the number of an opened record as used, so that a replay of it is refused. */
  commit(sequence: SequenceNumber): void {
    this.#epoch1().window.commit(sequence);
  }

  /** True once more openings have failed under the read key than it may bear. */
  get forgedTooOften(): boolean {
    return (this.#protected?.failedOpens ?? 0) >= this.#limits.failedOpens;
  }

  /** Gives epoch 1 away: keys, counter and accepted numbers. */
  handOver(): EpochKeys {
    const { secrets, next, window } = this.#epoch1();
    this.#protected = undefined;
    this.#handedOver = true;
    return {
      epoch: EPOCH_1,
      read: secrets.read,
      write: secrets.write,
      nextWrite: next ?? MAX_SEQUENCE,
      accepted: window.accepted(),
      ourConnectionId: secrets.ids?.ours ?? NO_ID,
      peerConnectionId: secrets.ids?.peers ?? NO_ID,
      connectionIdsAgreed: secrets.ids !== undefined,
    };
  }

  /** Overwrites the keys that are still here. */
  wipe(): void {
    this.#protected?.secrets.read.wipe();
    this.#protected?.secrets.write.wipe();
    this.#protected = undefined;
  }

  #epoch1(): ProtectedEpoch {
    invariant(this.#protected !== undefined, 'epoch 1 has keys');
    return this.#protected;
  }

  #writePlain(contentType: number, fragment: Uint8Array): Result<Uint8Array, Exhausted> {
    const sequence = this.#plainNext;
    if (sequence === undefined) return err('sequence_exhausted');
    this.#plainNext = nextSequence(sequence);
    const header = { type: contentType, version: DTLS_1_2, epoch: EPOCH_0, sequence, connectionId: NO_ID };
    return ok(writeRecord({ ...header, fragment }));
  }

  #seal(contentType: number, fragment: Uint8Array): Result<Uint8Array, Exhausted> {
    const epoch = this.#epoch1();
    const { secrets, next } = epoch;
    if (next === undefined) return err('sequence_exhausted');
    if (epoch.sealed >= this.#limits.sealed[secrets.write.aead]) return err('aead_limit');
    epoch.next = nextSequence(next);
    epoch.sealed++;
    return ok(sealRecord(secrets.write, EPOCH_1, next, secrets.ids?.peers ?? NO_ID, contentType, fragment));
  }
}

interface ProtectedEpoch {
  readonly secrets: EpochSecrets;
  readonly window: ReplayWindow;
  /** Number of the next record to seal; undefined once all are used. */
  next: SequenceNumber | undefined;
  sealed: number;
  failedOpens: number;
}

const EPOCH_0 = 0 as Epoch;
const EPOCH_1 = 1 as Epoch;
const NO_ID = new Uint8Array(0);
