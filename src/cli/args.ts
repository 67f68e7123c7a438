import yargs, { type Argv } from 'yargs';
import { DtunnelError } from '../base/errors.ts';
import { nearest } from '../config/suggest.ts';
import { LOG_LEVELS } from '../control/log-levels.ts';
import { failureJson, reportFailure } from './failure.ts';
import { Interruption } from './interruption.ts';
import { type ColourChoice, type Io, json, processIo } from './io.ts';

/** Every command with its line of help; the order is that of `dtunnel --help`. */
const HELP = {
  up: 'start a tunnel in the background',
  down: 'stop a tunnel and undo what it changed',
  status: 'show tunnels and peers',
  reload: 'apply the configuration file to a running tunnel',
  rekey: 'make fresh keys with a peer',
  rotate: 'bring a new key and certificate into force, once every peer knows it',
  drain: 'let peers fail over, then stop',
  upgrade: 'put the program as it is on disk under a running tunnel, without loss',
  top: 'watch traffic, once a second',
  logs: 'show the log of a running tunnel',
  events: 'print what happens, one JSON document a line',
  metrics: 'print all metrics',
  ping: 'probe a peer through the tunnel',
  probe: 'shake hands with HOST:PORT and tell what is there',
  doctor: 'find out why a tunnel does not work',
  keygen: 'make a key and its certificate',
  fingerprint: 'print the fingerprint of a certificate, or of who listens at HOST:PORT',
  check: 'check one configuration, or both ends of a link',
  fmt: 'print configurations in canonical form',
  convert: 'translate a WireGuard configuration',
  config: 'describe every key of a configuration',
  'log-level': 'change how much a running tunnel logs',
  run: 'run a tunnel in the foreground, as service managers and containers want it',
  demo: 'link two sites in network namespaces and show what the link does',
  completion: 'print a completion script',
  help: 'explain an error code',
  version: 'print the version',
} as const;

type CommandName = keyof typeof HELP;

/** What every command is given. */
interface Session {
  readonly io: Io;
  readonly interruption: Interruption;
  /** Takes the exit status of the command that ran. */
  readonly ended: (status: number) => void;
}

/** Carries out one command line. Yields its exit status; never throws. */
export async function runCli(argv: readonly string[]): Promise<number> {
  const io = processIo(colourChoice(argv));
  const interruption = new Interruption();
  let status = 0;
  const session: Session = {
    io,
    interruption,
    ended: (value) => {
      status = value;
    },
  };
  try {
    await program(argv, session).parseAsync();
    return interruption.status ?? status;
  } catch (error) {
    if (interruption.status !== undefined) return interruption.status;
    if (argv.includes('--json')) io.out(json(failureJson(error)));
    return reportFailure(error, io);
  } finally {
    interruption.end();
  }
}

/** `--color` decides how errors look too, so it is found before anything is parsed. */
function colourChoice(argv: readonly string[]): ColourChoice {
  const at = argv.findIndex((arg) => arg === '--color' || arg.startsWith('--color='));
  const value = argv[at]?.split('=')[1] ?? argv[at + 1];
  return at >= 0 && (value === 'always' || value === 'never') ? value : 'auto';
}

function program(argv: readonly string[], session: Session) {
  const base = yargs([...argv])
    .scriptName('dtunnel')
    .usage('dtunnel: IP between sites over DTLS 1.2, peers known by the fingerprint of their certificate')
    .option('json', { type: 'boolean', default: false, describe: 'answer in JSON' })
    .option('quiet', { alias: 'q', type: 'boolean', default: false, describe: 'print nothing but errors' })
    .option('verbose', { alias: 'v', type: 'boolean', default: false, describe: 'log more (up, run)' })
    .option('color', { choices: ['auto', 'always', 'never'] as const, default: 'auto', describe: 'use colour' })
    .parserConfiguration({ 'camel-case-expansion': true })
    // yargs can do this by itself, but then a list of files keeps only its last one.
    .middleware(lastOfEach, true)
    .version(false)
    .strict()
    .exitProcess(false)
    .wrap(Math.min(100, process.stdout.columns ?? 80))
    .epilogue('NAME stands for /etc/dtunnel/NAME.conf; a path is accepted wherever a NAME is.')
    .fail((message, error) => {
      // yargs wraps what a coercion throws; what a command throws is passed on as it is.
      throw error === undefined || error.name === 'YError' ? usageError(error?.message ?? message, argv) : error;
    });
  addLifeCycle(base, session);
  addObservation(base, session);
  addPreparation(base, session);
  return base.demandCommand(1, 'name a command').help();
}

