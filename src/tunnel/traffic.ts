import type { SessionReadings } from './face.ts';

/** What of it another process goes on from. */
export interface TrafficState {
  readonly ownSealed: number;
  readonly ownOpened: number;
  readonly sealedSeen: number;
  readonly openedSeen: number;
}

/**
 * The data plane's counters of one session, and which part of them was inner packets: all records but those that we had
 * sealed and those that came up to us.
 */
export class Traffic {
  readonly #read: () => SessionReadings | undefined;
  #readings = NO_READINGS;
  /** Records of ours that the data plane sealed, and of the peer's that were no inner packets. */
  #ownSealed = 0;
  #ownOpened = 0;
  /** Inner packets at the last `take`. */
  #sealedSeen = 0;
  #openedSeen = 0;

  constructor(read: () => SessionReadings | undefined) {
    this.#read = read;
  }

  /** The counters as of the last look at them; zero when the data plane knew nothing of the session. */
  get readings(): SessionReadings {
    return this.#readings;
  }

  /** Looks at the counters. */
  look(): void {
    this.#readings = this.#read() ?? NO_READINGS;
  }

  /** A record of ours goes out that is no inner packet. */
  sealedOwn(): void {
    this.#ownSealed++;
  }

  /** A record came up that was no inner packet. */
  openedOwn(): void {
    this.#ownOpened++;
  }

  /** As of the last look: inner packets went either way since `take`. */
  get flowed(): boolean {
    return this.#sealed > this.#sealedSeen || this.#opened > this.#openedSeen;
  }

  /** Which way inner packets went since it was last called, as of the last look. */
  take(): { readonly sent: boolean; readonly came: boolean } {
    const [sealed, opened] = [this.#sealed, this.#opened];
    const news = { sent: sealed > this.#sealedSeen, came: opened > this.#openedSeen };
    this.#sealedSeen = Math.max(sealed, this.#sealedSeen);
    this.#openedSeen = Math.max(opened, this.#openedSeen);
    return news;
  }

  /** For another process to go on with. */
  export(): TrafficState {
    return {
      ownSealed: this.#ownSealed,
      ownOpened: this.#ownOpened,
      sealedSeen: this.#sealedSeen,
      openedSeen: this.#openedSeen,
    };
  }

  /** Goes on with what another process had counted. */
  continueFrom(state: TrafficState): void {
    this.#ownSealed = state.ownSealed;
    this.#ownOpened = state.ownOpened;
    this.#sealedSeen = state.sealedSeen;
    this.#openedSeen = state.openedSeen;
  }

  get #sealed(): number {
    return Number(this.#readings.sealedRecords) - this.#ownSealed;
  }

  get #opened(): number {
    return Number(this.#readings.openedRecords) - this.#ownOpened;
  }
}

const NO_READINGS: SessionReadings = {
  sealedRecords: 0n,
  sealedBytes: 0n,
  sealedLarge: 0n,
  openedRecords: 0n,
  openedBytes: 0n,
  failedOpens: 0n,
  lastReceive: undefined,
};
