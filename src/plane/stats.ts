import type { Instant, PeerId, SessionSlot } from '../base/brand.ts';
import { invariant } from '../base/invariant.ts';
import type { AddonStats } from './binding.ts';
import type {
  DropCounters,
  DropReason,
  Offload,
  PeerStats,
  PlaneStats,
  SessionStats,
  UnattributedReason,
} from './plane.ts';

/** Drop reasons in the addon's order (`Drop` in native/plane/stats.h). */
export const DROP_REASONS = [
  'replay',
  'bad_mac',
  'not_allowed',
  'no_route',
  'too_big',
  'malformed',
  'queue_full',
  'rate_limited',
  'peer_down',
  'no_key',
  'send_error',
  'loop',
] as const satisfies readonly DropReason[];

/** Reasons of unattributed datagrams in the addon's order (`Unattributed` in native/plane/stats.h). */
export const UNATTRIBUTED_REASONS = [
  'unknown_session',
  'short',
  'bad_version',
  'not_dtls',
  'flood',
] as const satisfies readonly UnattributedReason[];

/** Offloads in the addon's order (`Offload` in native/plane/config.h); position i is bit i of a set. */
export const OFFLOADS = [
  'tun-tso',
  'tun-uso',
  'tun-coalesce-tcp',
  'tun-coalesce-udp',
  'udp-segment',
  'udp-gro',
] as const satisfies readonly Offload[];

/** Words of a row, by what `native/addon/plane_results.cc` writes. */
const DROP_WORDS = 2 * DROP_REASONS.length;
const GLOBAL_WORDS = 18 + UNATTRIBUTED_REASONS.length + DROP_WORDS;
const WORDS_BEFORE_DROPS = 7;
const PEER_WORDS = WORDS_BEFORE_DROPS + DROP_WORDS;

/** Words of a session, which the addon writes where it is told to. */
export const SESSION_WORDS = 7;

/** Of the many peers that have dropped nothing: one for all, which who reads it may know it by. */
export const NO_DROPS: DropCounters = { in: noCounts(), out: noCounts() };

/** The counters of `raw` as the rest of the program sees them. */
export function decodeStats(raw: AddonStats): PlaneStats {
  const words = new Words(raw.global, 0, GLOBAL_WORDS);
  const receive = { datagrams: words.next(), bytes: words.next(), calls: words.next(), overflows: words.next() };
  const transmit = { datagrams: words.next(), bytes: words.next(), calls: words.next() };
  const [extraRecords, handedUp, control] = [words.next(), words.next(), words.next()];
  const tun = {
    readPackets: words.next(),
    readCalls: words.next(),
    writePackets: words.next(),
    writeCalls: words.next(),
  };
  const packetTooBig = { v4: words.next(), v6: words.next() };
  const mssClamped = { v4: words.next(), v6: words.next() };
  return {
    at: raw.at as Instant,
    udp: {
      receiveDatagrams: receive.datagrams,
      receiveBytes: receive.bytes,
      transmitDatagrams: transmit.datagrams,
      transmitBytes: transmit.bytes,
      receiveOverflows: receive.overflows,
      extraRecords,
    },
    handedUp,
    control,
    unattributed: words.record(UNATTRIBUTED_REASONS),
    drops: words.drops(),
    tun,
    udpCalls: { receive: receive.calls, transmit: transmit.calls },
    packetTooBig,
    mssClamped,
    threads: raw.threads,
    memory: { sessions: raw.sessionOctets, buffers: raw.bufferOctets },
    peers: new Map(Array.from(raw.peerIds, (id, i) => [id as PeerId, new PeerRow(raw.peers, i)])),
    peerDrops: sumOfDrops(raw.peers),
    sessions: new Map(
      Array.from(raw.sessionSlots, (slot, i) => [slot as SessionSlot, new SessionRow(raw.sessions, i)]),
    ),
  };
}

/** The counters of one session; `words` may be written to again. */
export function decodeSession(words: BigUint64Array): SessionStats {
  const row = new SessionRow(words, 0);
  const { sealedRecords, sealedBytes, sealedLarge, openedRecords, openedBytes, failedOpens, lastReceive } = row;
  return { sealedRecords, sealedBytes, sealedLarge, openedRecords, openedBytes, failedOpens, lastReceive };
}

// Rows of ten thousand peers are a quarter of a million words, most of which nobody asks for: read when asked.

class PeerRow implements PeerStats {
  readonly #words: BigUint64Array;
  readonly #row: number;

  constructor(words: BigUint64Array, row: number) {
    this.#words = words;
    this.#row = row;
  }

