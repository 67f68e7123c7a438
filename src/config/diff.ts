import { sameData } from '../base/same-data.ts';
import { INTERFACE } from './interface-keys.ts';
import type { KeyInfo } from './key.ts';
import { PEER } from './peer-keys.ts';
import type { InterfaceSettings, PeerSettings, Settings } from './settings.ts';

/** One change between two configurations. */
export interface Change {
  /** `+` a peer comes, `-` a peer goes, `~` a key changes. */
  readonly action: '+' | '-' | '~';
  /** The peer it is about, by its new name; undefined: the interface. */
  readonly peer: string | undefined;
  /** Canonical name of the key; undefined when a whole peer comes or goes. */
  readonly key: string | undefined;
  /** What changes in words: `41641 → 4433`, `+ 10.9.0.0/16`. */
  readonly text: string;
  /** Whether a running daemon applies it without losing a packet; false: it takes a restart. */
  readonly hitless: boolean;
  /** What comes with it; may be empty. */
  readonly note: string;
}

/** What it takes to get from one configuration to another. */
export interface Plan {
  readonly changes: readonly Change[];
  /** Whether every change is hitless. */
  readonly hitless: boolean;
}

/** The changes that turn `from` into `to`: the interface first, then peers in the order of `to`, then those that go. */
export function planChanges(from: Settings, to: Settings): Plan {
  const pairs = matchPeers(from.peers, to.peers);
  const inherited = inheritedChanges(from.interface, to.interface);
  const changes: Change[] = sectionChanges(Object.values(INTERFACE), from.interface, to.interface, undefined);
  for (const { before, after } of pairs) {
    if (before === undefined) {
      changes.push({ action: '+', peer: after.name, key: undefined, text: '', hitless: true, note: '' });
      continue;
    }
    // Of ten thousand peers most are as they were, and comparing data is cheaper than writing out all its texts.
    if (sameData(before, after)) continue;
    for (const change of sectionChanges(Object.values(PEER), before, after, after.name)) {
      if (!inherited.has(inheritanceKey(change.key, change.text))) changes.push(change);
    }
  }
  const kept = new Set(pairs.map((pair) => pair.before));
  for (const gone of from.peers.filter((peer) => !kept.has(peer))) {
    const note = 'its session is closed';
    changes.push({ action: '-', peer: gone.name, key: undefined, text: '', hitless: true, note });
  }
  return { changes, hitless: changes.every((change) => change.hitless) };
}

/** `plan` as lines for people, columns aligned. */
export function renderPlan(plan: Plan): string {
  const subjects = plan.changes.map((change) => (change.peer === undefined ? 'interface' : `peer ${change.peer}`));
  const details = plan.changes.map(({ key, text }, i) => ({ subject: subjects[i] ?? '', key: key ?? '', text }));
  const subjectWidth = Math.max(0, ...details.map((row) => (row.key === '' ? 0 : row.subject.length)));
  const keyWidth = Math.max(0, ...details.map((row) => row.key.length));
  const left = details.map(({ subject, key, text }) =>
    key === '' ? subject : `${subject.padEnd(subjectWidth)}  ${key.padEnd(keyWidth)}  ${text}`,
  );
  const width = Math.max(0, ...left.map((text) => text.length));
  return plan.changes
    .map((change, i) => {
      const verdict = change.hitless ? 'hitless' : 'needs a restart';
      const note = change.note === '' ? '' : ` (${change.note})`;
      return `  ${change.action} ${(left[i] ?? '').padEnd(width)}   ${verdict}${note}\n`;
    })
    .join('');
}

interface PeerPair {
  readonly before: PeerSettings | undefined;
  readonly after: PeerSettings;
}

/** A peer is the same if it shares a certificate, which is what a session hangs on; else if it has the same name. */
function matchPeers(from: readonly PeerSettings[], to: readonly PeerSettings[]): readonly PeerPair[] {
  const byFingerprint = new Map(from.flatMap((peer) => peer.fingerprints.map((pin) => [pin, peer] as const)));
  const taken = new Set<PeerSettings>();
  const take = (peer: PeerSettings | undefined): PeerSettings | undefined => {
    if (peer === undefined || taken.has(peer)) return undefined;
    taken.add(peer);
    return peer;
  };
  const same = new Map<PeerSettings, PeerSettings | undefined>();
  for (const after of to) {
    const candidates = after.fingerprints.map((pin) => byFingerprint.get(pin));
    same.set(after, take(candidates.find((peer) => peer !== undefined && !taken.has(peer))));
  }
  const byName = new Map(from.map((peer) => [peer.name, peer]));
  return to.map((after) => ({ after, before: same.get(after) ?? take(byName.get(after.name)) }));
}

function sectionChanges<S>(keys: readonly KeyInfo<S>[], from: S, to: S, peer: string | undefined): Change[] {
  const changes: Change[] = [];
  for (const info of keys) {
    const before = info.texts(from);
    const after = info.texts(to);
    if (before.length === after.length && before.every((text, i) => text === after[i])) continue;
    const text = info.secret ? 'changed' : changeText(info, before, after);
    const { name: key, hot: hitless, note } = info;
    changes.push({ action: '~', peer, key, text, hitless, note: hitless ? note : '' });
  }
  return changes;
}

function changeText(info: KeyInfo<never>, before: readonly string[], after: readonly string[]): string {
  if (info.kind !== 'list') return `${whole(info, before)} → ${whole(info, after)}`;
  const added = after.filter((text) => !before.includes(text));
  const removed = before.filter((text) => !after.includes(text));
  if (before.length === 0 || after.length === 0 || (added.length === 0 && removed.length === 0)) {
    return `${whole(info, before)} → ${whole(info, after)}`;
  }
  return [...removed.map((text) => `- ${text}`), ...added.map((text) => `+ ${text}`)].join(' ');
}

function whole(info: KeyInfo<never>, texts: readonly string[]): string {
  if (texts.length > 0) return texts.join(info.kind === 'list' ? ', ' : ' ');
  return info.name === 'ListenPort' ? 'any' : 'unset';
}

/** Changes of [Interface] that every peer without a value of its own repeats: said once. */
function inheritedChanges(from: InterfaceSettings, to: InterfaceSettings): ReadonlySet<string> {
  const changes = sectionChanges([INTERFACE.mtu, INTERFACE.dscp, INTERFACE.rekeyAfter], from, to, undefined);
  return new Set(changes.map((change) => inheritanceKey(change.key, change.text)));
}

function inheritanceKey(key: string | undefined, text: string): string {
  return `${key ?? ''} ${text}`;
}
