import type { Settings } from '../../config/settings.ts';
import type { Plane } from '../../plane/plane.ts';
import type { Host } from './host.ts';
import { UndoStack } from '../undo.ts';

/**
 * Changes the host from `before` to `after` together with the mark on our datagrams, in an order in which none of them is
 * ever led into the tunnel and no inner packet ever past it:
 *
 * - a mark comes before the rules that ask for it;
 * - a mark goes after the rules that asked for it;
 * - between two marks, the new one may pass by the old rules until the new ones stand.
 *
 * All or nothing; yields the way back.
 */
export async function changeMarkedHost(
  host: Pick<Host, 'markFor' | 'letPass' | 'change'>,
  plane: Pick<Plane, 'setMark'>,
  before: Settings,
  after: Settings,
): Promise<() => Promise<void>> {
  const [from, to] = [host.markFor(before), host.markFor(after)];
  if (from === to) return await host.change(after);
  const undo = new UndoStack(() => undefined);
  let closeBridge = async (): Promise<void> => undefined;
  const mark = (wanted: number | undefined, present: number | undefined): void => {
    plane.setMark(wanted);
    undo.push(() => plane.setMark(present));
  };
  try {
    if (from !== undefined && to !== undefined) {
      closeBridge = await host.letPass(to);
      undo.push(closeBridge);
    }
    if (to !== undefined) mark(to, from);
    undo.push(await host.change(after));
    if (to === undefined) mark(to, from);
  } catch (error) {
    await undo.unwind();
    throw error;
  }
  await closeBridge();
  return async () => {
    await changeMarkedHost(host, plane, after, before);
  };
}
