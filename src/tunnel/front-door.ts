import { type Fingerprint, type Instant, later, type PathMtu, type SessionSlot } from '../base/brand.ts';
import type { CloseReason, Established } from '../dtls/effects.ts';
import { senderOf } from '../dtls/flight-sender.ts';
import { type Address, addressBytes, family } from '../net/address.ts';
import type { Path } from '../net/endpoint.ts';
import { equalBytes, toHex } from '../wire/bytes.ts';
import { Reader } from '../wire/reader.ts';
import { Association, type AssociationOwner } from './association.ts';
import type { Context, Doorkeeper } from './context.ts';
import type { HandshakeTrigger, IgnoreReason } from './effects.ts';
import { type HelloMark, helloMark } from './hello.ts';
import {
  CALLBACK_BURST,
  CALLBACK_RATE,
  CALLBACK_SOURCE_INTERVAL,
  CALL_STALLED,
  CALL_TIMER_UNKNOWN,
  CONNECTION_ID_LENGTH,
  HALF_OPEN_AUTO,
  HALF_OPEN_BYTES,
  HALF_OPEN_STALLED,
  HALF_OPEN_STRANGERS,
  HALF_OPEN_TIMEOUT,
  MAX_REFUSED,
  MAX_SOURCES,
  PATH_MTU_BASE,
  SOURCE_HANDSHAKE_BURST,
  SOURCE_HANDSHAKE_RATE,
  STRANGER_HANDSHAKE_BURST,
  STRANGER_HANDSHAKE_RATE,
} from './limits.ts';
import type { PeerTable } from './peer-table.ts';
import { Recent } from './recent.ts';
import type { Scheduled } from './schedule.ts';
import { Schedule } from './schedule.ts';
import { slotOf } from './slots.ts';
import { SpentHellos } from './spent-hellos.ts';
import { KeyedBuckets, TokenBucket } from './token-bucket.ts';

/**
 * Where datagrams end up that no installed session claims: handshakes, and protected records of sessions we do not
 * have. Handshakes that others begin belong to nobody until the certificate names the peer; they are kept here, bounded
 * in number and octets, and nothing is remembered or computed for an address before its cookie came back.
 */
export class FrontDoor implements AssociationOwner {
  readonly #context: Context;
  readonly #table: PeerTable;
  readonly #doorkeeper: Doorkeeper;
  readonly #halfOpen = new Map<Association, HalfOpen>();
  readonly #schedule = new Schedule<HalfOpen>();
  readonly #spent = new SpentHellos();
  readonly #sources = new KeyedBuckets(SOURCE_HANDSHAKE_RATE, SOURCE_HANDSHAKE_BURST, MAX_SOURCES);
  readonly #strangers = new TokenBucket(STRANGER_HANDSHAKE_RATE, STRANGER_HANDSHAKE_BURST);
  /** Where peers that nobody admits called from lately, by fingerprint: a reload that admits one calls it at once. */
  readonly refused = new Recent<Fingerprint, Path>(MAX_REFUSED);
  readonly #callbackSources = new KeyedBuckets(1000 / CALLBACK_SOURCE_INTERVAL, 1, MAX_SOURCES);
  readonly #callbacks = new TokenBucket(CALLBACK_RATE, CALLBACK_BURST);

  constructor(context: Context, table: PeerTable) {
    this.#context = context;
    this.#table = table;
    this.#doorkeeper = context.engines.listener(context.crypto);
  }

  /** Handshakes that belong to nobody yet. */
  get size(): number {
    return this.#halfOpen.size;
  }

  get deadline(): Instant | undefined {
    return this.#schedule.deadline;
  }

  tick(now: Instant): void {
    for (let due = this.#schedule.takeDue(now); due !== undefined; due = this.#schedule.takeDue(now)) {
      due.association.tick(now);
      this.#reschedule(due);
    }
  }

  /** A datagram that no installed session claimed. */
  receive(path: Path, datagram: Uint8Array, now: Instant): void {
    const r = new Reader(datagram);
    const type = r.uint(1);
    r.uint(2);
    const epoch = r.uint(2);
    r.uint(6);
    if (!r.ok) return;
    if (type === WITH_CONNECTION_ID) this.#withConnectionId(r.view(CONNECTION_ID_LENGTH), path, datagram, now);
    else if (epoch > 0) this.#protected(path, datagram, now);
    else this.#plaintext(type, path, datagram, now);
  }

