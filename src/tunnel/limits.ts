import { type Duration, ms, seconds } from '../base/brand.ts';

/** Every bound and timer default of the tunnel logic, with its unit and where it comes from. */

/** ALPN name (RFC 7301) of a far end that understands our control messages and takes several records in a datagram. */
export const PROTOCOL = 'dtunnel/1';

// --- Calling -----------------------------------------------------------------------------------------------------

/** Head start of one address family over the next: the connection attempt delay of RFC 8305 §5. */
export const FAMILY_STAGGER: Duration = ms(250);

/** Head start of one endpoint over the next when nothing is up. */
export const ENDPOINT_STAGGER: Duration = seconds(1);

/** Addresses tried per endpoint and round; resolvers may answer with hundreds. */
export const MAX_ADDRESSES_PER_ENDPOINT = 6;

/** An attempt that has not completed by then has failed. Five retransmissions fit in at the timers below. */
export const CALL_TIMEOUT: Duration = seconds(15);

/**
 * First retransmission timeout of a flight while the path's RTT is unknown. RFC 6347 §4.2.4.1 suggests 1 s and allows
 * less where latency matters: a gateway that is down is such a place, and a ClientHello a second harms nobody.
 */
export const CALL_TIMER_UNKNOWN: Duration = ms(300);

/** The same once an RTT is known: twice the retransmission timeout of RFC 6298, within these bounds. */
export const CALL_TIMER_MIN: Duration = ms(100);
export const CALL_TIMER_MAX: Duration = seconds(1);

/** Ceiling of the doubling. RFC 6347 says 60 s; with a third of all datagrams lost a flight needs several tries a second apart. */
export const CALL_TIMER_CEILING: Duration = seconds(1);

/** First pause after a failed attempt; doubles, with jitter. */
export const RETRY_FIRST: Duration = ms(250);

/**
 * Peers that are called where they were last met when a daemon starts: at once, and then per second. They notice by
 * themselves in the end; this only spares them the silence.
 */
export const RECALL_BURST = 200;
export const RECALL_RATE = 500;

/** Every so often some of them are called, unless this process is behind with its work by more than that. */
export const RECALL_INTERVAL: Duration = ms(20);
export const RECALL_LATENESS: Duration = ms(50);

/** Longest pause after an attempt that was answered and refused. */
export const RETRY_MAX: Duration = seconds(30);

/** Longest pause after an attempt that nobody answered: a single small datagram costs the silent site nothing. */
export const RETRY_MAX_SILENT: Duration = seconds(2);

/** A handshake that has heard nothing for this long gives way to one that the far end begins. */
export const CALL_STALLED: Duration = ms(1500);

/** A handshake that only asks whether the peer knows another certificate of ours. */
export const TRIAL_TIMEOUT: Duration = seconds(5);

/** Datagram sizes for handshake flights by the age of the handshake: a path may be narrower than anybody thinks. */
export const FLIGHT_SIZES = [
  { after: ms(0), octets: 1200 },
  { after: seconds(2), octets: 548 },
  { after: seconds(5), octets: 256 },
] as const;

// --- Names -------------------------------------------------------------------------------------------------------

/** Bounds on how long an answer of the resolver is believed. */
export const DNS_TTL_MIN: Duration = seconds(5);
export const DNS_TTL_MAX: Duration = seconds(3600);

/** Taken when the resolver tells no TTL (getaddrinfo does not). */
export const DNS_TTL_UNKNOWN: Duration = seconds(60);

/** Pause after a failed look-up; doubles up to the unknown TTL. */
export const DNS_RETRY: Duration = seconds(2);

/** Least pause between look-ups of one name because its endpoint is silent. */
export const DNS_SILENCE_INTERVAL: Duration = seconds(5);

// --- Associations ------------------------------------------------------------------------------------------------

/** How long a replaced association stays readable at least: late packets and a switching far end. */
export const GRACE_MIN: Duration = seconds(5);

/** The same as a multiple of the path's RTT, and its ceiling. */
export const GRACE_RTTS = 3;
export const GRACE_MAX: Duration = seconds(30);

/** A replaced association on which records still arrive is retired nevertheless after this long. */
export const RETIRE_HARD: Duration = seconds(60);

/** Silence on a replaced association that shows that the far end has left it. */
export const RETIRE_QUIET: Duration = seconds(2);

/** An association that carries nothing of ours and is silent for this long is retired. */
export const UNUSED_SILENCE: Duration = seconds(90);

/** How long a server sends on the old association while it waits for the first record on the new one of a plain peer. */
export const CONFIRM_WAIT: Duration = seconds(3);

/** A dead association keeps its keys this long: when the path comes back no handshake is needed. */
export const DEAD_LINGER: Duration = seconds(120);

/** Established associations per peer: current, standby, previous of each, and two that are being replaced. */
export const MAX_ASSOCIATIONS_PER_PEER = 6;

