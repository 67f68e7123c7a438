import { DtunnelError, EXIT } from '../../base/errors.ts';
import type { ControlClient } from '../../control/client.ts';
import { span } from '../../base/format.ts';
import { type Io, json } from '../io.ts';
import { clientFor, pause } from '../targets.ts';

/** `dtunnel rekey [NAME] [PEER]`. */
export interface RekeyArgs {
  readonly name: string | undefined;
  readonly peer: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly timeoutMs: number;
}

/** How often to look whether the new keys are in use, ms. */
const LOOK_INTERVAL = 20;

/** Makes fresh keys with one peer or all, and waits until they are in use. Yields 8 when they are not in time. */
export async function run(args: RekeyArgs, io: Io): Promise<number> {
  const client = await clientFor(args.name, io);
  const began = Date.now();
  const before = await handshakes(client);
  const { peers } = await client.rekey(args.peer);
  const pending = new Set(peers);
  while (pending.size > 0 && Date.now() - began < args.timeoutMs) {
    const now = await handshakes(client);
    for (const peer of pending)
      if (now.get(peer) !== undefined && now.get(peer) !== before.get(peer)) pending.delete(peer);
    if (pending.size > 0) await pause(LOOK_INTERVAL);
  }
  const seconds = (Date.now() - began) / 1000;
  const done = peers.filter((peer) => !pending.has(peer));
  if (args.json) io.out(json({ schema: 'dtunnel.rekey/1', tunnel: client.name, done, pending: [...pending], seconds }));
  else if (!args.quiet && done.length > 0) io.out(`[~] new keys with ${done.join(', ')} in ${span(seconds)}\n`);
  if (pending.size === 0) return EXIT.ok;
  if (args.json) return EXIT.timeout;
  throw new DtunnelError('S022', `no new keys with ${[...pending].join(', ')} yet; the old ones stay in use`);
}

/** When the current handshake with each peer was, by name. */
async function handshakes(client: ControlClient): Promise<ReadonlyMap<string, string>> {
  const { document } = await client.status();
  return new Map(
    document.peers.flatMap(({ name, handshake }) => (handshake === undefined ? [] : [[name, handshake.at]])),
  );
}