  get receivePackets(): bigint {
    return this.#word(0);
  }

  get receiveBytes(): bigint {
    return this.#word(1);
  }

  get transmitPackets(): bigint {
    return this.#word(2);
  }

  get transmitBytes(): bigint {
    return this.#word(3);
  }

  get sequenceGaps(): bigint {
    return this.#word(4);
  }

  get reordered(): bigint {
    return this.#word(5);
  }

  get duplicates(): bigint {
    return this.#word(6);
  }

  get drops(): DropCounters {
    const first = this.#row * PEER_WORDS + WORDS_BEFORE_DROPS;
    if (isZero(this.#words, first, first + DROP_WORDS)) return NO_DROPS;
    const words = new Words(this.#words, this.#row, PEER_WORDS);
    words.skip(WORDS_BEFORE_DROPS);
    return words.drops();
  }

  #word(at: number): bigint {
    return wordAt(this.#words, this.#row * PEER_WORDS + at);
  }
}

class SessionRow implements SessionStats {
  readonly #words: BigUint64Array;
  readonly #from: number;

  constructor(words: BigUint64Array, row: number) {
    this.#words = words;
    this.#from = row * SESSION_WORDS;
  }

  get sealedRecords(): bigint {
    return wordAt(this.#words, this.#from);
  }

  get sealedBytes(): bigint {
    return wordAt(this.#words, this.#from + 1);
  }

  get openedRecords(): bigint {
    return wordAt(this.#words, this.#from + 2);
  }

  get openedBytes(): bigint {
    return wordAt(this.#words, this.#from + 3);
  }

  get failedOpens(): bigint {
    return wordAt(this.#words, this.#from + 4);
  }

  get lastReceive(): Instant | undefined {
    return instantOf(wordAt(this.#words, this.#from + 5));
  }

  get sealedLarge(): bigint {
    return wordAt(this.#words, this.#from + 6);
  }
}

function noCounts(): DropCounters['in'] {
  return Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0n])) as Record<DropReason, bigint>;
}

/** Drops of all peers' rows together. */
function sumOfDrops(rows: BigUint64Array): DropCounters {
  const sums = new BigUint64Array(DROP_WORDS);
  // Nearly all are zero, and looking at halves makes no bigint.
  const halves = new Uint32Array(rows.buffer, rows.byteOffset, rows.length * 2);
  for (let row = 0; row < rows.length; row += PEER_WORDS) {
    for (let word = 0; word < DROP_WORDS; word++) {
      const at = row + WORDS_BEFORE_DROPS + word;
      if (halves[2 * at] !== 0 || halves[2 * at + 1] !== 0) sums[word] = wordAt(sums, word) + wordAt(rows, at);
    }
  }
  return new Words(sums, 0, DROP_WORDS).drops();
}

/** Looking at halves makes no bigint. */
function isZero(words: BigUint64Array, from: number, to: number): boolean {
  const halves = new Uint32Array(words.buffer, words.byteOffset + from * 8, 2 * (to - from));
  return halves.every((half) => half === 0);
}

function wordAt(words: BigUint64Array, at: number): bigint {
  const word = words[at];
  invariant(word !== undefined, 'the addon and stats.ts agree on the size of a row');
  return word;
}

/** Nanoseconds of CLOCK_MONOTONIC as an Instant; zero means never. */
function instantOf(nanoseconds: bigint): Instant | undefined {
  return nanoseconds === 0n ? undefined : ((Number(nanoseconds) / 1e6) as Instant);
}

/** Reads one row of words front to back. */
class Words {
  readonly #words: BigUint64Array;
  #at: number;
  readonly #end: number;

  constructor(words: BigUint64Array, row: number, size: number) {
    this.#words = words;
    this.#at = row * size;
    this.#end = this.#at + size;
    invariant(this.#end <= words.length, 'the addon and stats.ts agree on the size of a row');
  }

  next(): bigint {
    const word = this.#at < this.#end ? this.#words[this.#at] : undefined;
    invariant(word !== undefined, 'the addon and stats.ts agree on the words of a row');
    this.#at += 1;
    return word;
  }

  skip(words: number): void {
    this.#at += words;
  }

  record<Name extends string>(names: readonly Name[]): Readonly<Record<Name, bigint>> {
    return Object.fromEntries(names.map((name) => [name, this.next()])) as Record<Name, bigint>;
  }

  drops(): DropCounters {
    return { in: this.record(DROP_REASONS), out: this.record(DROP_REASONS) };
  }
}
