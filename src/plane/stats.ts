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

/** Words of a row, by what `native/addon/plane_wrap.cc` writes. */
const DROP_WORDS = 2 * DROP_REASONS.length;
const GLOBAL_WORDS = 18 + UNATTRIBUTED_REASONS.length + DROP_WORDS;
const PEER_WORDS = 7 + DROP_WORDS;
const SESSION_WORDS = 6;

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
    peers: new Map(Array.from(raw.peerIds, (id, i) => [id as PeerId, decodePeer(new Words(raw.peers, i, PEER_WORDS))])),
    sessions: new Map(
      Array.from(raw.sessionSlots, (slot, i) => [
        slot as SessionSlot,
        decodeWords(new Words(raw.sessions, i, SESSION_WORDS)),
      ]),
    ),
  };
}

/** The counters of one session. */
export function decodeSession(words: BigUint64Array): SessionStats {
  return decodeWords(new Words(words, 0, SESSION_WORDS));
}

function decodePeer(words: Words): PeerStats {
  return {
    receivePackets: words.next(),
    receiveBytes: words.next(),
    transmitPackets: words.next(),
    transmitBytes: words.next(),
    sequenceGaps: words.next(),
    reordered: words.next(),
    duplicates: words.next(),
    drops: words.drops(),
  };
}

function decodeWords(words: Words): SessionStats {
  return {
    sealedRecords: words.next(),
    sealedBytes: words.next(),
    openedRecords: words.next(),
    openedBytes: words.next(),
    failedOpens: words.next(),
    lastReceive: instantOf(words.next()),
  };
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

  record<Name extends string>(names: readonly Name[]): Readonly<Record<Name, bigint>> {
    return Object.fromEntries(names.map((name) => [name, this.next()])) as Record<Name, bigint>;
  }

  drops(): DropCounters {
    return { in: this.record(DROP_REASONS), out: this.record(DROP_REASONS) };
  }
}
