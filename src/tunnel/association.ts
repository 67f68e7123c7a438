import type { Duration, Fingerprint, Instant, PathMtu, PeerId } from '../base/brand.ts';
import { assertNever, invariant } from '../base/invariant.ts';
import type { AeadName } from '../crypto/aead.ts';
import type { Identity } from '../crypto/identity.ts';
import type { CloseCode, CloseReason, Effect, EpochKeys, Established, Role } from '../dtls/effects.ts';
import { sealedOverhead } from '../dtls/protection.ts';
import type { Authorization, ConnectionOptions, SuiteName } from '../dtls/options.ts';
import type { SansIo } from '../dtls/sans-io.ts';
import type { Path } from '../net/endpoint.ts';
import { toHex } from '../wire/bytes.ts';
import type { Context, Engines } from './context.ts';
import type { HandshakeTrigger } from './effects.ts';
import { helloMark } from './hello.ts';
import type { AssociationExport, AssociationState } from './handover.ts';
import { CALL_TIMER_CEILING, FLIGHT_SIZES, PROTOCOL, UNPROVEN_FACTOR } from './limits.ts';
import type { SlotLease } from './slots.ts';

/** Who is told what becomes of an association. */
export interface AssociationOwner {
  /** Keys are installed and the handshake is complete. */
  established(association: Association, session: Established, now: Instant): void;
  /** A record of application data that came before the keys were installed. */
  data(association: Association, payload: Uint8Array, now: Instant): void;
  /** It is over: nothing more is sent on it, and its keys go as soon as this returns. */
  closed(association: Association, reason: CloseReason, now: Instant): void;
}

/** How to begin an association. */
export interface AssociationSpec {
  readonly owner: AssociationOwner;
  /** The slot it is to have; given back when it ends. */
  readonly lease: SlotLease;
  readonly role: Role;
  readonly path: Path;
  readonly trigger: HandshakeTrigger;
  /** Server: the datagram that the front door accepted. */
  readonly hello?: Uint8Array;
  /** Client: whom we call; undefined when only the certificate will tell. */
  readonly peer?: PeerId;
  /** Who we are; default: the identity in force. */
  readonly identity?: Identity;
  readonly authorize: (peer: Fingerprint) => Authorization | undefined;
  readonly expected: string;
  readonly handshakeTimeout: Duration;
  readonly initialTimeout: Duration;
  /** Path MTU to install with: what is known of the path. */
  readonly pathMtu: PathMtu;
  /** Octets that were received from an address that has proven nothing; undefined: no limit on what is sent. */
  readonly unproven?: number;
  /** Another process has established it: the data plane has its keys already. */
  readonly continued?: AssociationState;
}

/**
 * One DTLS run: drives its engine, translates the engine's effects into the tunnel's, and owns the session slot from
 * beginning to end. While it is a handshake a datagram comes through `receive`; once its keys are installed the data
 * plane owns the records and only control content comes back, through `receiveOpened`.
 */
export class Association {
  readonly lease: SlotLease;
  readonly role: Role;
  readonly trigger: HandshakeTrigger;
  readonly startedAt: Instant;
  /** Where its datagrams go; changes when the peer moves. */
  path: Path;
  /** The peer that the certificate named; undefined before. */
  peer: PeerId | undefined;
  /** Known once established. */
  session: Established | undefined;
  /** Octets received during the handshake, and when the latest came. */
  received = 0;
  heardAt: Instant | undefined;
  /** Client: the random of its hello, the same in all its datagrams; undefined before the first was made. */
  helloRandom: string | undefined;
  /** When the far end showed its certificate; undefined before. */
  shownAt: Instant | undefined;
  readonly #context: Context;
  #engine: SansIo;
  #owner: AssociationOwner;
  #fingerprint: Fingerprint | undefined;
  #installed: { readonly aead: AeadName; readonly overhead: number } | undefined;
  readonly #pathMtu: PathMtu;
  /** Octets that came from an address that has proven nothing; undefined: what is sent is not limited. */
  #unproven: number | undefined;
  /** The latest datagram that the limit held back. */
  #withheld: Uint8Array | undefined;
  #sent = 0;
  #closed = false;

  constructor(context: Context, spec: AssociationSpec, now: Instant) {
    this.#context = context;
    this.#owner = spec.owner;
    this.lease = spec.lease;
    this.role = spec.role;
    this.path = spec.path;
    this.trigger = spec.trigger;
    this.startedAt = spec.continued?.startedAt ?? now;
    this.peer = spec.peer;
    this.#pathMtu = spec.pathMtu;
    this.#unproven = spec.unproven;
    this.#engine =
      spec.continued === undefined ? this.#makeEngine(spec) : this.#continueFrom(spec.continued, context.engines);
    context.registry.add(this);
  }