/** Of an option that is given twice the last one counts, as scripts expect that append theirs. */
function lastOfEach(args: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(args)) {
    if (Array.isArray(value) && key !== '_' && key !== 'files' && key !== 'assume') args[key] = value.at(-1);
  }
}

type Program = Argv<{ json: boolean; quiet: boolean; verbose: boolean; color: string }>;

/** A time-out in seconds, with `30s` and `500ms` understood as in configurations. */
function timeoutOption<T>(command: Argv<T>, fallback: string) {
  return command.option('timeout', {
    type: 'string',
    default: fallback,
    describe: 'give up after this long',
    coerce: (given: string | readonly string[]): number => {
      const text = typeof given === 'string' ? given : (given.at(-1) ?? '');
      const match = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)?$/.exec(text);
      if (match === null) throw new DtunnelError('S021', `--timeout ${text} is no length of time (30s, 500ms, 2m)`);
      const unit = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 }[match[2] ?? 's'] ?? 1000;
      return Math.round(Number(match[1]) * unit);
    },
  });
}

const name = { type: 'string', describe: 'tunnel, or its configuration file' } as const;
const needed = { ...name, demandOption: true } as const;

function addLifeCycle(base: Program, { io, interruption, ended }: Session): void {
  base
    .command(
      'up <name>',
      HELP.up,
      (y) =>
        timeoutOption(y.positional('name', needed), '15s').option('wait', {
          type: 'boolean',
          describe: 'wait until a peer is up; --no-wait returns when the daemon is ready',
        }),
      async ({ name, wait, json, quiet, verbose, timeout }) => {
        const { run } = await import('./commands/up.ts');
        ended(await run({ name, wait, json, quiet, verbose, timeoutMs: timeout }, io, interruption.listen()));
      },
    )
    .command(
      'down <name>',
      HELP.down,
      (y) => timeoutOption(y.positional('name', needed), '10s'),
      async ({ name, json, quiet, timeout }) => {
        const { run } = await import('./commands/down.ts');
        ended(await run({ name, json, quiet, timeoutMs: timeout }, io));
      },
    )
    .command(
      'reload [name]',
      HELP.reload,
      (y) =>
        timeoutOption(y.positional('name', name), '30s')
          .option('plan', { type: 'boolean', default: false, describe: 'say what would change; change nothing' })
          .option('revert', { type: 'boolean', default: false, describe: 'go back to before the last reload' }),
      async ({ name, plan, revert, json, quiet, timeout }) => {
        const { run } = await import('./commands/reload.ts');
        ended(await run({ name, plan, revert, json, quiet, timeoutMs: timeout }, io));
      },
    )
    .command(
      'rekey [name] [peer]',
      HELP.rekey,
      (y) => timeoutOption(y.positional('name', name).positional('peer', { type: 'string' }), '15s'),
      async ({ name, peer, json, quiet, timeout }) => {
        const { run } = await import('./commands/rekey.ts');
        ended(await run({ name, peer, json, quiet, timeoutMs: timeout }, io));
      },
    )
    .command(
      'rotate <name>',
      HELP.rotate,
      (y) =>
        timeoutOption(y.positional('name', needed), '10m').option('assume', {
          type: 'string',
          array: true,
          default: [] as string[],
          describe: 'take it that this plain DTLS peer, which cannot be asked, knows the new certificate',
        }),
      async ({ name, assume, json, quiet, timeout }) => {
        const { run } = await import('./commands/rotate.ts');
        ended(await run({ name, assume, json, quiet, timeoutMs: timeout }, io, interruption.listen()));
      },
    )
    .command(
      'drain <name>',
      HELP.drain,
      (y) => timeoutOption(y.positional('name', needed), '30s'),
      async ({ name, json, quiet, timeout }) => {
        const { run } = await import('./commands/drain.ts');
        ended(await run({ name, json, quiet, timeoutMs: timeout }, io));
      },
    )
    .command(
      'upgrade <name>',
      HELP.upgrade,
      (y) =>
        timeoutOption(y.positional('name', needed), '30s').option('restart', {
          type: 'boolean',
          default: true,
          describe:
            'start afresh where sessions cannot be handed over; --no-restart leaves the old program running then',
        }),
      async ({ name, restart, json, quiet, timeout }) => {
        const { run } = await import('./commands/upgrade.ts');
        ended(await run({ name, restart, json, quiet, timeoutMs: timeout }, io));
      },
    )
    .command(
      'log-level <level> [name]',
      HELP['log-level'],
      (y) => y.positional('level', { choices: LOG_LEVELS, demandOption: true }).positional('name', name),
      async ({ level, name, json, quiet }) => {
        const { run } = await import('./commands/log-level.ts');
        ended(await run({ level, name, json, quiet }, io));
      },
    )
    .command(
      'run <file>',
      HELP.run,
      (y) =>
        y
          .positional('file', { ...needed })
          .option('log-file', { type: 'string', describe: 'log there instead of to standard output' })
          .option('report-fd', { type: 'number', hidden: true })
          .option('handover-fd', { type: 'number', hidden: true }),
      async ({ file, logFile, reportFd, handoverFd, verbose }) => {
        const { run } = await import('./commands/run.ts');
        ended(await run({ file, logFile, reportFd, handoverFd, verbose }, io));
      },
    )
    .command(
      'demo',
      HELP.demo,
      (y) => y.option('keep', { type: 'boolean', default: false, describe: 'leave both sites up until interrupted' }),
      async ({ keep, json }) => {
        const { run } = await import('./commands/demo.ts');
        ended(await run({ keep, json }, io));
      },
    );
}

