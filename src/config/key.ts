import { invariant } from '../base/invariant.ts';
import type { ValueParser, ValueProblem } from './value.ts';

/** What is to be known about a key apart from how its value is read: the reference, the completion, the reload plan. */
export interface KeyInfo<Section = never> {
  /** Canonical spelling. */
  readonly name: string;
  /** `list` keys take several values and may be repeated; a `command` is words separated by white space. */
  readonly kind: 'scalar' | 'list' | 'command';
  /** The type in words, for the reference. */
  readonly type: string;
  /** The default as it would be written, or in words where it depends on other keys; empty: none. */
  readonly default: string;
  readonly required: boolean;
  /** Whether a running daemon takes a new value without losing a packet. */
  readonly hot: boolean;
  /** Said of a change in `reload --plan`. */
  readonly note: string;
  /** Never shown, not even in a plan. */
  readonly secret: boolean;
  /** One line of help. */
  readonly help: string;
  /** The values in `section` as they would be written; empty when it is the default that has no spelling. */
  readonly texts: (section: Section) => readonly string[];
}

/** A key whose values are of type `T`. */
export interface Key<T, Section = never> extends KeyInfo<Section> {
  readonly parse: ValueParser<T>;
  /** A warning about a text that is a value all the same. */
  readonly remark: ((text: string, value: T) => ValueProblem | undefined) | undefined;
}

/** A key with a default that depends on nothing. */
export interface DefaultedKey<T, Section = never> extends Key<T, Section> {
  /** What the key is worth when it is absent. */
  readonly initial: T;
}

/** What has to be said about a key; the rest has defaults. */
export type KeySpec<T, Section> = Pick<Key<T, Section>, 'name' | 'type' | 'help' | 'parse' | 'texts'> &
  Partial<Pick<Key<T, Section>, 'kind' | 'default' | 'required' | 'hot' | 'note' | 'secret' | 'remark'>>;

/** Makes a key: a hot, optional, public scalar unless told otherwise. */
export function key<T, Section>(spec: KeySpec<T, Section>): Key<T, Section> {
  return {
    kind: 'scalar',
    default: '',
    required: false,
    hot: true,
    note: '',
    secret: false,
    remark: undefined,
    ...spec,
  };
}

/** Makes a key with a default, which is read by the key's own parser: the reference cannot differ from the behaviour. */
export function defaulted<T, Section>(
  spec: KeySpec<T, Section> & { readonly default: string },
): DefaultedKey<T, Section> {
  const initial = spec.parse(spec.default);
  invariant(initial.ok, `the default of ${spec.name} is valid`);
  return { ...key(spec), initial: initial.value };
}
