import { earliest, type Instant, later, type SequenceNumber } from '../base/brand.ts';
import { invariant } from '../base/invariant.ts';
import { equalBytes } from '../wire/bytes.ts';
import { ALERTS, type AlertName, alertFor, alertText, parseAlert, writeAlert } from './alert.ts';
import { type DropCounts, type DropReason, noDrops } from './drops.ts';
import { EarlyRecords } from './early-records.ts';
import { type Continuation, lastFlightOf } from './continuation.ts';
import type { CloseCode, CloseReason, Effect, Role } from './effects.ts';
import { Epochs, type Exhausted } from './epochs.ts';
import { resolveMaxDatagram, resolveOptions, resolveTimers, type TimerConfig } from './handshake/config.ts';
import { Doubts } from './handshake/doubts.ts';
import { CHANGE_CIPHER_SPEC, packFlight } from './handshake/flight.ts';
import { Machine, type Outcome } from './handshake/machine.ts';
import { type Fragment, fragmentsIn, Reassembly, wholeOf } from './handshake/reassembly.ts';
import { Retransmission } from './handshake/retransmission.ts';
import type { Completion, FlightItem } from './handshake/step.ts';
import { MAX_CHALLENGES, MAX_HELD_PAYLOADS, MAX_PLAINTEXT, MAX_RENEGOTIATION_ALERTS } from './limits.ts';
import { HANDSHAKE_CODES, SENDER_OF } from './messages/types.ts';
import type { ConnectionOptions } from './options.ts';
import { CONTENT, type RecordView, recordsIn } from './record.ts';
import type { SansIo } from './sans-io.ts';
import { DTLS_1_0, DTLS_1_2 } from './versions.ts';

/**
 * One DTLS 1.2 association, client or server, driven from outside (see `SansIo` for the contract).
 *
 * A server is made from the datagram that a `Listener` accepted: `new Connection(options, hello)`.
 */
export class Connection implements SansIo {
  readonly #role: Role;
  readonly #offload: boolean;
  readonly #timers: TimerConfig;
  readonly #machine: Machine;
  readonly #retransmission: Retransmission;
  /** Length of the connection id in records of type 25 to us: what we offer or answer, agreed or not. */
  readonly #idLength: number;
  /** The datagram that began it; server only. */
  readonly #hello: Uint8Array | undefined;
  readonly #drops = noDrops();
  readonly #early = new EarlyRecords();
  readonly #doubts = new Doubts();

  #phase: SansIo['state'] = 'idle';
  #epochs = new Epochs(0 as SequenceNumber);
  #reassembly = new Reassembly(0);
  #maxDatagram: number;
  #effects: Effect[] = [];
  /** The handshake must be complete by then. */
  #giveUpAt: Instant | undefined;
  /** The last flight we sent, kept to be sent again. */
  #flight: readonly FlightItem[] = [];
  /** Number of the peer's message that our last flight answers: when it comes again, so does the flight. */
  #answered: number | undefined;
  /** Whether it came again in the datagram at hand. */
  #repeated = false;
  /** Peer's ChangeCipherSpec has come. */
  #cipherChanged = false;
  /** Authenticated data that came before the peer's Finished. */
  #held: Uint8Array[] = [];
  #renegotiationAlerts = 0;

  constructor(options: ConnectionOptions, hello?: Uint8Array) {
    invariant(
      (options.role === 'server') === (hello !== undefined),
      'a server, and only a server, is made from a hello',
    );
    const config = resolveOptions(options);
    this.#role = options.role;
    this.#offload = options.offload ?? false;
    this.#timers = resolveTimers(options);
    this.#machine = new Machine(options.role, config);
    this.#retransmission = new Retransmission(this.#timers);
    this.#idLength = config.connectionId?.length ?? 0;
    this.#hello = hello?.slice();
    this.#maxDatagram = resolveMaxDatagram(options.maxDatagram);
  }

  get state(): SansIo['state'] {
    return this.#phase;
  }

  /** What was ignored so far, by reason. */
  get drops(): DropCounts {
    return this.#drops;
  }

  /** Name of the handshake state, for people: `hello-sent`, `expect-finished`, … */
  get handshakeState(): string {
    return this.#machine.at;
  }

  /** Flights sent again because of the timer. */
  get retransmissions(): number {
    return this.#retransmission.count;
  }

  /** Octets held for handshake messages that are not whole or not next; at most MAX_REASSEMBLY_OCTETS. */
  get reassemblyOctets(): number {
    return this.#reassembly.octets;
  }

