import type { Settings } from '../../config/settings.ts';
import { type Address, family } from '../../net/address.ts';
import { literalEndpoint } from '../../net/endpoint.ts';
import { contains, networkOf, type Prefix, prefixText } from '../../net/prefix.ts';

/**
 * What the host's network has to look like for a tunnel, as a list of small changes that each know their own undoing.
 * Pure: `host.ts` carries it out.
 */

/** One line for `ip -batch` with the line that takes it back. Only a rule does not tell its family by what it names. */
export interface HostChange {
  /** Equal keys are the same change: a reload does only what differs. */
  readonly key: string;
  readonly family: 4 | 6;
  readonly apply: string;
  /** Undefined where the device's end takes it along. */
  readonly undo: string | undefined;
  /** What an operator is told: `route 10.1.0.0/16 dev dt-paris`; undefined: too small to mention. */
  readonly text: string | undefined;
}

/** What does not depend on the settings. */
export interface HostFacts {
  readonly device: string;
  /** A routing table nobody uses, for default routes. */
  readonly freeTable: number;
  /** Prefixes that are to have no route now although configured (their peers are down and FailClosed is off). */
  readonly withheld?: ReadonlySet<string>;
}

/** Routes of last resort: the highest metrics there are, so that anything else wins while the device lives. */
export const BLACKHOLE_METRIC = 4_294_967_000;

/**
 * The kernel's own choice for IPv6 (IP6_RT_PRIO_USER), said aloud: a removal without metric takes the route with the
 * lowest one, which may be another that was just added. For IPv4 the kernel's choice is the lowest there is.
 */
const IPV6_METRIC = 1024;

/** Preferences of our two rules: before the main table's 32766, as wg-quick's are. */
export const RULE_SUPPRESS = 32_000;
export const RULE_TABLE = 32_001;

/** Around our two rules while one mark takes the place of another. */
export const RULE_STEP_OVER = 31_999;
export const RULE_BEHIND = 32_002;

/** Everything to be set up for `settings`, in order. The device exists; its MTU and state are not part of the plan. */
export function hostPlan(settings: Settings, facts: HostFacts): readonly HostChange[] {
  const { device } = facts;
  const changes: HostChange[] = settings.interface.addresses.map((address) => {
    const text = prefixText(address);
    return {
      key: `address ${text}`,
      family: family(address.address),
      // The device has no neighbours to ask: duplicate address detection would only delay (RFC 4862 §5.4).
      apply: `address add ${text} dev ${device}${family(address.address) === 6 ? ' nodad' : ''}`,
      undo: `address del ${text} dev ${device}`,
      text: `address ${text} dev ${device}`,
    };
  });
  if (settings.interface.table === 'off') return changes;
  changes.push(...ruleChanges(settings, facts));
  const ruled = new Set(ruledPrefixes(settings).map(prefixText));
  for (const prefix of routedPrefixes(settings)) changes.push(...routeChanges(prefix, ruled, settings, facts));
  return changes;
}

/** Firewall mark our own datagrams need so that they do not follow the default route into the tunnel; undefined: none. */
export function neededMark(settings: Settings, freeTable: number): number | undefined {
  if (settings.interface.fwMark !== undefined) return settings.interface.fwMark;
  return ruledPrefixes(settings).length > 0 ? freeTable : undefined;
}

/** Prefixes that need a route of their own: all but those that an address of the device covers already. */
export const routedPrefixes = onceEach(findRouted);

/**
 * Prefixes that would swallow our own datagrams to a peer: default routes, and those that hold a peer's endpoint. They
 * go to a table of their own that marked packets do not look into (as wg-quick does for default routes).
 */
export const ruledPrefixes = onceEach(findRuled);

/** `of` settings, found once: every status and several steps of a reload ask, of thousands of peers. */
function onceEach(of: (settings: Settings) => readonly Prefix[]): (settings: Settings) => readonly Prefix[] {
  const found = new WeakMap<Settings, readonly Prefix[]>();
  return (settings) => {
    const known = found.get(settings) ?? of(settings);
    found.set(settings, known);
    return known;
  };
}

function findRouted(settings: Settings): readonly Prefix[] {
  const seen = new Set<string>();
  return settings.peers
    .filter((peer) => peer.enabled)
    .flatMap((peer) => peer.allowedIps)
    .filter((prefix) => {
      const text = prefixText(prefix);
      if (seen.has(text)) return false;
      seen.add(text);
      return !settings.interface.addresses.some(
        (own) => own.length <= prefix.length && contains(networkOf(own), prefix.address),
      );
    });
}

