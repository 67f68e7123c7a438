import { setTimeout as delay } from 'node:timers/promises';
import { upLink } from '../../../src/demo/linked-rig.ts';
import { Choice, type Field, type Scenario, until, withTraffic } from '../scenario.ts';

/** Fresh keys, asked for by either end or both at once, then by volume and by time. */
export const REKEY: Scenario = {
  name: 'rekey',
  title: 'rekey: by command at either end or both at once, by volume, by time',
  count: 1000,
  few: 8,
  floor: { lost: 0, reordered: 0 },
  promise: '0 lost',
  run: ({ count, seed, progress }) =>
    withTraffic(upLink({ callers: 'both' }), {}, async (field) => {
      const choice = new Choice(seed);
      const byCommand = Math.ceil(count * 0.9);
      for (let i = 0; i < byCommand; i++) {
        await rekeyByCommand(field, choice.of(['berlin', 'paris', 'both']));
        progress(i + 1);
      }
      const rest = Math.max(1, count - byCommand);
      await rekeyBy(field, 'data', { RekeyAfterData: '64KiB' }, Math.ceil(rest * 0.8));
      await rekeyBy(field, 'time', { RekeyAfter: '1s' }, Math.max(1, Math.floor(rest * 0.2)));
      progress(count);
    }),
};

async function rekeyByCommand(field: Field, who: 'berlin' | 'paris' | 'both'): Promise<void> {
  const { berlin, paris } = field.linked.rig;
  const ends = who === 'both' ? [berlin, paris] : [who === 'berlin' ? berlin : paris];
  const before = await handshakesAt(field);
  await Promise.all(ends.map((end) => field.control(end).rekey(undefined)));
  const fresh = async (): Promise<boolean> => {
    const now = await handshakesAt(field);
    return now.every((at, i) => at !== undefined && at !== before[i]);
  };
  const tookMs = await until(fresh, 5000);
  if (tookMs === undefined) field.fail(`no fresh keys within 5 s of a rekey by ${who}`);
  const { gapMs, lost } = await field.traffic.lap();
  field.note({ kind: who, gapMs, lost, ...(tookMs === undefined ? {} : { tookMs }) });
}

async function handshakesAt(field: Field): Promise<readonly (string | undefined)[]> {
  const { berlin, paris } = field.linked.rig;
  return Promise.all([berlin, paris].map(async (end) => (await field.peer(end))?.handshake?.at));
}

/** Has both ends rekey by themselves until `times` of them are counted. */
async function rekeyBy(
  field: Field,
  trigger: 'data' | 'time',
  settings: Readonly<Record<string, string>>,
  times: number,
): Promise<void> {
  const { rig, link } = field.linked;
  const counted = async (): Promise<number> =>
    (await field.metric(rig.berlin, 'dtunnel_rekeys_total', `trigger="${trigger}"`)) +
    (await field.metric(rig.paris, 'dtunnel_rekeys_total', `trigger="${trigger}"`));
  for (const end of [rig.berlin, rig.paris]) {
    link.configure(end, { interface: settings });
    await field.control(end).reload({ plan: false, revert: false });
  }
  const before = await counted();
  for (let seen = 0, tries = 0; seen < times; tries++) {
    if (tries > 60 + 10 * times) {
      field.fail(`only ${seen} of ${times} rekeys by ${trigger}`);
      return;
    }
    await delay(250);
    const now = (await counted()) - before;
    const { gapMs, lost } = await field.traffic.lap();
    for (; seen < Math.min(now, times); seen++) field.note({ kind: trigger, gapMs, lost });
  }
}
