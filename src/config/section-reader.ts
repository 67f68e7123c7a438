import type { Report } from './diagnostic.ts';
import { type Environment, type ValueText, expandList, expandScalar, expandWords, partOf } from './expand.ts';
import type { Key, KeyInfo } from './key.ts';
import { type Section, sectionTitle } from './sections.ts';
import type { Span } from './source.ts';
import { nearest } from './suggest.ts';
import type { SettingLine } from './tree.ts';
import { quoted } from './value.ts';
import { checkCommand } from './values.ts';
import { wireguardHelp } from './wireguard.ts';

/** A value with the place it was written at. */
export interface Located<T> {
  readonly value: T;
  readonly at: Span;
}

/** The keys of both sections by canonical name, so that a key in the wrong one can be told from an unknown one. */
export interface KeyNames {
  readonly own: readonly KeyInfo[];
  readonly other: { readonly title: string; readonly keys: readonly KeyInfo[] };
}

/** Reads the values of one section. Every mistake is reported once; a value that is wrong counts as absent. */
export class SectionReader {
  readonly section: Section;
  /** `[Peer berlin]`. */
  readonly title: string;
  readonly #environment: Environment;
  readonly #report: Report;
  /** Settings by canonical key name, in the order of the text. */
  readonly #settings = new Map<string, SettingLine[]>();
  /** Keys that unknown ones were probably meant to be: said once, not said to be missing as well. */
  readonly #misspelt = new Set<string>();

  constructor(section: Section, names: KeyNames, environment: Environment, report: Report) {
    this.section = section;
    this.title = sectionTitle(section);
    this.#environment = environment;
    this.#report = report;
    for (const setting of section.settings) this.#file(setting, names);
  }

