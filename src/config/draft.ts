import type { Fingerprint } from '../base/brand.ts';
import type { Located } from './section-reader.ts';
import type { InterfaceSettings, PeerSettings } from './settings.ts';
import type { Span } from './source.ts';

/** Sections whose values are each right by themselves; what must hold between them is checked on these. */

/** [Interface] as far as it could be read, with the places the checks point at. */
export interface InterfaceDraft {
  readonly header: Span;
  readonly addresses: readonly Located<InterfaceSettings['addresses'][number]>[];
  readonly listenPort: Located<number> | undefined;
  readonly mtu: Located<InterfaceSettings['mtu']> | undefined;
  readonly metrics: Located<InterfaceSettings['metrics']> | undefined;
  readonly metricsToken: Located<string> | undefined;
  readonly routeMetric: Located<number> | undefined;
  readonly settings: InterfaceSettings;
}

/** [Peer] as far as it could be read, with the places the checks point at. */
export interface PeerDraft {
  readonly header: Span;
  readonly title: string;
  readonly name: Located<string> | undefined;
  readonly fingerprints: readonly Located<Fingerprint>[];
  readonly endpoints: readonly Located<PeerSettings['endpoints'][number]>[];
  readonly allowedIps: readonly Located<PeerSettings['allowedIps'][number]>[];
  readonly mtu: Located<PeerSettings['mtu']> | undefined;
  /** Something in the section is wrong: what seems to be missing may be what was misspelt. */
  readonly flawed: boolean;
  /** False when Priority is set to nonsense: overlaps cannot be judged. */
  readonly priorityKnown: boolean;
  /** False when DeadAfter is to follow from whether there is a standby. */
  readonly deadAfterSet: boolean;
  readonly settings: PeerSettings;
}

/** Both, once they hold together. */
export interface Draft {
  readonly interface: InterfaceDraft;
  readonly peers: readonly PeerDraft[];
}
