import { EXIT } from '../../base/errors.ts';
import { bits, type DemoReport, runDemo } from '../../demo/demo.ts';
import type { Link } from '../../demo/link.ts';
import { silent, TextNarrator } from '../../demo/narrator.ts';
import { waysIn } from '../../demo/way-in.ts';
import { type Io, json } from '../io.ts';

/** `dtunnel demo`. */
export interface DemoArgs {
  /** Leave both sites up at the end, until interrupted. */
  readonly keep: boolean;
  readonly json: boolean;
}

/**
 * Links two sites over an internet made of network namespaces, shows what the link does, and leaves nothing behind.
 * Yields the exit status: 0; 6 when something was lost that should not have been; 130 or 143 when interrupted.
 */
export async function run(args: DemoArgs, io: Io): Promise<number> {
  const narrator = new TextNarrator({
    write: io.out,
    terminal: !args.json && process.stdout.isTTY === true,
    colour: io.colour.out,
    unicode: io.unicode,
  });
  const interrupted = new AbortController();
  let status: number = EXIT.ok;
  const interrupt = (signal: NodeJS.Signals): void => {
    status = signal === 'SIGINT' ? 130 : 143;
    interrupted.abort();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    if (!args.json) io.out(`${picture(narrator, io.unicode)}\n`);
    const report = await runDemo({
      narrator: args.json ? silent : narrator,
      signal: interrupted.signal,
      ...(args.keep && { keep: (link: Link) => linger(link, io, args.json, interrupted.signal) }),
    });
    if (args.json) io.out(json(report));
    else io.out(`\n${narrator.strong(summary(report))}\n`);
    return report.ok ? EXIT.ok : EXIT.degraded;
  } catch (error) {
    if (status === EXIT.ok) {
      if (!args.json) narrator.failed();
      throw error;
    }
    // Whatever went wrong after an interruption went wrong since everything was being taken down.
    narrator.failed();
    io.err('demo: interrupted, cleaned up\n');
    return status;
  } finally {
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt);
  }
}

/** One line that says it all; what was asked of it and not delivered is in it as well. */
function summary(report: DemoReport): string {
  return [
    `demo: first ping ${report.firstPingSeconds.toFixed(1)} s after start`,
    `${bits(report.tcp.bitsPerSecond)}${report.tcp.intact && report.badPath.intact ? '' : ' DAMAGED'}`,
    `rekey ${report.rekey.lost} lost`,
    `reload ${report.reload.lost} lost`,
    'cleaned up',
  ].join(' · ');
}

function picture(narrator: TextNarrator, unicode: boolean): string {
  const [link, tunnel] = unicode ? ['───', '═══'] : ['---', '==='];
  return [
    '',
    `  berlin-lan ${link} ${narrator.strong('berlin')} ${tunnel} internet ${tunnel} ${narrator.strong('paris')} ${link} paris-lan`,
    '  10.1.0.2       203.0.113.10      198.51.100.20      10.2.0.2',
    '  fd10:1::2                                           fd10:2::2',
    '',
  ].join('\n');
}

/** `--keep`: the ways in, and then nothing until an interruption, which ends the demo as an end, not as a failure. */
async function linger({ rig }: Link, io: Io, quiet: boolean, signal: AbortSignal): Promise<void> {
  const into = waysIn(rig);
  const names = [rig.berlin.host, rig.berlin.gateway, rig.internet ?? '', rig.paris.gateway, rig.paris.host];
  const text = [
    '',
    'Both sites stay up until Ctrl-C. From another terminal, as the same user:',
    ...names.map((name) => `  ${into(name)}`),
    `and there, say: dtunnel status, dtunnel top, ping ${rig.paris.host4}, tcpdump -ni any`,
    '',
  ].join('\n');
  // With --json standard output holds one document only.
  (quiet ? io.err : io.out)(`${text}\n`);
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
