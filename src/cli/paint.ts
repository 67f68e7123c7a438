import type { Io } from './io.ts';

/** How output may look on one stream. */
export interface Look {
  readonly colour: boolean;
  /** Off: ASCII only. */
  readonly unicode: boolean;
}

/** The look of standard output. */
export function lookOf(io: Io): Look {
  return { colour: io.colour.out, unicode: io.unicode };
}

/** Meanings that have a colour. */
export type Tone = 'good' | 'warning' | 'bad' | 'quiet' | 'strong';

const CODES: Readonly<Record<Tone, string>> = { good: '32', warning: '33', bad: '31', quiet: '2', strong: '1' };

/** `text` in the colour of its meaning, if there is colour. */
export function paint(look: Look, tone: Tone, text: string): string {
  return look.colour && text !== '' ? `\u001b[${CODES[tone]}m${text}\u001b[0m` : text;
}

/** The tone of a tunnel's or peer's state. */
export function stateTone(state: string): Tone {
  if (state === 'up') return 'good';
  if (state === 'disabled') return 'quiet';
  return state === 'down' ? 'bad' : 'warning';
}

/** The dot in front of a tunnel or peer, in the colour of its state. */
export function dot(look: Look, state: string): string {
  return paint(look, stateTone(state), look.unicode ? '●' : '*');
}

/** Text for a terminal that cannot show more than ASCII. */
export function plain(look: Look, text: string): string {
  if (look.unicode) return text;
  return text
    .replaceAll('…', '...')
    .replaceAll('→', '->')
    .replaceAll('–', '-')
    .replaceAll('✓', 'ok')
    .replaceAll('✗', 'x')
    .replaceAll('●', '*');
}
