import { earliest, type Instant, later, ms } from '../base/brand.ts';
import type { Role } from '../dtls/effects.ts';
import type { HandshakeTrigger } from './effects.ts';
import { ENDPOINT_STAGGER } from './limits.ts';
import type { Health } from './liveness.ts';

/** One way to the peer, as far as the decision to call along it matters. */
export interface LegView {
  /** Place among the configured endpoints; undefined: an address that is not configured. */
  readonly index: number | undefined;
  /** How the association made along it answers; undefined: there is none. */
  readonly live: Health | undefined;
  /** It carries our traffic. */
  readonly isCurrent: boolean;
  /** The peer was last met there, before we started or it was enabled. */
  readonly remembered: boolean;
}

/** What is known when deciding whom to call. */
export interface CallInput {
  readonly now: Instant;
  readonly legs: readonly LegView[];
  /** The association that carries our traffic. */
  readonly current:
    | { readonly role: Role; readonly health: Health; readonly speaks: boolean; readonly draining: boolean }
    | undefined;
  /** Since when there has been none that answers. */
  readonly troubleSince: Instant | undefined;
  /** It has been up before. */
  readonly everUp: boolean;
}

/** Why each leg is to be called, in the order of the input, and when to decide again. */
export interface CallDecision {
  readonly triggers: readonly (HandshakeTrigger | undefined)[];
  readonly nextAt: Instant | undefined;
}

/**
 * Which legs to call. Without an association that answers: where the peer was last met, and all endpoints, each a
 * little after the one before it. With
 * one: those that come before it in the settings (to go back), and one other to keep warm. Peers that called us are
 * left to decide for themselves, and plain peers keep one association, since a second could displace the first.
 */
export function decideCalls(input: CallInput): CallDecision {
  const { current, legs } = input;
  if (current === undefined || current.health !== 'alive') return callAll(input);

  const currentIndex = legs.find((leg) => leg.isCurrent)?.index;
  const standby = current.speaks && current.role === 'client';
  const warm = legs.some((leg) => !leg.isCurrent && leg.index !== undefined && isLive(leg));
  let another = warm;
  const triggers = legs.map((leg): HandshakeTrigger | undefined => {
    if (leg.isCurrent || leg.index === undefined || isLive(leg)) return undefined;
    // The peer stops soon: any other way is better.
    if (current.draining) return 'failover';
    if (!standby) return undefined;
    if (currentIndex === undefined || leg.index < currentIndex) return 'failover';
    if (another) return undefined;
    another = true;
    return 'failover';
  });
  return { triggers, nextAt: undefined };
}

/** Whether an association along a configured leg that does not carry our traffic is worth keeping. */
export function keepsStandby(current: CallInput['current'], leg: LegView): boolean {
  if (leg.index === undefined || current === undefined) return false;
  return current.health !== 'alive' || current.draining || (current.speaks && current.role === 'client');
}

function callAll(input: CallInput): CallDecision {
  const { now, current, legs } = input;
  const since = input.troubleSince ?? now;
  const trigger = current !== undefined ? 'failover' : input.everUp ? 'retry' : 'start';
  const configured = legs.some((leg) => leg.index !== undefined);
  let nextAt: Instant | undefined;
  const triggers = legs.map((leg): HandshakeTrigger | undefined => {
    if (!leg.isCurrent && isLive(leg)) return undefined;
    if (leg.remembered) return trigger;
    // An address that is not configured is called again only while nothing better is known.
    if (leg.index === undefined) return configured || !leg.isCurrent ? undefined : trigger;
    const at = later(since, ms(leg.index * ENDPOINT_STAGGER));
    if (now >= at) return trigger;
    nextAt = earliest(nextAt, at);
    return undefined;
  });
  return { triggers, nextAt };
}

function isLive(leg: LegView): boolean {
  return leg.live !== undefined && leg.live !== 'dead' && leg.live !== 'suspect';
}
