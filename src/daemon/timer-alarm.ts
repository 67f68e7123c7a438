import type { Instant } from '../base/brand.ts';
import type { Clock } from '../base/clock.ts';
import type { MakeAlarm } from './driver.ts';

/** setTimeout takes 31 bits of milliseconds; a later deadline is looked at again then. */
const MAX_DELAY = 2 ** 31 - 1;

/** Alarms on real time. They ring at or after their instant, never before. */
export function timerAlarms(clock: Clock): MakeAlarm {
  return (onDue) => {
    let timer: NodeJS.Timeout | undefined;
    let ringsAt: Instant | undefined;
    let wanted: Instant | undefined;
    const disarm = (): void => {
      clearTimeout(timer);
      ringsAt = undefined;
    };
    const arm = (at: Instant): void => {
      disarm();
      ringsAt = at;
      timer = setTimeout(ring, Math.min(MAX_DELAY, Math.max(0, Math.ceil(at - clock()))));
    };
    const ring = (): void => {
      ringsAt = undefined;
      if (wanted === undefined) return;
      // Timers round to milliseconds and may be early by a fraction; and one for an earlier instant was left as it was.
      if (clock() < wanted) arm(wanted);
      else onDue();
    };
    return {
      set(at) {
        wanted = at;
        if (at === undefined) disarm();
        // An alarm is set after every datagram and nearly always to a later instant: ringing early once costs less.
        else if (ringsAt === undefined || at < ringsAt) arm(at);
      },
    };
  };
}
