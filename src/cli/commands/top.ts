import { EXIT } from '../../base/errors.ts';
import type { PeerStatus, StatusDocument } from '../../control/status.ts';
import { bitRate, milliseconds, packetRate, percent } from '../../base/format.ts';
import type { Io } from '../io.ts';
import { type Look, dot, lookOf, paint, plain, stateTone } from '../paint.ts';
import { table } from '../table.ts';
import { runningTunnels } from '../targets.ts';

/** `dtunnel top`. */
export interface TopArgs {
  /** Pictures to show; undefined: until interrupted. */
  readonly count: number | undefined;
  readonly intervalMs: number;
}

/** Values remembered per peer for its sparkline. */
const HISTORY = 24;

/** Keys and screen of a terminal; a test gives another. */
export interface TopTerminal {
  /** Whether the screen can be redrawn in place. */
  readonly interactive: boolean;
  /** Resolves after `ms`, or at once when the user wants to leave. */
  readonly wait: (ms: number) => Promise<'again' | 'leave'>;
}

/** Redraws the traffic of all tunnels once a second. */
export async function run(args: TopArgs, io: Io, terminal: TopTerminal): Promise<number> {
  const history = new Map<string, number[]>();
  let before: ReadonlyMap<string, StatusDocument> = new Map();
  for (let shown = 0; args.count === undefined || shown < args.count; ) {
    const now = new Map((await runningTunnels(io)).map(({ client, answer }) => [client.name, answer.document]));
    if (before.size > 0 || now.size === 0) {
      const screen = picture(before, now, history, lookOf(io));
      // Home, the picture with every line cleared to its end, then everything below.
      io.out(terminal.interactive ? `\u001b[H${screen.replaceAll('\n', '\u001b[K\n')}\u001b[J` : `${screen}\n`);
      shown += 1;
    }
    before = now;
    if (args.count !== undefined && shown >= args.count) break;
    if ((await terminal.wait(args.intervalMs)) === 'leave') break;
  }
  return EXIT.ok;
}

const COLUMNS = [
  { title: 'PEER' },
  { title: 'STATE' },
  { title: 'RECEIVING', align: 'right' },
  { title: '', align: 'right' },
  { title: 'SENDING', align: 'right' },
  { title: '', align: 'right' },
  { title: 'RTT', align: 'right' },
  { title: 'LOSS', align: 'right' },
  { title: 'DROPS/S', align: 'right' },
  { title: 'LAST' },
] as const;

/** One picture of what happened between two looks. */
export function picture(
  before: ReadonlyMap<string, StatusDocument>,
  now: ReadonlyMap<string, StatusDocument>,
  history: Map<string, number[]>,
  look: Look,
): string {
  if (now.size === 0) return 'no tunnel is running\n';
  const blocks = [...now].map(([name, status]) => {
    const previous = before.get(name);
    const seconds = previous === undefined ? 0 : (Date.parse(status.time) - Date.parse(previous.time)) / 1000;
    const rows = status.peers.map((peer) => {
      const earlier = previous?.peers.find((other) => other.name === peer.name);
      return row(peer, earlier, seconds, remembered(history, `${name} ${peer.name}`), look);
    });
    const cpu = cpuText(previous, status, seconds);
    const head = `${dot(look, status.tunnel.state)} ${paint(look, 'strong', name)}  ${status.tunnel.state}${cpu}`;
    return [head, ...table(COLUMNS, rows).map((line) => `  ${line}`)].join('\n');
  });
  return plain(look, `${blocks.join('\n\n')}\n`);
}

function row(
  peer: PeerStatus,
  earlier: PeerStatus | undefined,
  seconds: number,
  recent: number[],
  look: Look,
): readonly string[] {
  const rate = (value: (peer: PeerStatus) => number): number =>
    earlier === undefined || seconds <= 0 ? 0 : Math.max(0, value(peer) - value(earlier)) / seconds;
  const receiving = rate(({ transfer }) => transfer.receiveBytes) * 8;
  const sending = rate(({ transfer }) => transfer.transmitBytes) * 8;
  const drops = rate((one) => Object.values(one.drops).reduce((sum, count) => sum + count, 0));
  recent.push(receiving + sending);
  if (recent.length > HISTORY) recent.shift();
  return [
    peer.name,
    paint(look, stateTone(peer.state), peer.state),
    bitRate(receiving),
    packetRate(rate(({ transfer }) => transfer.receivePackets)),
    bitRate(sending),
    packetRate(rate(({ transfer }) => transfer.transmitPackets)),
    peer.path?.rttSeconds === undefined ? '–' : milliseconds(peer.path.rttSeconds),
    peer.path === undefined ? '–' : percent(peer.path.lossRatio),
    drops === 0 ? '0' : paint(look, 'warning', drops.toFixed(0)),
    look.unicode ? sparkline(recent) : '',
  ];
}

/** CPU time of the data plane per packet carried, when there were enough packets to tell. */
function cpuText(previous: StatusDocument | undefined, status: StatusDocument, seconds: number): string {
  const packets = (document: StatusDocument): number =>
    document.peers.reduce((sum, { transfer }) => sum + transfer.receivePackets + transfer.transmitPackets, 0);
  if (previous === undefined || seconds <= 0) return '';
  const cpu = status.tunnel.dataPlane.cpuSeconds - previous.tunnel.dataPlane.cpuSeconds;
  const carried = packets(status) - packets(previous);
  const perPacket = carried < 1000 ? '' : `  ${Math.round((cpu / carried) * 1e9)} ns/packet`;
  return `  cpu ${percent(cpu / seconds, 0)}${perPacket}`;
}

const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/** Values as bars from nothing to the largest of them. */
export function sparkline(values: readonly number[]): string {
  const top = Math.max(...values, 1);
  return values
    .map((value) => BARS[Math.min(BARS.length - 1, Math.floor((value / top) * BARS.length))] ?? ' ')
    .join('');
}

function remembered(history: Map<string, number[]>, key: string): number[] {
  const known = history.get(key);
  if (known !== undefined) return known;
  const fresh: number[] = [];
  history.set(key, fresh);
  return fresh;
}

/** The real terminal: an alternate screen, `q` and Ctrl-C leave. Yields the call that gives the screen back. */
export function openTerminal(signal: AbortSignal): { readonly terminal: TopTerminal; readonly close: () => void } {
  const { stdin, stdout } = process;
  const interactive = stdout.isTTY === true;
  let leave: (() => void) | undefined;
  let left = false;
  const onLeave = (): void => {
    left = true;
    leave?.();
  };
  const onKey = (key: Buffer): void => {
    if (['q', 'Q', '\u0003', '\u001b'].includes(key.toString('latin1'))) onLeave();
  };
  signal.addEventListener('abort', onLeave);
  if (interactive) stdout.write('\u001b[?1049h\u001b[?25l\u001b[2J');
  const keys = interactive && stdin.isTTY === true;
  if (keys) {
    stdin.setRawMode(true);
    stdin.on('data', onKey);
  }
  return {
    terminal: {
      interactive,
      wait: (ms) =>
        new Promise((resolve) => {
          const timer = setTimeout(() => resolve('again'), ms);
          leave = () => {
            clearTimeout(timer);
            resolve('leave');
          };
          if (left) leave();
        }),
    },
    close: () => {
      signal.removeEventListener('abort', onLeave);
      if (interactive) stdout.write('\u001b[?25h\u001b[?1049l');
      if (!keys) return;
      stdin.off('data', onKey);
      stdin.setRawMode(false);
      stdin.pause();
    },
  };
}