function addObservation(base: Program, { io, interruption, ended }: Session): void {
  base
    .command(
      'status [name] [peer]',
      HELP.status,
      (y) =>
        timeoutOption(y.positional('name', name).positional('peer', { type: 'string' }), '30s').option('wait', {
          type: 'boolean',
          default: false,
          describe: 'wait until all is up',
        }),
      async ({ name, peer, json, quiet, wait, timeout }) => {
        const { run } = await import('./commands/status.ts');
        ended(await run({ name, peer, json, quiet, wait, timeoutMs: timeout }, io));
      },
    )
    .command(
      'logs [name]',
      HELP.logs,
      (y) => y.positional('name', name).option('follow', { alias: 'f', type: 'boolean', default: false }),
      async ({ name, follow, json }) => {
        const { run } = await import('./commands/logs.ts');
        ended(await run({ name, follow, json }, io, interruption.listen()));
      },
    )
    .command(
      'events [name]',
      HELP.events,
      (y) => y.positional('name', name),
      async ({ name }) => {
        const { run } = await import('./commands/events.ts');
        ended(await run({ name }, io, interruption.listen()));
      },
    )
    .command(
      'metrics [name]',
      HELP.metrics,
      (y) => y.positional('name', name),
      async ({ name }) => {
        const { run } = await import('./commands/metrics.ts');
        ended(await run({ name }, io));
      },
    )
    .command(
      'ping <peer>',
      HELP.ping,
      (y) =>
        timeoutOption(y.positional('peer', { type: 'string', demandOption: true }), '3s')
          .option('tunnel', { type: 'string', describe: 'tunnel of the peer' })
          .option('count', { alias: 'c', type: 'number', default: 1 }),
      async ({ peer, tunnel, count, json, quiet, timeout }) => {
        const { run } = await import('./commands/ping.ts');
        ended(await run({ peer, tunnel, count, json, quiet, timeoutMs: timeout }, io, interruption.listen()));
      },
    )
    .command(
      'probe <target>',
      HELP.probe,
      (y) =>
        timeoutOption(y.positional('target', { type: 'string', demandOption: true, describe: 'HOST:PORT' }), '5s')
          .option('cert', { type: 'string', describe: 'certificate to present' })
          .option('key', { type: 'string', describe: 'its private key' }),
      async ({ target, cert, key, json, timeout }) => {
        const { run } = await import('./commands/probe.ts');
        ended(await run({ target, cert, key, json, timeoutMs: timeout }, io));
      },
    )
    .command(
      'doctor <name>',
      HELP.doctor,
      (y) =>
        timeoutOption(y.positional('name', needed), '5s').option('report', {
          type: 'string',
          describe: 'write the findings to this new file as well',
        }),
      async ({ name, report, json, timeout }) => {
        const { run } = await import('./commands/doctor.ts');
        ended(await run({ name, report, json, timeoutMs: timeout }, io));
      },
    )
    .command(
      'top',
      HELP.top,
      (y) =>
        y
          .option('count', { alias: 'n', type: 'number', describe: 'show so many pictures, then end' })
          .option('interval', { type: 'number', default: 1, describe: 'seconds between two' }),
      async ({ count, interval }) => {
        const { openTerminal, run } = await import('./commands/top.ts');
        const { terminal, close } = openTerminal(interruption.listen());
        try {
          ended(await run({ count, intervalMs: Math.max(0.1, interval) * 1000 }, io, terminal));
        } finally {
          close();
        }
      },
    )
    .command(
      'version',
      HELP.version,
      (y) => y.option('verify', { type: 'boolean', default: false, describe: 'check that all parts fit together' }),
      async ({ verify, json }) => {
        const { run } = await import('./commands/version.ts');
        ended(await run({ verify, json }, io));
      },
    );
}

