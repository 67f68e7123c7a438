import { setTimeout as delay } from 'node:timers/promises';
import type { Rig } from './rig.ts';

/** What passed the internet's side of Berlin while it listened. */
export interface Sniffed {
  /** Whole capture file. */
  readonly bytes: Buffer;
  /** Packets with an inner address in the clear, as tcpdump prints them. */
  readonly clear: readonly string[];
}

/** Records every packet between the sites until `stop`. */
export async function sniff(rig: Rig): Promise<{ stop(): Promise<Sniffed> }> {
  const device = rig.berlin.internetSide ?? '';
  const netns = rig.internet ?? '';
  const file = '/run/sniffed.pcap';
  const child = rig.enclosure.start(['tcpdump', '-i', device, '-s', '0', '-B', '16384', '-U', '-w', '-'], {
    netns,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  let said = '';
  const listening = new Promise<void>((resolve, reject) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      if (said.includes('listening on')) resolve();
    });
    child.once('close', () => reject(new Error(`tcpdump: ${said}`)));
  });
  await listening;
  return {
    stop: async () => {
      await delay(300);
      const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
      await closed;
      const bytes = Buffer.concat(chunks);
      const inner = 'net 10.0.0.0/8 or net 172.31.0.0/16 or net fd10::/16 or net fd31::/16';
      const { stdout } = await rig.enclosure.run(
        ['sh', '-c', `cat > ${file}; tcpdump -nr ${file} '${inner}' 2>/dev/null`],
        {
          input: bytes,
          netns,
        },
      );
      return { bytes, clear: stdout.split('\n').filter((line) => line !== '') };
    },
  };
}
