import type { Instant } from '../base/brand.ts';
import type { Clock } from '../base/clock.ts';
import type { MakeAlarm } from './driver.ts';

/** setTimeout takes 31 bits of milliseconds; a later deadline is looked at again then. */
const MAX_DELAY = 2 ** 31 - 1;

/** Alarms on real time. They ring at or after their instant, never before. */
export function timerAlarms(clock: Clock): MakeAlarm {
  return (onDue) => {
    let timer: NodeJS.Timeout | undefined;
    const arm = (at: Instant): void => {
      const delay = Math.min(MAX_DELAY, Math.max(0, Math.ceil(at - clock())));
      timer = setTimeout(() => {
        // Timers round to milliseconds and may be early by a fraction.
        if (clock() < at) arm(at);
        else onDue();
      }, delay);
    };
    return {
      set(at) {
        clearTimeout(timer);
        timer = undefined;
        if (at !== undefined) arm(at);
      },
    };
  };
}
