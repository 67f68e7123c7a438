import type { CloseReason } from '../dtls/effects.ts';

/** Why an association with an expired certificate ends where `ExpirePolicy = enforce`. */
export const EXPIRED: CloseReason = {
  code: 'bad_certificate',
  by: 'local',
  alert: undefined,
  seen: 'an expired certificate',
  expected: 'ExpirePolicy = enforce asks for a valid one',
};