  /** For another process to go on with; undefined while it is a handshake. */
  export(): AssociationExport | undefined {
    const continuation = this.#engine.continuation();
    const { session, lease } = this;
    if (continuation === undefined || session === undefined || this.#installed === undefined || this.#closed) {
      return undefined;
    }
    const { peerCertificate, peer, role, ...established } = session;
    const { lastFlight, renegotiationAlerts } = continuation;
    return {
      slot: lease.slot,
      connectionId: toHex(lease.connectionId),
      role,
      trigger: this.trigger,
      startedAt: this.startedAt,
      path: this.path,
      fingerprint: peer,
      ...this.#installed,
      established: { ...established, peerCertificate: toHex(peerCertificate) },
      continuation: {
        lastFlight: lastFlight === undefined ? undefined : { ...lastFlight, finished: toHex(lastFlight.finished) },
        renegotiationAlerts,
      },
    };
  }

  /** Sends the first flight, or answers the accepted hello. */
  start(now: Instant): void {
    this.#engine.start(now);
    this.#pump(now);
  }

  /** A datagram of the handshake. */
  receive(datagram: Uint8Array, now: Instant): void {
    this.received += datagram.length;
    this.heardAt = now;
    this.#fitFlights(now);
    this.#engine.receive(datagram, now);
    if (this.#fingerprint !== undefined) this.shownAt ??= now;
    this.#pump(now);
  }

  /** `octets` more came from the address that has proven nothing: so much more may be sent to it. */
  grant(octets: number): void {
    if (this.#unproven === undefined || this.session !== undefined) return;
    this.#unproven += octets;
    if (this.#withheld !== undefined) this.#transmit(this.#withheld);
  }

  /** A record that the data plane opened (content types 20 … 22). */
  receiveOpened(contentType: number, fragment: Uint8Array, now: Instant): void {
    this.#engine.receiveOpened(contentType, fragment, now);
    this.#pump(now);
  }

  tick(now: Instant): void {
    this.#fitFlights(now);
    this.#engine.tick(now);
    this.#pump(now);
  }

  /** Says so to the peer (close_notify, or an alert fitting `code`) and ends it. Harmless when it has ended. */
  close(code: CloseCode, now: Instant): void {
    if (this.#closed) return;
    this.#engine.close(code, now);
    this.#pump(now);
    // An engine that had nothing to say to anybody ends without an effect.
    if (!this.#closed) this.#end({ code, by: 'local', alert: undefined, seen: undefined, expected: undefined }, now);
  }

  /** Ends it without a word to the peer. */
  abandon(now: Instant): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release(now);
  }

  /** Hands responsibility to `owner`: a server's handshake gets one when its peer is known. */
  transfer(owner: AssociationOwner): void {
    this.#owner = owner;
  }

  /** Has the data plane seal `fragment` as application data and send it, along `path` if given. */
  seal(fragment: Uint8Array, path: Path | undefined): void {
    invariant(this.#installed !== undefined && !this.#closed, 'only an installed association seals');
    this.#context.emit({ kind: 'seal', slot: this.lease.slot, contentType: 23, fragment, path });
  }

  /** Datagrams go along `path` from now on. */
  move(path: Path): void {
    const before = this.path;
    this.path = path;
    this.#context.registry.moved(this, before);
    this.#context.emit({ kind: 'move', slot: this.lease.slot, path });
  }

  get installed(): boolean {
    return this.#installed !== undefined && !this.#closed;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The AEAD of the installed keys and the octets around each inner packet; undefined before. */
  get protection(): { readonly aead: AeadName; readonly overhead: number } | undefined {
    return this.#installed;
  }

  /** The fingerprint of the peer's certificate, once it was presented and accepted. */
  get fingerprint(): Fingerprint | undefined {
    return this.#fingerprint;
  }

  get deadline(): Instant | undefined {
    return this.#closed ? undefined : this.#engine.deadline;
  }

  #continueFrom(state: AssociationState, engines: Engines): SansIo {
    const { aead, overhead, fingerprint, established, continuation } = state;
    this.#installed = { aead, overhead };
    this.#fingerprint = fingerprint;
    this.session = { ...established, protocol: established.protocol, peer: fingerprint, role: state.role };
    const { lastFlight, renegotiationAlerts } = continuation;
    return engines.continued({ lastFlight, renegotiationAlerts });
  }

  #makeEngine(spec: AssociationSpec): SansIo {
    const { settings, identity, crypto, engines } = this.#context;
    const options: ConnectionOptions = {
      role: spec.role,
      identity: spec.identity ?? identity,
      authorize: (peer) => {
        const verdict = spec.authorize(peer);
        if (verdict !== undefined) this.#fingerprint = peer;
        return verdict;
      },
      expected: spec.expected,
      maxDatagram: Math.min(spec.pathMtu, FLIGHT_SIZES[0].octets),
      protocols: [PROTOCOL],
      connectionId: this.lease.connectionId,
      initialTimeout: spec.initialTimeout,
      maxTimeout: CALL_TIMER_CEILING,
      handshakeTimeout: spec.handshakeTimeout,
      offload: true,
      crypto,
      ...(settings.interface.ciphers === 'auto' ? {} : { suites: settings.interface.ciphers.flatMap(suitesOf) }),
    };
    return spec.hello === undefined ? engines.client(options) : engines.server(options, spec.hello);
  }

  /** Performs what the engine asks for; what concerns the owner is told after everything was sent. */
  #pump(now: Instant): void {
    const outcomes: Effect[] = [];
    for (let effect = this.#engine.poll(); effect !== undefined; effect = this.#engine.poll()) {
      if (this.#closed) return;
      switch (effect.kind) {
        case 'transmit':
          if (this.role === 'client') this.helloRandom ??= helloMark(effect.datagram)?.random;
          this.#transmit(effect.datagram);
          break;
        case 'install':
          if (!this.#install(effect.keys, effect.protocol)) {
            this.close('aborted', now);
            return;
          }
          break;
        case 'seal':
          this.#context.emit({
            kind: 'seal',
            slot: this.lease.slot,
            contentType: effect.contentType,
            fragment: effect.fragment,
            path: undefined,
          });
          break;
        case 'established':
        case 'data':
        case 'closed':
          outcomes.push(effect);
          break;
        default:
          assertNever(effect, 'engine effect');
      }
    }
    for (const outcome of outcomes) {
      if (this.#closed) return;
      if (outcome.kind === 'established') {
        this.session = outcome.session;
        this.#letGo();
        this.#owner.established(this, outcome.session, now);
      } else if (outcome.kind === 'data') {
        this.#owner.data(this, outcome.payload, now);
      } else if (outcome.kind === 'closed') {
        this.#end(outcome.reason, now);
      }
    }
  }

  /** Once its keys are the data plane's, an engine needs no more than another process would: the handshake goes. */
  #letGo(): void {
    const rest = this.#installed === undefined ? undefined : this.#engine.continuation();
    if (rest !== undefined) this.#engine = this.#context.engines.continued(rest);
  }

  #transmit(datagram: Uint8Array): void {
    if (this.#unproven !== undefined && this.session === undefined) {
      // One hello no larger than what provoked it; more only once something came back (RFC 9000 §8.1 has the factor).
      const credit = this.received === 0 ? this.#unproven : UNPROVEN_FACTOR * (this.#unproven + this.received);
      if (this.#sent + datagram.length > credit) {
        this.#withheld = datagram;
        return;
      }
    }
    this.#withheld = undefined;
    this.#sent += datagram.length;
    this.#context.emit({ kind: 'send', path: this.path, datagram });
  }

  #install(keys: EpochKeys, protocol: string | undefined): boolean {
    const peer = this.#fingerprint === undefined ? undefined : this.#context.identify(this.#fingerprint);
    // The peer was removed or disabled while its handshake ran.
    if (peer === undefined) return false;
    this.peer = peer.id;
    this.#installed = { aead: keys.write.aead, overhead: sealedOverhead(keys.write, keys.peerConnectionId) };
    this.#context.emit({
      kind: 'install',
      slot: this.lease.slot,
      peer: peer.id,
      keys,
      path: this.path,
      pathMtu: this.#pathMtu,
      packs: protocol === PROTOCOL,
    });
    return true;
  }

  #end(reason: CloseReason, now: Instant): void {
    this.#closed = true;
    // The owner moves its traffic elsewhere before the keys go.
    this.#owner.closed(this, reason, now);
    this.#release(now);
  }

  #release(now: Instant): void {
    this.#context.registry.remove(this);
    if (this.#installed) this.#context.emit({ kind: 'retire', slot: this.lease.slot });
    this.#context.slots.release(this.lease, this.#installed !== undefined, now);
  }

  /** A handshake that takes long is perhaps one whose flights are larger than the path. */
  #fitFlights(now: Instant): void {
    if (this.session !== undefined) return;
    const age = now - this.startedAt;
    const size = FLIGHT_SIZES.findLast((step) => age >= step.after)?.octets;
    if (size !== undefined) this.#engine.setMaxDatagram(Math.min(size, this.#pathMtu));
  }
}

/** The suites of RFC 5289 and RFC 7905 with this AEAD, for either kind of certificate key. */
function suitesOf(aead: AeadName): readonly SuiteName[] {
  switch (aead) {
    case 'aes-128-gcm':
      return ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'];
    case 'aes-256-gcm':
      return ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'];
    case 'chacha20-poly1305':
      return ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'];
    default:
      return assertNever(aead, 'AEAD');
  }
}