function findRuled(settings: Settings): readonly Prefix[] {
  const { table } = settings.interface;
  if (table !== 'auto') return [];
  const endpoints = settings.peers
    .flatMap((peer) => peer.endpoints)
    .map((hostPort) => literalEndpoint(hostPort)?.address)
    .filter((address): address is Address => address !== undefined);
  return routedPrefixes(settings).filter(
    (prefix) => prefix.length === 0 || endpoints.some((address) => contains(prefix, address)),
  );
}

function ruleChanges(settings: Settings, { freeTable }: HostFacts): readonly HostChange[] {
  const ruled = ruledPrefixes(settings);
  const mark = neededMark(settings, freeTable);
  if (ruled.length === 0 || mark === undefined) return [];
  const families = new Set(ruled.map((prefix) => family(prefix.address)));
  return [...families].flatMap((version) => {
    const rule = (pref: number, selector: string): HostChange => ({
      key: `rule ${version} ${selector}`,
      family: version,
      apply: `rule add pref ${pref} ${selector}`,
      undo: `rule del pref ${pref} ${selector}`,
      text: `rule ${selector}${version === 6 ? ' (IPv6)' : ''}`,
    });
    return [
      // Whatever main knows better than by its default route stays with main.
      rule(RULE_SUPPRESS, 'lookup main suppress_prefixlength 0'),
      rule(RULE_TABLE, `not fwmark ${mark} lookup ${freeTable}`),
    ];
  });
}

/**
 * Rules that let datagrams marked `mark` past ours, as those with the mark in force are: between two marks each would else
 * be led into the tunnel by the rule of the other.
 */
export function bridgeChanges(mark: number): readonly HostChange[] {
  const rule = (version: 4 | 6, pref: number, selector: string): HostChange => ({
    key: `rule ${version} ${selector}`,
    family: version,
    apply: `rule add pref ${pref} ${selector}`,
    undo: `rule del pref ${pref} ${selector}`,
    text: undefined,
  });
  return ([4, 6] as const).flatMap((version) => [
    rule(version, RULE_BEHIND, 'nop'),
    rule(version, RULE_STEP_OVER, `fwmark ${mark} goto ${RULE_BEHIND}`),
  ]);
}

/** `ruled`: the texts of all ruled prefixes, found once for thousands of routes. */
function routeChanges(
  prefix: Prefix,
  ruled: ReadonlySet<string>,
  settings: Settings,
  facts: HostFacts,
): readonly HostChange[] {
  const { device, freeTable } = facts;
  const { table, routeMetric, failClosed } = settings.interface;
  const target = ruled.has(prefixText(prefix)) ? ` table ${freeTable}` : table === 'auto' ? '' : ` table ${table}`;
  const version = family(prefix.address);
  const chosen = routeMetric ?? (version === 6 ? IPV6_METRIC : undefined);
  const metric = chosen === undefined ? '' : ` metric ${chosen}`;
  const text = prefixText(prefix);
  const changes: HostChange[] = [];
  if (facts.withheld?.has(text) !== true) {
    changes.push({
      key: `route ${text}${target}${metric}`,
      family: version,
      apply: `route add ${text} dev ${device}${target}${metric}`,
      undo: `route del ${text} dev ${device}${target}${metric}`,
      text: `route ${text} dev ${device}${target}`,
    });
  }
  if (failClosed) {
    changes.push({
      key: `blackhole ${text}${target}`,
      family: version,
      // `replace`: one that a daemon left that was killed is ours already.
      apply: `route replace blackhole ${text}${target} metric ${BLACKHOLE_METRIC}`,
      undo: `route del blackhole ${text}${target} metric ${BLACKHOLE_METRIC}`,
      text: undefined,
    });
  }
  return changes;
}

/** What leads from `before` to `after`: removals first, in reverse order of their making, then additions. */
export function hostDiff(
  before: readonly HostChange[],
  after: readonly HostChange[],
): { readonly remove: readonly HostChange[]; readonly add: readonly HostChange[] } {
  const keysBefore = new Set(before.map((change) => change.key));
  const keysAfter = new Set(after.map((change) => change.key));
  return {
    remove: before.filter((change) => !keysAfter.has(change.key)).toReversed(),
    add: after.filter((change) => !keysBefore.has(change.key)),
  };
}