/** Slots rest this long before they are used again, so that late records meet nobody. Twice the longest segment lifetime seen in practice (30 s). */
export const SLOT_QUARANTINE: Duration = seconds(60);

/** Slots: the table index in a connection id has 3 octets. */
export const MAX_SLOTS = 2 ** 24;

/** Octets of the connection ids we issue: 3 of slot, 5 random. */
export const CONNECTION_ID_LENGTH = 8;

// --- Front door --------------------------------------------------------------------------------------------------

/** Half-open server handshakes when MaxHandshakes is auto. */
export const HALF_OPEN_AUTO = 1024;

/** Share of the half-open table that strangers (no configured or recent address) may fill. */
export const HALF_OPEN_STRANGERS = 0.75;

/** A half-open handshake is ended after this long. */
export const HALF_OPEN_TIMEOUT: Duration = seconds(15);

/** One that has said nothing for this long gives way to our own call along the same path: both may have given up theirs. */
export const HALF_OPEN_STALLED: Duration = seconds(3);

/** Octets one half-open handshake may receive: two chains of certificates with retransmissions. */
export const HALF_OPEN_BYTES = 64 * 1024;

/** Handshakes with public-key work that one source may start: per second, and at once (several sites behind one NAT). */
export const SOURCE_HANDSHAKE_RATE = 10;
export const SOURCE_HANDSHAKE_BURST = 30;

/**
 * The same for all strangers together: after a restart every site is one, and ten thousand of them are to be back in ten
 * seconds; accepting a hello costs a key pair and a signature, a quarter of a core at this rate.
 */
export const STRANGER_HANDSHAKE_RATE = 1000;
export const STRANGER_HANDSHAKE_BURST = 2000;

/** Sources remembered for rate limits; the longest unused is forgotten. */
export const MAX_SOURCES = 4096;

/** Certificates that were refused lately and are remembered with where they called from: the next reload may admit them. */
export const MAX_REFUSED = 256;

/** Hellos remembered whose handshake is over: those of ten thousand sites that came back at once, with room. */
export const MAX_SPENT_HELLOS = 16_384;

/** Calls back to the source of records of an unknown session: per source, and in all. */
export const CALLBACK_SOURCE_INTERVAL: Duration = ms(500);
export const CALLBACK_RATE = 50;
export const CALLBACK_BURST = 200;

/** An association is probed at most this often because of alerts in the clear, which anybody can send. */
export const DOUBT_INTERVAL: Duration = seconds(1);

/** Octets sent to an address that has not proven itself, as a multiple of those received from it (RFC 9000 §8.1). */
export const UNPROVEN_FACTOR = 3;

/** Probes after the first unanswered one are padded to this record size, so that a restarted end may answer with a hello. */
export const PADDED_PROBE = 400;

// --- Liveness ----------------------------------------------------------------------------------------------------

/** Idle time before a probe when PersistentKeepalive is auto: below the 30 s after which NATs forget (RFC 4787 REQ-5 allows 2 min, many keep 30 s). */
export const KEEPALIVE_AUTO: Duration = seconds(25);

/** The client asks this share of its keepalive early, so that one end's probe serves both: it is the one behind a NAT, mostly. */
export const KEEPALIVE_LEAD = 0.04;

/** An idle end that is asked by the other asks once in so many keepalives, for an RTT of its own. */
export const KEEPALIVES_PER_MEASURE = 4;

/** While traffic flows: a probe this often, for RTT and loss. All peers together are measured at most 500 times a second. */
export const MEASURE_INTERVAL: Duration = seconds(5);
export const MEASURE_PER_PEER: Duration = ms(2);

/** A standby is probed this often. */
export const STANDBY_INTERVAL: Duration = seconds(5);

/** Probes kept for the loss figure. */
export const LOSS_WINDOW = 100;

/** A probe not answered by then counts as lost (or twice the retransmission timeout, if that is longer). */
export const PROBE_LOST_AFTER: Duration = seconds(1);

/** Probes of this size and more repeat a question that was not answered: half a padded one, whose overhead differs. */
export const REPEATED_PROBE = PADDED_PROBE / 2;

/** How long one shows that the far end does not hear us: it repeats them once a second at least. */
export const UNHEARD_FOR: Duration = seconds(2.5);

/** Bounds on the pause between probes to a silent peer. */
export const PROBE_FAST_MIN: Duration = ms(15);
export const PROBE_FAST_MAX: Duration = ms(500);

/** Pause between probes to a peer that is down but whose keys are kept. */
export const PROBE_DOWN: Duration = ms(250);

/** Bounds on how often counters are read: with traffic (longer with many peers: this much for each), and idle. */
export const CHECK_BUSY_MIN: Duration = ms(100);
export const CHECK_BUSY: Duration = ms(250);
export const CHECK_BUSY_PER_PEER: Duration = ms(0.1);
export const CHECK_IDLE_MAX: Duration = seconds(5);

/** The same for idle associations of many peers: this much for each, at most half of DeadAfter. */
export const CHECK_IDLE_PER_PEER: Duration = ms(0.5);

