import { INTERFACE } from './interface-keys.ts';
import type { KeyInfo } from './key.ts';
import { PEER } from './peer-keys.ts';

/** One key as the reference shows it. */
export interface KeyReference {
  readonly name: string;
  readonly type: string;
  /** As it would be written, or in words; null: none. */
  readonly default: string | null;
  readonly required: boolean;
  /** Several values with commas, or the key repeated. */
  readonly list: boolean;
  /** Whether a reload applies it without losing a packet. */
  readonly hot: boolean;
  /** What comes with a reload of it. */
  readonly note: string | null;
  readonly help: string;
}

/** A section with its keys. */
export interface SectionReference {
  readonly name: 'Interface' | 'Peer';
  readonly keys: readonly KeyReference[];
}

/** Everything that can be configured, from the same table that reads configurations. */
export function configReference(): readonly SectionReference[] {
  return [
    { name: 'Interface', keys: [...Object.values(INTERFACE).map(reference), INCLUDE] },
    { name: 'Peer', keys: Object.values(PEER).map(reference) },
  ];
}

/** The reference as Markdown tables, one per section. */
export function referenceMarkdown(): string {
  return configReference()
    .map(({ name, keys }) => {
      const rows = keys.map((key) => {
        const hot = key.hot ? `yes${key.note === null ? '' : ` (${key.note})`}` : 'restart';
        const byDefault = key.required ? '**required**' : (key.default ?? '');
        const cells = [`\`${key.name}\``, key.type + (key.list ? ', …' : ''), byDefault, hot, key.help];
        return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
      });
      const head = '| Key | Value | Default | Reload | Meaning |\n|--|--|--|--|--|';
      return `### [${name}]\n\n${head}\n${rows.join('\n')}\n`;
    })
    .join('\n');
}

/** Not a setting: it names where more of the configuration is. */
const INCLUDE: KeyReference = {
  name: 'Include',
  type: 'path or pattern',
  default: 'none',
  required: false,
  list: true,
  hot: true,
  note: null,
  help: 'further files with [Peer] sections; relative to this file; * ? and [ ] match within one directory',
};

function reference(info: KeyInfo<never>): KeyReference {
  return {
    name: info.name,
    type: info.type,
    default: info.default === '' ? null : info.default,
    required: info.required,
    list: info.kind === 'list',
    hot: info.hot,
    note: info.note === '' ? null : info.note,
    help: info.help,
  };
}