  get deadline(): Instant | undefined {
    return this.#phase === 'handshaking' ? earliest(this.#retransmission.deadline, this.#giveUpAt) : undefined;
  }

  start(now: Instant): void {
    invariant(this.#phase === 'idle', 'a connection starts once');
    this.#phase = 'handshaking';
    this.#giveUpAt = later(now, this.#timers.handshake);
    if (this.#hello === undefined) this.#perform(this.#machine.start(), undefined, now);
    else this.#continueFrom(this.#hello, now);
  }

  receive(datagram: Uint8Array, now: Instant): void {
    this.#repeated = false;
    for (const record of recordsIn(datagram, this.#idLength)) {
      if (this.#phase !== 'handshaking' && this.#phase !== 'established') this.#drop('closed');
      else if (record === undefined) this.#drop('malformed');
      else this.#record(record, now);
    }
    if (this.#repeated) this.#answerRepeat(now);
  }

  receiveOpened(contentType: number, fragment: Uint8Array, now: Instant): void {
    if (this.#phase !== 'established' || !this.#epochs.handedOver) {
      this.#drop('closed');
      return;
    }
    this.#repeated = false;
    if (contentType === CONTENT.handshake) this.#handshake(1, fragment, now);
    else if (contentType === CONTENT.alert) this.#authenticAlert(fragment);
    else this.#drop('content_type');
    if (this.#repeated) this.#answerRepeat(now);
  }

  send(payload: Uint8Array): boolean {
    if (this.#phase !== 'established' || this.#epochs.handedOver || payload.length > MAX_PLAINTEXT) return false;
    if (payload.length + this.#epochs.overhead(1) > this.#maxDatagram) return false;
    const record = this.#epochs.write(1, CONTENT.applicationData, payload);
    if (!record.ok) {
      this.#fail(record.error);
      return false;
    }
    this.#effects.push({ kind: 'transmit', datagram: record.value });
    return true;
  }

  close(code: CloseCode, _now: Instant): void {
    if (this.#phase === 'closed') return;
    if (this.#phase === 'idle')
      this.#finish({ code, by: 'local', alert: undefined, seen: undefined, expected: undefined });
    else this.#fail(code);
  }

  setMaxDatagram(octets: number): void {
    this.#maxDatagram = resolveMaxDatagram(octets);
  }

  tick(now: Instant): void {
    if (this.#phase !== 'handshaking') return;
    if (this.#giveUpAt !== undefined && now >= this.#giveUpAt) {
      this.#giveUp();
    } else if (this.#retransmission.takeDue(now)) {
      if (this.#doubts.onTimeout()) this.#giveUp();
      else this.#transmitFlight();
    }
  }

  poll(): Effect | undefined {
    return this.#effects.shift();
  }

  continuation(): Continuation | undefined {
    if (this.#phase !== 'established' || !this.#epochs.handedOver) return undefined;
    // Only a server's last flight may be asked for again: a client's was answered, or there would be no session.
    const lastFlight =
      this.#role === 'server' ? lastFlightOf(this.#flight, this.#answered, this.#epochs.nextPlain) : undefined;
    return { lastFlight, renegotiationAlerts: this.#renegotiationAlerts };
  }

  // ── records ────────────────────────────────────────────────────────────────────────────────────────────────────

  #record(record: RecordView, now: Instant): void {
    // RFC 6347 §4.2.1: records around a HelloVerifyRequest may say 1.0.
    if (record.version !== DTLS_1_2 && !(record.version === DTLS_1_0 && record.epoch === 0)) this.#drop('version');
    else if (record.epoch === 0) this.#plaintext(record, now);
    else if (record.epoch === 1) this.#protected(record, now);
    else this.#drop('epoch');
  }

  #plaintext(record: RecordView, now: Instant): void {
    switch (record.type) {
      case CONTENT.changeCipherSpec:
        if (this.#phase === 'established') this.#drop('epoch');
        else if (!equalBytes(record.fragment, CHANGE_CIPHER_SPEC)) this.#drop('malformed');
        else {
          // It protects nothing here, since every record names its epoch; but Finished without it is refused
          // (RFC 5246 §7.4.9). It has no place in the order of messages: it may come ahead of them (RFC 6347 §4.2.2).
          this.#cipherChanged = true;
          this.#drain(now);
        }
        return;
      case CONTENT.alert:
        this.#plaintextAlert(record.fragment);
        return;
      case CONTENT.handshake:
        if (this.#phase === 'established') this.#drop('epoch');
        else this.#handshake(0, record.fragment, now);
        return;
      case CONTENT.applicationData:
        this.#drop('plaintext_data');
        return;
      case CONTENT.withConnectionId:
        this.#drop('connection_id');
        return;
      default:
        this.#drop('content_type');
    }
  }

  #protected(record: RecordView, now: Instant): void {
    if (this.#epochs.handedOver) this.#drop('offloaded');
    else if (!this.#epochs.ready) this.#drops.early += this.#early.keep(record);
    else if (!this.#carriesOurId(record)) this.#drop('connection_id');
    else {
      const opened = this.#epochs.open(record);
      if (opened === 'replay' || opened === 'bad_mac') {
        this.#drop(opened);
        if (this.#epochs.forgedTooOften) this.#fail('aead_limit');
      } else this.#opened(opened.contentType, opened.fragment, record.sequence, now);
    }
  }

  /** RFC 9146 §3: an agreed id is on every protected record, and without agreement there is none. */
  #carriesOurId(record: RecordView): boolean {
    const ours = this.#epochs.ourConnectionId;
    if (ours.length === 0) return record.type !== CONTENT.withConnectionId;
    return record.type === CONTENT.withConnectionId && equalBytes(record.connectionId, ours);
  }

  #opened(contentType: number, fragment: Uint8Array, sequence: SequenceNumber, now: Instant): void {
    if (contentType === CONTENT.applicationData) {
      // Data we cannot keep is as if it had been lost: its number stays unused.
      if (this.#phase !== 'established' && this.#held.length >= MAX_HELD_PAYLOADS) {
        this.#drop('data_early');
        return;
      }
      this.#epochs.commit(sequence);
      if (this.#phase === 'established') this.#effects.push({ kind: 'data', payload: fragment });
      else this.#held.push(fragment);
      return;
    }
    this.#epochs.commit(sequence);
    if (contentType === CONTENT.handshake) this.#handshake(1, fragment, now);
    else if (contentType === CONTENT.alert) this.#authenticAlert(fragment);
    else this.#drop('content_type');
  }

  // ── handshake ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** The hello was whole and well-formed when the listener looked at it; its numbers are where ours go on. */
  #continueFrom(hello: Uint8Array, now: Instant): void {
    for (const record of recordsIn(hello, 0)) {
      const [fragment] = record === undefined ? [] : fragmentsIn(record.fragment);
      if (record === undefined || fragment === undefined) break;
      this.#epochs = new Epochs(record.sequence);
      this.#reassembly = new Reassembly(fragment.sequence);
      this.#handshake(0, record.fragment, now);
      break;
    }
    if (this.#flight.length === 0 && this.#phase === 'handshaking') this.#fail('malformed');
  }

  #handshake(epoch: 0 | 1, record: Uint8Array, now: Instant): void {
    for (const fragment of fragmentsIn(record)) {
      const reason = fragment === undefined ? 'bad_fragment' : this.#fragment(epoch, fragment, now);
      if (reason !== undefined) this.#drop(reason);
      // Closed by an earlier fragment: what follows it is moot.
      if (this.#phase === 'closed') return;
    }
    this.#drain(now);
  }

  #fragment(epoch: 0 | 1, fragment: Fragment, now: Instant): DropReason | undefined {
    const { code, sequence, offset } = fragment;
    // RFC 5246 §7.4.1.1: to be ignored during a handshake, wherever it stands in the order.
    if (code === HANDSHAKE_CODES.hello_request) return this.#refuseRenegotiation(epoch);
    if (this.#phase === 'established') {
      const isFinished = code === HANDSHAKE_CODES.finished && sequence === this.#answered;
      if (isFinished && epoch === 1) this.#repeated = true;
      else if (code === HANDSHAKE_CODES.client_hello) return this.#refuseRenegotiation(epoch);
      return 'repeated';
    }
    if (SENDER_OF.get(code) === this.#role) return 'foreign';
    // One message is protected, Finished; nothing else is, and Finished never comes in clear (RFC 5246 §7.3).
    if ((code === HANDSHAKE_CODES.finished) !== (epoch === 1)) return 'epoch';
    if (this.#machine.at === 'hello-sent') {
      const isChallenge = code === HANDSHAKE_CODES.hello_verify_request;
      const isHello = code === HANDSHAKE_CODES.server_hello;
      if ((isChallenge || isHello) && this.#machine.isForEarlierHello(sequence)) return 'repeated';
      if (isChallenge) return this.#challenge(fragment, now);
      if (isHello && sequence <= MAX_CHALLENGES) this.#reassembly.continueAt(sequence);
      else if (this.#machine.insistsOnOrder) return 'foreign';
    }
    const reason = this.#reassembly.add(fragment);
    if (reason === 'too_large') this.#doubts.onOversized(fragment.length);
    if (reason !== 'repeated') return reason;
    if (sequence === this.#answered && offset === 0) this.#repeated = true;
    return reason;
  }

  /**
   * Servers that remember nothing number their challenges, and their hello after them, as they like: all 0 and then 1,
   * or as our hellos were (RFC 6347 §4.2.1, §4.2.2). So a challenge is known by its cookie, and numbers count from the
   * ServerHello on. A server that does number them as our hellos has nothing new to say about any but the last; one that
   * does not says it again when that hello is repeated. So nothing late is followed while the true answer may be under way.
   */
  #challenge(fragment: Fragment, now: Instant): DropReason | undefined {
    const message = wholeOf(fragment);
    if (message === undefined) return 'bad_fragment';
    const verdict = this.#machine.judgeChallenge(message, this.#retransmission.unanswered);
    if (verdict === 'misplaced') return 'bad_fragment';
    if (verdict === 'answered') {
      this.#repeated = true;
      return 'repeated';
    }
    if (verdict === 'late') return 'repeated';
    this.#perform(this.#machine.step(message), message.sequence, now);
    return undefined;
  }

  /** Steps through every message that is whole and next. */
  #drain(now: Instant): void {
    while (this.#phase === 'handshaking') {
      if (this.#reassembly.ready === 'finished' && !this.#cipherChanged) return;
      const message = this.#reassembly.take();
      if (message === undefined) return;
      this.#perform(this.#machine.step(message), message.sequence, now);
    }
  }

  /** Does what a step asks for. `answers` is the number of the message it was about. */
  #perform(outcome: Outcome, answers: number | undefined, now: Instant): void {
    if (outcome.kind === 'abort') {
      this.#fail(outcome.code, outcome);
      return;
    }
    if (outcome.kind === 'retreat') {
      this.#reassembly.clear();
      if (outcome.suspicion !== undefined) this.#doubts.onRefused(outcome.suspicion);
      return;
    }
    this.#doubts.onProgress();
    if (outcome.keys !== undefined) this.#epochs.install(outcome.keys);
    if (outcome.flight !== undefined) {
      this.#flight = outcome.flight;
      this.#answered = answers;
    }
    if (outcome.complete !== undefined) this.#complete(outcome.complete, outcome.flight !== undefined);
    else if (outcome.flight !== undefined) {
      this.#transmitFlight();
      this.#retransmission.sent(now);
    }
    if (outcome.keys === undefined) return;
    for (const record of this.#early.take()) {
      if (this.#phase === 'handshaking' || this.#phase === 'established') this.#protected(record, now);
    }
  }

  #complete(session: Completion, hasFlight: boolean): void {
    this.#retransmission.stop();
    this.#reassembly.clear();
    // Sealed by us while the counter is ours; the keys are installed before it can reach the peer.
    const last = hasFlight ? packFlight(this.#flight, this.#epochs, this.#maxDatagram) : undefined;
    if (last?.ok === false) {
      this.#fail(last.error);
      return;
    }
    this.#phase = 'established';
    if (this.#offload) {
      this.#effects.push({ kind: 'install', keys: this.#epochs.handOver(), protocol: session.protocol });
    }
    for (const datagram of last?.value ?? []) this.#effects.push({ kind: 'transmit', datagram });
    this.#effects.push({
      kind: 'established',
      session: { ...session, role: this.#role, retransmissions: this.#retransmission.count },
    });
    for (const payload of this.#held) this.#effects.push({ kind: 'data', payload });
    this.#held = [];
  }

  #transmitFlight(): void {
    const datagrams = packFlight(this.#flight, this.#epochs, this.#maxDatagram);
    if (!datagrams.ok) this.#fail(datagrams.error);
    else for (const datagram of datagrams.value) this.#effects.push({ kind: 'transmit', datagram });
  }

  /** The peer repeats what our last flight answers: ours was lost. */
  #answerRepeat(now: Instant): void {
    if (this.#phase === 'handshaking') {
      if (this.#retransmission.takeRepeat(now)) this.#transmitFlight();
    } else if (this.#phase === 'established') {
      // An authenticated Finished asks for it, hence no limit of time.
      if (this.#epochs.handedOver) this.#repeatThroughPlane();
      else this.#transmitFlight();
    }
  }

  #repeatThroughPlane(): void {
    for (const element of this.#flight) {
      if (element.kind === 'message') {
        this.#effects.push({ kind: 'seal', contentType: CONTENT.handshake, fragment: element.raw.slice() });
      } else {
        const record = this.#epochs.write(0, CONTENT.changeCipherSpec, CHANGE_CIPHER_SPEC);
        if (record.ok) this.#effects.push({ kind: 'transmit', datagram: record.value });
      }
    }
  }

  /** RFC 5246 §7.2.2: a warning that the peer may take as it likes. Bounded, so that no exchange of them can go on. */
  #refuseRenegotiation(epoch: 0 | 1): DropReason {
    if (epoch === 1 && this.#phase === 'established' && this.#renegotiationAlerts < MAX_RENEGOTIATION_ALERTS) {
      this.#renegotiationAlerts++;
      this.#sendAlert('no_renegotiation');
    }
    return 'renegotiation';
  }

  // ── alerts and the end ─────────────────────────────────────────────────────────────────────────────────────────

  /** RFC 6347 §4.1.2.7: proves nothing. Noted during the handshake, see ALERT_PATIENCE; ignored afterwards. */
  #plaintextAlert(fragment: Uint8Array): void {
    this.#drop('plaintext_alert');
    const alert = parseAlert(fragment);
    if (alert !== undefined && this.#phase === 'handshaking') this.#doubts.onAlert(alert);
  }

  #authenticAlert(fragment: Uint8Array): void {
    const alert = parseAlert(fragment);
    if (alert === undefined) {
      this.#drop('malformed');
    } else if (alert.description === ALERTS.close_notify) {
      // RFC 5246 §7.2.1: answered in kind.
      this.#sendAlert('close_notify');
      this.#finish({ code: 'closed', by: 'peer', alert: alert.description, seen: undefined, expected: undefined });
    } else if (alert.fatal) {
      this.#finishByAlert(alert.description);
    }
  }

  /** The handshake's time is over, or its patience: say what is known about the cause. */
  #giveUp(): void {
    const { verdict } = this.#doubts;
    if (verdict.kind === 'alert') {
      this.#finishByAlert(verdict.description);
    } else if (verdict.kind === 'refused') {
      this.#fail(verdict.failure.code, verdict.failure);
    } else if (verdict.kind === 'oversized') {
      this.#fail('too_large', { seen: `a handshake message of ${verdict.octets} octets` });
    } else {
      this.#fail('timeout', {
        seen: `no answer after ${this.#retransmission.count + 1} transmissions`,
        expected: this.#machine.expects.join(' or '),
      });
    }
  }

  #finishByAlert(description: number): void {
    const seen = alertText(description);
    this.#finish({ code: 'peer_alert', by: 'peer', alert: description, seen, expected: undefined });
  }

  /** Ends the association on our side: tells the peer, if there is something to tell. */
  #fail(
    code: CloseCode | Exhausted,
    details: { readonly alert?: AlertName; readonly seen?: string; readonly expected?: string } = {},
  ): void {
    const name = details.alert ?? alertFor(code);
    const alert = name !== undefined && this.#sendAlert(name) ? ALERTS[name] : undefined;
    this.#finish({ code, by: 'local', alert, seen: details.seen, expected: details.expected });
  }

  /** False when it cannot be sent any more. */
  #sendAlert(name: AlertName): boolean {
    const fragment = writeAlert(name);
    if (this.#epochs.handedOver) {
      this.#effects.push({ kind: 'seal', contentType: CONTENT.alert, fragment });
      return true;
    }
    const record = this.#epochs.write(this.#speaksEpoch1() ? 1 : 0, CONTENT.alert, fragment);
    if (record.ok) this.#effects.push({ kind: 'transmit', datagram: record.value });
    return record.ok;
  }

  /** Our ChangeCipherSpec is out: with a client's last flight, and with the server's Finished. */
  #speaksEpoch1(): boolean {
    return this.#epochs.ready && (this.#role === 'client' || this.#phase === 'established');
  }

  #finish(reason: CloseReason): void {
    this.#phase = 'closed';
    this.#retransmission.stop();
    this.#reassembly.clear();
    this.#epochs.wipe();
    this.#early.take();
    this.#held = [];
    this.#flight = [];
    this.#effects.push({ kind: 'closed', reason });
  }

  #drop(reason: DropReason): void {
    this.#drops[reason]++;
  }
}
