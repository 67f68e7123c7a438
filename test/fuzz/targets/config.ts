import { readdirSync, readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { MAX_SHOWN, Report } from '../../../src/config/diagnostic.ts';
import { convertWireguard } from '../../../src/config/from-wireguard.ts';
import { parseSettings } from '../../../src/config/load.ts';
import { parseTree } from '../../../src/config/parser.ts';
import { renderSettings, renderTree } from '../../../src/config/render.ts';
import { SourceFile } from '../../../src/config/source.ts';
import type { SeededRandom } from '../../support/seeded-random.ts';
import { holds, type Target } from '../target.ts';

const cases = new URL('../../config/cases/', import.meta.url);

/** A configuration file, UTF-8 or not. */
export const config: Target = {
  name: 'config',
  covers: /^config\/.*\.ts$/,
  executions: 1_500,
  seeds: [
    ...readdirSync(cases)
      .filter((name) => name.endsWith('.conf'))
      .map((name) => new Uint8Array(readFileSync(new URL(name, cases))))
      // The largest test other things than syntax and cost most of the time.
      .filter((text) => text.length < 3000),
    new Uint8Array(Buffer.from(BERLIN())),
  ],
  run(input) {
    const text = Buffer.from(input).toString('utf8');
    const result = parseSettings('fuzz.conf', text);
    const diagnostics = result.ok ? result.value.warnings : result.error;
    holds(diagnostics.items.length <= MAX_SHOWN + 1, 'findings are cut to what a person can read');
    const { lines } = new SourceFile('fuzz.conf', text);
    for (const { line, column } of diagnostics.items) {
      if (line === undefined) continue;
      holds(line >= 1 && line <= lines.length, 'a finding lies on a line of the file');
      const width = lines[line - 1]?.length ?? 0;
      holds(column === undefined || (column >= 1 && column <= width + 1), 'a finding lies within its line');
    }
    if (result.ok) {
      const again = parseSettings('fuzz.conf', renderSettings(result.value.settings));
      holds(
        again.ok && isDeepStrictEqual(again.value.settings, result.value.settings),
        'settings render to themselves',
      );
      const canonical = rendered(text);
      holds(rendered(canonical) === canonical, 'canonical text renders to itself');
    }
    const { todo } = convertWireguard('fuzz.conf', text, '/etc/dtunnel');
    holds(todo.length > 0, 'a translation says what is left to do');
  },
  mutate: changeLines,
};

function rendered(text: string): string {
  return renderTree(parseTree(new SourceFile('fuzz.conf', text), new Report()));
}

/** Moves, repeats, drops or joins lines, or exchanges values between them. */
function changeLines(input: Uint8Array, random: SeededRandom): Uint8Array {
  const lines = Buffer.from(input).toString('utf8').split('\n');
  const [at, other] = [random.below(lines.length), random.below(lines.length)];
  const [key = '', ...value] = (lines[at] ?? '').split('=');
  switch (random.below(5)) {
    case 0:
      lines.splice(at, 1);
      break;
    case 1:
      lines.splice(other, 0, lines[at] ?? '');
      break;
    case 2:
      lines[at] = `${key}=${(lines[other] ?? '').split('=').slice(1).join('=')}`;
      break;
    case 3:
      lines[at] = `${key}=${TELLING[random.below(TELLING.length)]}`;
      break;
    default:
      lines[at] = `${key}=${value.join('=')}${TELLING[random.below(TELLING.length)]}`;
  }
  return new Uint8Array(Buffer.from(lines.join('\n')));
}

const TELLING = [
  '',
  ' ',
  '"',
  '"a # b"',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the grammar's own variables
  '${HOME:-x}',
  '${',
  ', ',
  '0',
  '-1',
  '99999999999999999999',
  'auto',
  'off',
  '1e3',
  '::/0',
  '0.0.0.0/0',
  '10.0.0.1/33',
  '[::1]:0',
  'unix:/x',
  '\u0000',
  '\ufeff',
  '\u2028',
  '\r',
  '#',
  ';',
];

function BERLIN(): string {
  const fingerprint = Array.from({ length: 32 }, (_, at) => (at * 7).toString(16).padStart(2, '0')).join(':');
  return `# one end of a link
[Interface]
Name        = berlin
Address     = 172.31.0.1/30, fd31::1/126
ListenPort  = 4433
Certificate = /etc/dtunnel/berlin.crt
PrivateKey  = credential:berlin.key
Ciphers     = AES256-GCM, CHACHA20-POLY1305
RekeyAfter  = 30m
DSCP        = copy
Metrics     = 127.0.0.1:9469

[Peer paris]  # behind NAT
Fingerprint = ${fingerprint}
AllowedIPs  = 172.31.0.2/32, fd31::2/128, 10.2.0.0/16
Endpoint    = vpn.example.net:4433, [2001:db8::1]:4433
Priority    = 50
DeadAfter   = 1500ms
RateLimit   = 100mbit
`;
}