/** Sessions whose counters are looked at together. */
export const LOOK_PART = 100;

/** An association at rest is judged again after this long, although nothing is due. */
export const REST_MAX: Duration = seconds(600);

/** Looks that are due within this are taken together: waking up costs more than looking. */
export const CHECK_GRID: Duration = ms(50);

/** RFC 6298 §2: granularity and floor of the retransmission timeout (its 1 s floor is for congestion, not for probes). */
export const RTO_MIN: Duration = ms(20);
export const RTO_UNKNOWN: Duration = ms(500);
export const RTO_MAX: Duration = seconds(10);

// --- Rekey -------------------------------------------------------------------------------------------------------

/** Blocks of 16 octets that one AES-GCM key may protect: 2^24.5 records of 2^14 octets (RFC 9147 §4.5.3, RFC 8446 §5.5). */
export const GCM_BLOCKS = 2 ** 34.5;

/** ChaCha20-Poly1305 has no such bound (RFC 8446 §5.5); record numbers end at 2^48 (RFC 6347 §4.1). */
export const CHACHA_BLOCKS = 2 ** 58;
export const MAX_RECORDS = 2 ** 48;

/** Failed openings one key may see (RFC 9147 §4.5.3). */
export const MAX_FAILED_OPENS = 2 ** 36;

/** Share of a limit at which a rekey starts, and at which the association ends without one. */
export const REKEY_SHARE = 1 / 4;
export const STOP_SHARE = 0.9;

/** When each side acts, as a share of RekeyAfter: the client first, so that both do not collide. */
export const REKEY_CLIENT = { from: 0.9, to: 1 } as const;
export const REKEY_SERVER = { from: 1.05, to: 1.15 } as const;

/** A request to rekey is repeated this often; unanswered for longer, this side calls if it can. */
export const REKEY_REQUEST_INTERVAL: Duration = seconds(5);
export const REKEY_REQUEST_PATIENCE: Duration = seconds(20);

// --- Path MTU (RFC 8899), octets of UDP payload ------------------------------------------------------------------

/** BASE_PLPMTU: works nearly everywhere (RFC 8899 §5.1.2). */
export const PATH_MTU_BASE = 1200;

/** MIN_PLPMTU: an IPv4 packet of 576 octets, which every host takes (RFC 1122 §3.3.3). */
export const PATH_MTU_MIN = 548;

/** MAX_PLPMTU: jumbo frames of 9216 octets and below. */
export const PATH_MTU_MAX = 9168;

/** For plain peers, which answer no probe: Ethernet. */
export const LINK_MTU_ASSUMED = 1500;

/** Link MTUs met in clouds and access networks, searched first. */
export const COMMON_LINK_MTUS = [
  1280, 1400, 1420, 1442, 1450, 1460, 1480, 1492, 1500, 4470, 8896, 8946, 9001, 9216,
] as const;

/** MAX_PROBES (RFC 8899 §5.1.2); more when probes are being lost anyway. */
export const PATH_MTU_PROBES = 3;

/** PROBE_TIMER. Deviates from RFC 8899 §5.1.1 (at least 1 s): our probes are answered at once and the RTT is known. */
export const PATH_MTU_TIMER_MIN: Duration = ms(50);
export const PATH_MTU_TIMER_MAX: Duration = seconds(3);

/**
 * PMTU_RAISE_TIMER. 600 s in RFC 8899; below Ethernet's size sooner at first, because that may be a fault somebody
 * repairs, and twice as late after every search that finds nothing.
 */
export const PATH_MTU_RAISE: Duration = seconds(600);
export const PATH_MTU_RAISE_LOW: Duration = seconds(30);

/** CONFIRMATION_TIMER while packets are sent that a narrower path would not carry. All peers together verify at most 200 times a second. */
export const PATH_MTU_VERIFY: Duration = ms(500);
export const PATH_MTU_VERIFY_PER_PEER: Duration = ms(5);

/** The search ends when the next step would gain no more than this. */
export const PATH_MTU_STEP = 8;

// --- Roaming -----------------------------------------------------------------------------------------------------

/** A path that has not answered its challenge by then is not used. */
export const CHALLENGE_TIMEOUT: Duration = seconds(3);

/** Challenges sent for one report of a new path: two small records stay below three times the record that came. */
export const CHALLENGES_PER_REPORT = 2;

// --- Drain -------------------------------------------------------------------------------------------------------

/** No packet either way for this long: nothing is in flight any more. */
export const DRAIN_QUIET: Duration = seconds(1);

/** Drain notices are repeated this often. */
export const DRAIN_NOTICE_INTERVAL: Duration = ms(500);

/** What a goodbye asks the peer to wait before it calls again: a restart is over in a second, a removal is not. */
export const GOODBYE_PAUSE: Duration = seconds(1);
export const GOODBYE_PAUSE_REMOVED: Duration = seconds(10);