  /** The value of a scalar key. */
  one<T>(key: Key<T, never>): Located<T> | undefined {
    const setting = this.#settings.get(key.name)?.[0];
    if (setting === undefined) return this.#absent(key);
    const comma = setting.pieces.find((piece) => piece.kind === 'comma');
    if (comma !== undefined) {
      this.#report.error('C017', comma.span, `${key.name} takes one value`, {
        label: 'a second value begins here',
        help: 'keep one value; text that holds a comma needs quotes',
      });
      return undefined;
    }
    const text = expandScalar(setting.pieces, this.#environment, this.#report);
    return text === undefined ? undefined : this.#parse(key, text);
  }

  /** The value of a scalar key that may also stand in the section's header. */
  titled<T>(key: Key<T, never>): Located<T> | undefined {
    const { name } = this.section;
    if (name === undefined) return this.one(key);
    const setting = this.#settings.get(key.name)?.[0];
    if (setting !== undefined) {
      this.#report.error('C014', setting.key.span, `${key.name} is set twice in ${this.title}`, {
        label: 'again here',
        also: [{ at: name.span, label: 'first set here' }],
        help: 'keep one of the two',
      });
    }
    return this.#parse(key, { text: name.text, span: name.span, start: name.span.column });
  }

  /** Whether the section sets `key`, rightly or wrongly. */
  has(key: KeyInfo): boolean {
    return this.#settings.has(key.name);
  }

  /** The values of a list key, over all its lines; repeated values are reported and left out. */
  list<T>(key: Key<T, never>): readonly Located<T>[] {
    const settings = this.#settings.get(key.name);
    if (settings === undefined) {
      this.#absent(key);
      return [];
    }
    const before = this.#report.errors;
    const seen = new Map<string, Span>();
    const values: Located<T>[] = [];
    for (const setting of settings) {
      for (const text of expandList(setting.pieces, this.#environment, this.#report)) {
        const located = this.#parse(key, text);
        if (located === undefined) continue;
        const identity = JSON.stringify(located.value);
        const first = seen.get(identity);
        if (first === undefined) values.push(located);
        else this.#repeated(key, located.at, first);
        if (first === undefined) seen.set(identity, located.at);
      }
    }
    const [first] = settings;
    // Nothing but commas, or a variable that is empty on purpose: no value where one is needed.
    if (key.required && values.length === 0 && first !== undefined && first.pieces.length > 0) {
      if (this.#report.errors === before) this.#empty(key, first);
    }
    return values;
  }

  /** The words of a command key. */
  command(key: Key<string, never>): Located<readonly string[]> | undefined {
    const setting = this.#settings.get(key.name)?.[0];
    if (setting === undefined) return undefined;
    const words = expandWords(setting.pieces, this.#environment, this.#report);
    const [first] = words;
    if (first === undefined) return undefined;
    const texts = words.map((word) => word.text);
    const wrong = checkCommand(texts);
    if (wrong === undefined) return { value: texts, at: first.span };
    this.#report.error(wrong.code, first.span, wrong.message, { label: wrong.label ?? 'here', help: wrong.help });
    return undefined;
  }

  #parse<T>(key: Key<T, never>, text: ValueText): Located<T> | undefined {
    const parsed = key.parse(text.text);
    const wrong = parsed.ok ? key.remark?.(text.text, parsed.value) : parsed.error;
    if (wrong !== undefined) {
      const { code, message, at, length, label, help } = wrong;
      const remarks = {
        help,
        label: label ?? `not a value of ${key.name}`,
        caret: at === undefined ? text.span : partOf(text, at, length),
      };
      if (parsed.ok) this.#report.warning(code, text.span, message, remarks);
      else this.#report.error(code, text.span, message, remarks);
    }
    return parsed.ok ? { value: parsed.value, at: text.span } : undefined;
  }

  #absent(key: KeyInfo): undefined {
    if (key.required && !this.section.damaged && !this.#misspelt.has(key.name)) {
      this.#report.error('C015', this.section.header, `${this.title} has no ${key.name}`, {
        label: `${key.name} is required here`,
        help: `${key.help} (${key.type})`,
      });
    }
    return undefined;
  }

  #empty(key: KeyInfo, setting: SettingLine): void {
    this.#report.error('C016', setting.key.span, `${key.name} has no value`, {
      label: 'nothing behind it',
      help: `${key.help} (${key.type})`,
    });
  }

  #repeated(key: KeyInfo, at: Span, first: Span): void {
    this.#report.warning('C101', at, `this ${key.name} is given twice`, {
      label: 'again here',
      also: [{ at: first, label: 'first here' }],
      help: 'remove one of the two',
    });
  }

  #file(setting: SettingLine, names: KeyNames): void {
    const key = find(names.own, setting.key.text);
    if (key === undefined) {
      this.#unknown(setting, names);
      return;
    }
    const filed = this.#settings.get(key.name);
    const [first] = filed ?? [];
    if (setting.pieces.length === 0) this.#empty(key, setting);
    if (filed === undefined || first === undefined) this.#settings.set(key.name, [setting]);
    else if (key.kind === 'list') filed.push(setting);
    else {
      this.#report.error('C014', setting.key.span, `${key.name} is set twice in ${this.title}`, {
        label: 'again here',
        also: [{ at: first.key.span, label: 'first set here' }],
        help: 'keep one of the two',
      });
    }
  }

  #unknown(setting: SettingLine, names: KeyNames): void {
    const { text, span } = setting.key;
    const wireguard = wireguardHelp(text);
    if (wireguard !== undefined) {
      this.#report.error('C018', span, wireguard.message, { label: wireguard.label, help: wireguard.help });
      return;
    }
    const elsewhere = find(names.other.keys, text);
    if (elsewhere !== undefined) {
      this.#report.error('C013', span, `${elsewhere.name} does not belong in ${this.title}`, {
        label: `a key of [${names.other.title}]`,
        help: `move it below [${names.other.title}]`,
      });
      return;
    }
    const meant = nearest(text, [...names.own, ...names.other.keys].map((known) => known.name).concat('Include'));
    if (meant !== undefined) this.#misspelt.add(meant);
    this.#report.error('C012', span, `unknown key ${quoted(text)} in ${this.title}`, {
      label: meant === undefined ? 'not a key' : `did you mean '${meant}'?`,
      help: meant === undefined ? 'dtunnel config schema lists every key' : undefined,
    });
  }
}

function find(keys: readonly KeyInfo[], written: string): KeyInfo | undefined {
  const wanted = written.toLowerCase();
  return keys.find((known) => known.name.toLowerCase() === wanted);
}
