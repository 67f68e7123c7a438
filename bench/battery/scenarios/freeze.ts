import { setTimeout as delay } from 'node:timers/promises';
import { monotonicClock } from '../../../src/base/clock.ts';
import { upLink } from '../../../src/demo/linked-rig.ts';
import { type Scenario, withTraffic } from '../scenario.ts';

/** SIGSTOP of one end for `seconds`, as a suspended machine sees it from outside, and SIGCONT. */
function freeze(name: string, seconds: number, count: number): Scenario {
  return {
    name,
    title: `an end is stopped for ${seconds} s (SIGSTOP); from SIGCONT until traffic flows both ways`,
    count,
    few: seconds > 5 ? 0 : 2,
    floor: { tookMs: 3000 },
    promise: '≤ 3 s',
    run: ({ count: times, progress }) =>
      withTraffic(upLink(), { tcp: false }, async (field) => {
        const { linked } = field;
        const { rig } = linked;
        for (let i = 0; i < times; i++) {
          const here = i % 2 === 0 ? rig.berlin : rig.paris;
          const pid = String((await field.status(here)).tunnel.pid);
          await rig.enclosure.run(['kill', '-STOP', pid]);
          await delay(seconds * 1000);
          await field.traffic.lap();
          const at = monotonicClock();
          await rig.enclosure.run(['kill', '-CONT', pid]);
          await delay(3500);
          const { gapEndedAt, gapMs, lost } = await field.traffic.lap();
          // Less than this is no interruption but the pace of a busy machine.
          field.note({ kind: here.name, tookMs: gapMs < 50 ? 0 : Math.max(0, gapEndedAt - at), lost });
          progress(i + 1);
        }
      }),
  };
}

/** A second: shorter than any patience. */
export const FREEZE_SHORT = freeze('freeze', 1, 20);
/** Longer than DeadAfter. */
export const FREEZE_LONG = freeze('freeze-30s', 30, 4);
/** Longer than NAT mappings and lingering keys live; on demand. */
export const FREEZE_VERY_LONG = freeze('freeze-10min', 600, 0);
