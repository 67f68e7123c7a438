import { type Instant, later } from '../base/brand.ts';
import type { Context } from './context.ts';
import type { HandshakeTrigger } from './effects.ts';
import type { Leg } from './leg.ts';
import { REKEY_REQUEST_INTERVAL, REKEY_REQUEST_PATIENCE } from './limits.ts';
import { decideRekey } from './rekey.ts';
import type { Session } from './session.ts';

/**
 * Sees to fresh keys when `session`'s are old or much used: a client calls again beside it, a server asks the client to,
 * and calls by itself along `endpoint` when that does not help. Ends the session before the AEAD's limit is reached.
 */
export function renew(
  context: Context,
  session: Session,
  isCurrent: boolean,
  endpoint: Leg | undefined,
  now: Instant,
): void {
  const { protection, role } = session.association;
  if (protection === undefined || session.association.closed || session.supersededAt !== undefined) return;
  // A server's other associations are their client's concern.
  if (!isCurrent && role === 'server') return;
  const decision = decideRekey({
    now,
    role,
    aead: protection.aead,
    readings: session.readings,
    scheduledAt: session.rekeyAt,
    afterBytes: context.settings.interface.rekeyAfterData,
  });
  if (decision.kind === 'stop') {
    session.association.close('aead_limit', now);
    return;
  }
  if (decision.kind === 'rekey') session.rekeyWanted ??= decision.trigger;
  if (session.rekeyWanted === undefined || context.draining) return;
  if (role === 'server') askForRekey(session, session.rekeyWanted, endpoint, now);
  else if (session.leg?.live === session) session.leg.rekey ??= session.rekeyWanted;
}

/** Whether a handshake with this trigger replaces keys that work. */
export function isRenewal(trigger: HandshakeTrigger): boolean {
  return RENEWALS.includes(trigger);
}

const RENEWALS: readonly HandshakeTrigger[] = ['time', 'data', 'manual', 'peer'];

function askForRekey(session: Session, trigger: HandshakeTrigger, endpoint: Leg | undefined, now: Instant): void {
  session.rekeyAskedAt ??= now;
  const patient = session.speaks && now < later(session.rekeyAskedAt, REKEY_REQUEST_PATIENCE);
  const called = endpoint?.live !== undefined && endpoint.live.establishedAt >= session.rekeyAskedAt;
  if (endpoint !== undefined && !patient && !called) endpoint.rekey ??= trigger;
  if (session.rekeyAskedLast === undefined || now >= later(session.rekeyAskedLast, REKEY_REQUEST_INTERVAL)) {
    session.rekeyAskedLast = now;
    session.say({ type: 'rekey-request' });
  }
}