function addPreparation(base: Program, { io, ended }: Session): void {
  base
    .command(
      'keygen <name>',
      HELP.keygen,
      (y) =>
        y
          .positional('name', { type: 'string', demandOption: true, describe: 'tunnel the key is for' })
          .option('dir', { type: 'string', describe: 'where the two files go' })
          .option('key-type', { choices: ['p256', 'p384', 'ed25519', 'rsa2048'] as const, default: 'p256' as const })
          .option('if-missing', { type: 'boolean', default: false, describe: 'succeed when both files are there' }),
      async ({ name, dir, keyType, ifMissing, json }) => {
        const { run } = await import('./commands/keygen.ts');
        ended(await run({ name, dir, keyType, ifMissing, json }, io));
      },
    )
    .command(
      'fingerprint <target>',
      HELP.fingerprint,
      (y) =>
        timeoutOption(
          y
            .positional('target', { type: 'string', demandOption: true, describe: 'file, - for input, or HOST:PORT' })
            .option('format', { choices: ['colon', 'hex', 'base64'] as const, default: 'colon' as const }),
          '5s',
        ),
      async ({ target, format, json, timeout }) => {
        const { run } = await import('./commands/fingerprint.ts');
        const probe = async (endpoint: { readonly host: string; readonly port: number }) => {
          const { probeFingerprint } = await import('./commands/probe.ts');
          return probeFingerprint(endpoint, io, timeout);
        };
        // yargs reads a lone dash as an empty word.
        ended(await run({ target: target === '' ? '-' : target, format, json }, io, probe));
      },
    )
    .command(
      'check <files..>',
      HELP.check,
      (y) =>
        y.positional('files', { type: 'string', array: true, demandOption: true, describe: 'one file, or both ends' }),
      async ({ files, json, quiet }) => {
        if (files.length > 2) throw new DtunnelError('S021', 'check takes one file, or the two ends of a link');
        const { run } = await import('./commands/check.ts');
        ended(await run({ files, json, quiet }, io));
      },
    )
    .command(
      'fmt <files..>',
      HELP.fmt,
      (y) =>
        y
          .positional('files', { type: 'string', array: true, demandOption: true })
          .option('write', { alias: 'w', type: 'boolean', default: false, describe: 'write the result back' }),
      async ({ files, write, quiet }) => {
        const { run } = await import('./commands/fmt.ts');
        ended(await run({ files, write, quiet }, io));
      },
    )
    .command(
      'convert <file>',
      HELP.convert,
      (y) => y.positional('file', { type: 'string', demandOption: true, describe: 'a wg-quick file' }),
      async ({ file, json }) => {
        const { run } = await import('./commands/convert.ts');
        ended(await run({ file, json }, io));
      },
    )
    .command(
      'config schema',
      HELP.config,
      (y) => y,
      async ({ json }) => {
        const { run } = await import('./commands/config-schema.ts');
        ended(await run({ json }, io));
      },
    )
    .command(
      'help [code]',
      HELP.help,
      (y) => y.positional('code', { type: 'string', describe: 'C012, or DT_CONFIG_KEY' }),
      async ({ code, json }) => {
        const { run } = await import('./commands/help-code.ts');
        ended(await run({ code, json }, io));
      },
    )
    .command(
      'completion <shell>',
      HELP.completion,
      (y) => y.positional('shell', { choices: ['bash', 'zsh', 'fish'] as const, demandOption: true }),
      async ({ shell }) => {
        const { run } = await import('./commands/completion.ts');
        ended(await run({ shell, commands: Object.entries(HELP) }, io));
      },
    );
}

function usageError(message: string, argv: readonly string[]): DtunnelError {
  const [command] = argv.filter((arg) => !arg.startsWith('-'));
  const isUnknown = command !== undefined && !isCommand(command);
  const meant = isUnknown ? nearest(command, Object.keys(HELP)) : undefined;
  if (isUnknown) {
    const hint = meant === undefined ? 'see dtunnel --help' : `did you mean  dtunnel ${meant}?`;
    return new DtunnelError('S021', `there is no command ${command}`, { hint });
  }
  const text = message.startsWith('Not enough non-option')
    ? 'something is missing'
    : message.replace(/\s*\n\s*/g, ' ').trim();
  const hint = command === undefined ? 'see dtunnel --help' : `see dtunnel ${command} --help`;
  return new DtunnelError('S021', `${text.charAt(0).toLowerCase()}${text.slice(1)}`, { hint });
}

function isCommand(text: string): text is CommandName {
  return Object.hasOwn(HELP, text);
}
