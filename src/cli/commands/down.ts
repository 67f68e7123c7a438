import { DtunnelError, EXIT } from '../../base/errors.ts';
import type { ControlClient } from '../../control/client.ts';
import { type Io, json } from '../io.ts';
import { clientOf, pause } from '../targets.ts';

/** `dtunnel down NAME`. */
export interface DownArgs {
  readonly name: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly timeoutMs: number;
}

/** Stops a tunnel and says what was undone. */
export async function run(args: DownArgs, io: Io): Promise<number> {
  const client = clientOf(args.name, io, args.timeoutMs);
  const { changes, told } = await client.down();
  await gone(client, args.timeoutMs);
  if (args.json) io.out(json({ schema: 'dtunnel.down/1', tunnel: client.name, changes, told }));
  else if (!args.quiet) {
    for (const change of changes) io.out(`[-] ${change}\n`);
    if (told.length > 0) io.out(`told ${told.join(', ')} that we are leaving\n`);
  }
  return EXIT.ok;
}

/** Waits until nobody answers any more, so that the next command finds a clean place. */
export async function gone(client: ControlClient, timeoutMs: number): Promise<void> {
  const until = Date.now() + timeoutMs;
  while (Date.now() < until) {
    const running = await client.hello().then(
      () => true,
      (error: unknown) => !(error instanceof DtunnelError && error.code === 'S016'),
    );
    if (!running) return;
    await pause(10);
  }
  throw new DtunnelError('S022', `${client.name} answered but did not end within ${timeoutMs / 1000} s`);
}
