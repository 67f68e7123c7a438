import type { Enclosure } from '../src/demo/enclosure.ts';
import type { Rig } from '../src/demo/rig.ts';

/**
 * The same rig, in which whatever is started weighs as much as the scheduler lets it (sched(7), autogroup): on a machine
 * that has other work to do, daemons and load alike then compete with each other only.
 */
export function prioritized(rig: Rig): Rig {
  const { enclosure } = rig;
  const heavy: Enclosure = {
    pid: enclosure.pid,
    path: (inside) => enclosure.path(inside),
    run: (argv, options) => enclosure.run([...HEAVY, ...argv], options),
    start: (argv, options) => enclosure.start([...HEAVY, ...argv], options),
    close: () => enclosure.close(),
  };
  return { ...rig, enclosure: heavy };
}

/** Every process of an enclosure is started in a session, and so an autogroup, of its own. */
const HEAVY = ['sh', '-c', 'echo -20 >/proc/self/autogroup 2>/dev/null; exec "$@"', 'sh'];
