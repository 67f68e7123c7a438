import { type Instant, ms } from '../base/brand.ts';
import { PATH_MTU_VERIFY, PATH_MTU_VERIFY_PER_PEER } from './limits.ts';
import type { PathMemory } from './path-memory.ts';
import { acknowledgePathMtu, decidePathMtu, type PathMtuState, refusePathMtu } from './path-mtu.ts';

/** The session whose path is searched. */
export interface SearchHost {
  /** Of the path it uses; the size in force is kept there. */
  readonly memory: PathMemory;
  /** Sends a probe that makes a datagram of `size` octets, unless `alone` with a small one. Yields the id of its answer. */
  probeSize(size: number, alone: boolean, now: Instant): number;
  /** The size in force is another one, larger or smaller than `before`. */
  sizeChanged(before: number): void;
}

/** What is known of the session at a look. */
export interface SearchInput {
  readonly family: 4 | 6;
  /** Largest datagram that settings allow. */
  readonly ceiling: number;
  /** It carries our traffic. */
  readonly isCurrent: boolean;
  /** Records that a path need not carry, sealed so far. */
  readonly sealedLarge: bigint;
  readonly isAlive: boolean;
  readonly lastReceive: Instant;
  readonly peerCount: number;
}

/** Carries out for one session what path-mtu.ts decides: size probes out, answers in, the size in force kept. */
export class PathMtuSearch {
  readonly #host: SearchHost;
  /** The latest probes: id to datagram size. */
  readonly #sizes = new Map<number, number>();
  /** `sealedLarge` when the path was last asked whether it carries large datagrams. */
  #largeProbed = 0n;

  constructor(host: SearchHost) {
    this.#host = host;
  }

  /** Sends the probe that is due, if any; yields when to look again. */
  look(input: SearchInput, now: Instant): Instant | undefined {
    const { pathMtu, quality } = this.#host.memory;
    const decision = decidePathMtu(pathMtu, {
      now,
      family: input.family,
      ceiling: input.ceiling,
      matters: input.isCurrent && input.sealedLarge > this.#largeProbed,
      // Small probes are answered, so silence is about size: something came since the size probe went out.
      answering: input.isAlive && input.lastReceive >= (pathMtu.probe?.at ?? input.lastReceive),
      timeout: quality.timeout,
      loss: quality.loss,
      verifyEvery: ms(Math.max(PATH_MTU_VERIFY, PATH_MTU_VERIFY_PER_PEER * input.peerCount)),
    });
    this.#adopt(decision.state);
    if (decision.probe !== undefined) {
      this.#largeProbed = input.sealedLarge;
      this.#remember(this.#host.probeSize(decision.probe, decision.alone, now), decision.probe);
    }
    return decision.nextAt;
  }

  /** The answer to the probe with this id came. False: it is none of these. */
  arrived(id: number, now: Instant): boolean {
    const size = this.#sizes.get(id);
    if (size === undefined) return false;
    this.#sizes.delete(id);
    this.#adopt(acknowledgePathMtu(this.#host.memory.pathMtu, size, now));
    return true;
  }

  /** Our own machine does not send a datagram of `size` octets. */
  refused(size: number, now: Instant): void {
    this.#adopt(refusePathMtu(this.#host.memory.pathMtu, size, now));
  }

  #remember(id: number, size: number): void {
    this.#sizes.set(id, size);
    if (this.#sizes.size <= SIZES_KEPT) return;
    const [oldest] = this.#sizes.keys();
    if (oldest !== undefined) this.#sizes.delete(oldest);
  }

  #adopt(state: PathMtuState): void {
    const { memory } = this.#host;
    const before = memory.pathMtu.mtu;
    memory.pathMtu = state;
    if (state.mtu !== before) this.#host.sizeChanged(before);
  }
}

/** Path-MTU probes whose answers are still recognised. */
const SIZES_KEPT = 16;