  /**
   * Whether a call of ours may begin along `path`: one handshake at a time. One that the far end began and has said
   * nothing in since gives way: both ends may have given up their calls for each other's (hellos that crossed).
   */
  admitsCall(path: Path, now: Instant): boolean {
    for (const association of this.#context.registry.along(path)) {
      if (association.installed) continue;
      const silentSince = association.heardAt ?? association.startedAt;
      const stalled = association.role === 'server' && now >= later(silentSince, HALF_OPEN_STALLED);
      if (!stalled || !this.#halfOpen.has(association)) return false;
      this.#giveUp([association], now);
    }
    return true;
  }

  /** Ends all that is half open. */
  close(now: Instant): void {
    for (const association of this.#halfOpen.keys()) {
      association.abandon(now);
      this.#forget(association);
    }
  }

  // --- AssociationOwner ------------------------------------------------------------------------------------------

  established(association: Association, session: Established, now: Instant): void {
    this.#spend(association, now);
    this.#forget(association);
    this.#giveUp(this.#context.registry.along(association.path), now);
    const peer = association.peer === undefined ? undefined : this.#table.byId(association.peer);
    if (peer === undefined) {
      association.close('aborted', now);
      return;
    }
    association.transfer(peer);
    peer.established(association, session, now);
  }

  data(): void {
    // A record before the keys, of a handshake that is not complete: there is nobody to hand it to.
  }

  closed(association: Association, reason: CloseReason, _now: Instant): void {
    this.#forget(association);
    const { fingerprint, role, path, trigger } = association;
    const peer = fingerprint === undefined ? undefined : this.#table.byFingerprint(fingerprint)?.name;
    this.#context.event({
      kind: 'handshake-failed',
      peer,
      role,
      path,
      reason,
      trigger,
      isRekey: false,
      retryIn: undefined,
    });
  }

  // --- Sorting ---------------------------------------------------------------------------------------------------

  #withConnectionId(id: Uint8Array, path: Path, datagram: Uint8Array, now: Instant): void {
    const slot: SessionSlot | undefined = slotOf(id);
    const association = slot === undefined ? undefined : this.#context.registry.at(slot);
    if (association !== undefined && equalBytes(association.lease.connectionId, id)) {
      // Installed: the record came just before its keys did. There is no way back down; the far end sends again.
      if (!association.installed) this.#deliver(association, datagram, now);
      return;
    }
    if (!this.#context.slots.isLate(id, now)) this.#unknownSession(path, datagram.length, now);
  }

  #protected(path: Path, datagram: Uint8Array, now: Instant): void {
    const here = this.#context.registry.along(path);
    const handshaking = here.filter((association) => !association.installed);
    for (const association of handshaking) this.#deliver(association, datagram, now);
    if (here.length === 0) this.#unknownSession(path, datagram.length, now);
  }

  #plaintext(type: number, path: Path, datagram: Uint8Array, now: Instant): void {
    const message = type === HANDSHAKE ? new Reader(datagram.subarray(RECORD_HEADER)).uint(1) : undefined;
    if (message === CLIENT_HELLO) {
      this.#hello(path, datagram, now);
      return;
    }
    const here = this.#context.registry.along(path);
    if (type === ALERT) this.#doubt(here, now);
    const sender = senderOf(datagram, CONNECTION_ID_LENGTH);
    const handshaking = here.filter((association) => !association.installed && association.role !== sender);
    // A client that has not seen our last flight repeats its own: only an established server can answer that.
    const established =
      type === ALERT || sender === 'server'
        ? undefined
        : here.findLast((association) => association.installed && association.role === 'server');
    // Two where both ends call each other and the far end chooses: what both roles send may be for either.
    if (handshaking.length > 0) for (const association of handshaking) this.#deliver(association, datagram, now);
    else if (established !== undefined) this.#deliver(established, datagram, now);
  }

  /** An alert in the clear may say that the far end lost its state: the association is asked, at most once a second. */
  #doubt(here: readonly Association[], now: Instant): void {
    for (const association of here) {
      if (!association.installed || association.peer === undefined) continue;
      const peer = this.#table.byId(association.peer);
      if (peer?.doubt(association, now) === true) this.#context.touch(peer);
    }
  }

  #hello(path: Path, datagram: Uint8Array, now: Instant): void {
    const mark = helloMark(datagram);
    if (mark !== undefined) {
      const begun = this.#begunBy(mark.random, path);
      if (begun?.hello?.number === mark.number) {
        this.#deliver(begun.association, datagram, now);
        return;
      }
      if ((begun?.hello !== undefined && mark.number < begun.hello.number) || this.#spent.has(mark, now)) {
        this.#ignore(path, 'late');
        return;
      }
    }
    const known = this.#table.at(path.remote.address).length > 0;
    if (this.#context.draining || (!known && this.#context.settings.interface.unknown === 'drop')) {
      this.#ignore(path, this.#context.draining ? 'draining' : 'unknown');
      return;
    }
    if (!this.#hasRoom(known)) {
      // Nor could the answer to a challenge be taken; when thousands call at once, asking them is most of the work.
      this.#ignore(path, 'full');
      return;
    }
    const verdict = this.#doorkeeper.receive(datagram, path, now);
    switch (verdict.kind) {
      case 'challenge':
        if (verdict.cookie !== 'absent') this.#context.event({ kind: 'cookie', result: verdict.cookie });
        this.#context.event({ kind: 'cookie', result: 'challenged' });
        this.#context.emit({ kind: 'send', path, datagram: verdict.reply });
        break;
      case 'accept':
        this.#context.event({ kind: 'cookie', result: 'valid' });
        this.#accept(path, verdict.hello, mark, known, now);
        break;
      case 'drop':
        this.#ignore(path, verdict.reason);
        break;
    }
  }

  /** The half-open handshake that a hello with this random began. */
  #begunBy(random: string, path: Path): HalfOpen | undefined {
    for (const association of this.#context.registry.along(path)) {
      const entry = this.#halfOpen.get(association);
      if (entry?.hello?.random === random) return entry;
    }
    return undefined;
  }

  #accept(path: Path, hello: Uint8Array, mark: HelloMark | undefined, known: boolean, now: Instant): void {
    if (this.#ourCallGoesFirst(path, mark?.random ?? '', now)) {
      this.#ignore(path, 'simultaneous');
      return;
    }
    if (!this.#sources.take(sourceOf(path.remote.address), now) || (!known && !this.#strangers.take(now))) {
      this.#ignore(path, 'rate');
      return;
    }
    this.#dropOlder(path, now);
    this.#open('server', path, 'peer', { hello, mark }, now);
  }

  /** Another handshake may be half open: one of a `known` address, or of a stranger. */
  #hasRoom(known: boolean): boolean {
    const { maxHandshakes } = this.#context.settings.interface;
    const limit = maxHandshakes === 'auto' ? HALF_OPEN_AUTO : maxHandshakes;
    return this.#halfOpen.size < (known ? limit : Math.max(1, Math.floor(limit * HALF_OPEN_STRANGERS)));
  }

  /**
   * Both ends call each other along the same path. One handshake is enough, and their datagrams could not be told
   * apart. Ours stays when the far end has just shown its certificate in it, for then it may complete at any moment; or
   * when it got an answer and its hello has the smaller random, which both ends know. The far end judges alike, if it knows
   * whom it calls: a call back to an unknown sender goes on beside the far end's, and what completes ends the other.
   */
  #ourCallGoesFirst(path: Path, random: string, now: Instant): boolean {
    const ours = this.#context.registry
      .along(path)
      .filter((a) => a.role === 'client' && !a.installed && a.peer !== undefined);
    for (const call of ours) {
      // What came long ago proves nothing: the far end may have started again since, or refused us.
      const isRecent = (at: Instant | undefined): boolean => at !== undefined && now - at < CALL_STALLED;
      if (isRecent(call.shownAt)) return true;
      if (isRecent(call.heardAt) && call.helloRandom !== undefined && call.helloRandom < random) return true;
    }
    for (const call of ours) {
      call.abandon(now);
      const peer = call.peer === undefined ? undefined : this.#table.byId(call.peer);
      if (peer !== undefined) this.#context.touch(peer);
    }
    return false;
  }

  /**
   * A client that began again has given up what it began before from the same address and port, as its cookie proves:
   * flights of the old handshake would only be mistaken for those of the new one (their message numbers are the same).
   * So has one that was challenged again after its hello was accepted (a late challenge is followed as a true one is):
   * both ends hash the hello that the client sent last.
   */
  #dropOlder(path: Path, now: Instant): void {
    const older = this.#context.registry.along(path).filter((association) => association.role === 'server');
    this.#giveUp(older, now);
  }

  /** Ends those that are half open, without a word. */
  #giveUp(associations: readonly Association[], now: Instant): void {
    for (const association of associations) {
      if (!this.#halfOpen.has(association)) continue;
      this.#spend(association, now);
      association.abandon(now);
      this.#forget(association);
    }
  }

  /** Further copies of the hello that began it begin nothing. */
  #spend(association: Association, now: Instant): void {
    const mark = this.#halfOpen.get(association)?.hello;
    if (mark !== undefined) this.#spent.add(mark, now);
  }

  /**
   * Records under keys we do not have, from somebody who believes we do: we have restarted. Whoever has an endpoint at
   * that address is called; otherwise the sender itself is, since it may be a peer that cannot be configured with one.
   * Only a configured certificate completes such a call, and its first datagram is no larger than the records.
   */
  #unknownSession(path: Path, size: number, now: Instant): void {
    this.#context.event({ kind: 'unattributed', reason: 'unknown_session' });
    if (this.#context.draining || !this.#table.someUnreachable) return;
    // Its sender has an association with us along this very path: the record is a late one.
    if (this.#context.registry.along(path).some((association) => this.#answers(association))) return;
    const peers = this.#table.at(path.remote.address);
    for (const peer of peers) {
      if (peer.reachable || peer.legs.length === 0) continue;
      peer.lostState(now);
      this.#context.touch(peer);
      return;
    }
    const busy = this.#context.registry.along(path).filter((association) => !association.installed);
    for (const association of busy) association.grant(size);
    const may = this.#callbackSources.take(sourceOf(path.remote.address), now) && this.#callbacks.take(now);
    if (!may) return;
    if (size < LARGEST_HELLO) this.#context.emit({ kind: 'send', path, datagram: UNKNOWN_SESSION });
    if (busy.length > 0) return;
    this.#open('client', path, 'unknown-session', { unproven: size }, now);
  }

  #answers(association: Association): boolean {
    const peer = association.peer === undefined ? undefined : this.#table.byId(association.peer);
    return peer?.reachable === true && peer.current?.association === association;
  }

  #open(
    role: 'client' | 'server',
    path: Path,
    trigger: HandshakeTrigger,
    from: { readonly hello?: Uint8Array; readonly mark?: HelloMark | undefined; readonly unproven?: number },
    now: Instant,
  ): void {
    const lease = this.#context.slots.take(now);
    if (lease === undefined) return;
    const association = new Association(
      this.#context,
      {
        owner: this,
        lease,
        role,
        path,
        trigger,
        authorize: (fingerprint) => {
          const known = this.#context.identify(fingerprint);
          if (known === undefined) this.refused.set(fingerprint, path);
          return known;
        },
        expected: 'the certificate of a configured and enabled peer',
        handshakeTimeout: HALF_OPEN_TIMEOUT,
        initialTimeout: CALL_TIMER_UNKNOWN,
        pathMtu: PATH_MTU_BASE as PathMtu,
        ...(from.hello === undefined ? {} : { hello: from.hello }),
        ...(from.unproven === undefined ? {} : { unproven: from.unproven }),
      },
      now,
    );
    const entry: HalfOpen = { association, hello: from.mark, heapIndex: -1, due: undefined };
    this.#halfOpen.set(association, entry);
    this.#context.event({ kind: 'handshake-started', peer: undefined, role, path, trigger });
    association.start(now);
    this.#reschedule(entry);
  }

  #deliver(association: Association, datagram: Uint8Array, now: Instant): void {
    association.receive(datagram, now);
    const entry = this.#halfOpen.get(association);
    if (entry === undefined) {
      const peer = association.peer === undefined ? undefined : this.#table.byId(association.peer);
      if (peer !== undefined) this.#context.touch(peer);
      return;
    }
    if (association.received > HALF_OPEN_BYTES) association.close('too_large', now);
    this.#reschedule(entry);
  }

  #reschedule(entry: HalfOpen): void {
    const open = this.#halfOpen.has(entry.association);
    this.#schedule.set(entry, open ? entry.association.deadline : undefined);
  }

  #forget(association: Association): void {
    const entry = this.#halfOpen.get(association);
    if (entry === undefined) return;
    this.#halfOpen.delete(association);
    this.#schedule.set(entry, undefined);
  }

  #ignore(path: Path, reason: IgnoreReason): void {
    this.#context.event({ kind: 'handshake-ignored', path, reason });
  }
}

/** A handshake without a peer. */
interface HalfOpen extends Scheduled {
  readonly association: Association;
  /** Of the accepted hello: a repetition of it belongs to the same handshake. */
  readonly hello: HelloMark | undefined;
}

/** What shares a rate limit: an IPv4 address, or an IPv6 /64, which one host may own. */
function sourceOf(address: Address): string {
  return family(address) === 4 ? address : toHex(addressBytes(address).subarray(0, 8));
}

/**
 * What we answer to a record of an unknown session that is too small to be answered with a hello: an alert in the clear
 * (warning, bad_record_mac). It proves nothing, so whoever gets it does no more than probe, with a record large enough.
 */
const UNKNOWN_SESSION = Uint8Array.of(21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 20);

/** Our hello with a cookie and all it may offer is smaller than this. */
const LARGEST_HELLO = 300;

const ALERT = 21;
const HANDSHAKE = 22;
const WITH_CONNECTION_ID = 25;
const CLIENT_HELLO = 1;
const RECORD_HEADER = 13;
