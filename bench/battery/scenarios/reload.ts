import { setTimeout as delay } from 'node:timers/promises';
import { DtunnelError } from '../../../src/base/errors.ts';
import type { Site } from '../../../src/demo/rig.ts';
import { hostState } from '../../../src/demo/host-state.ts';
import { upLink } from '../../../src/demo/linked-rig.ts';
import { brokenPlan, randomPlan } from '../plans.ts';
import { Choice, type Field, type Scenario, withTraffic } from '../scenario.ts';

/** Random changes of either end's file, applied while packets flow; some are wrong, some are taken back. */
export const RELOAD: Scenario = {
  name: 'reload',
  title: 'reload: random valid changes of either end, some taken back, wrong ones refused',
  count: 1000,
  few: 12,
  floor: { lost: 0, reordered: 0 },
  promise: '0 lost',
  run: ({ count, seed, progress }) =>
    withTraffic(upLink({ callers: 'both' }), {}, async (field) => {
      const { berlin, paris } = field.linked.rig;
      const choice = new Choice(seed);
      for (let i = 0; i < count; i++) {
        const here = choice.of([berlin, paris]);
        const draw = choice.below(10);
        const step = draw < 7 ? apply : draw < 8 ? revert : refuse;
        await step(field, here, choice);
        await delay(choice.below(40));
        progress(i + 1);
      }
    }),
};

async function apply(field: Field, here: Site, choice: Choice): Promise<void> {
  const plan = randomPlan(field.linked.link, here, choice);
  field.linked.link.write(here, plan.text);
  try {
    const reply = await field.control(here).reload({ plan: false, revert: false });
    const { gapMs, lost } = await field.traffic.lap();
    field.note({ kind: 'apply', tookMs: reply.durationMs, gapMs, lost });
    if (reply.droppedPackets > 0) field.fail(`${here.name} dropped ${reply.droppedPackets} packets: ${plan.summary}`);
    if (lost > 0) field.fail(`lost ${lost} after ${here.name}: ${plan.summary}`);
    await check(field, here, plan.prefixes);
  } catch (error) {
    field.fail(`${here.name} refused ${plan.summary}: ${String(error)}`);
  }
}

/** Every prefix has its route to the tunnel's device. */
async function check(field: Field, here: Site, prefixes: readonly string[]): Promise<void> {
  const { enclosure } = field.linked.rig;
  const { stdout } = await enclosure.run([
    'ip',
    '-n',
    here.gateway,
    'route',
    'show',
    'table',
    'all',
    'dev',
    `dt-${here.name}`,
  ]);
  const missing = prefixes.filter((prefix) => !stdout.includes(`${prefix} `));
  if (missing.length > 0) field.fail(`${here.name} has no route to ${missing.join(', ')}`);
}

/** Applies a plan and takes it back: the host is as it was, to the last character. */
async function revert(field: Field, here: Site, choice: Choice): Promise<void> {
  const { rig, link } = field.linked;
  const before = configuredState(await hostState(rig, here));
  const former = link.text(here);
  const plan = randomPlan(link, here, choice);
  link.write(here, plan.text);
  try {
    await field.control(here).reload({ plan: false, revert: false });
    const reply = await field.control(here).reload({ plan: false, revert: true });
    const after = configuredState(await hostState(rig, here));
    if (after !== before) field.fail(`${here.name} is not as before ${plan.summary}:\n${difference(before, after)}`);
    const { gapMs, lost } = await field.traffic.lap();
    field.note({ kind: 'revert', tookMs: reply.durationMs, gapMs, lost });
    if (lost > 0) field.fail(`lost ${lost} when ${here.name} took back ${plan.summary}`);
  } catch (error) {
    field.fail(`${here.name}, taking back ${plan.summary}: ${String(error)}`);
  }
  link.write(here, former);
}

/** A file that is wrong changes nothing at all. */
async function refuse(field: Field, here: Site, choice: Choice): Promise<void> {
  const { rig, link } = field.linked;
  const former = link.text(here);
  const before = await hostState(rig, here);
  const { generation } = (await field.status(here)).tunnel;
  const plan = brokenPlan(former, choice);
  link.write(here, plan.text);
  try {
    await field.control(here).reload({ plan: false, revert: false });
    field.fail(`${here.name} took a file with ${plan.summary}`);
  } catch (error) {
    if (!(error instanceof DtunnelError) || !plan.codes.test(error.code)) {
      field.fail(`${here.name} refused ${plan.summary} with ${String(error)}`);
    }
  }
  if ((await hostState(rig, here)) !== before)
    field.fail(`${here.name} changed something for a file with ${plan.summary}`);
  if ((await field.status(here)).tunnel.generation !== generation) field.fail('a refused file counted as a generation');
  const { gapMs, lost } = await field.traffic.lap();
  field.note({ kind: 'refuse', gapMs, lost });
  if (lost > 0) field.fail(`lost ${lost} when ${here.name} refused ${plan.summary}`);
  link.write(here, former);
}

/** Without the MTU of the tunnel's device: it follows the path, whose search may still be under way from the reload before. */
function configuredState(state: string): string {
  return state.replace(/^(dt-\S+: .*) mtu \d+/gm, '$1');
}

function difference(before: string, after: string): string {
  const [old, fresh] = [before.split('\n'), after.split('\n')];
  const gone = old.filter((line) => !fresh.includes(line)).map((line) => `- ${line}`);
  return [...gone, ...fresh.filter((line) => !old.includes(line)).map((line) => `+ ${line}`)].join('\n');
}
