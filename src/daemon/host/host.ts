import type { z } from 'zod';
import { DtunnelError } from '../../base/errors.ts';
import type { Settings } from '../../config/settings.ts';
import { family } from '../../net/address.ts';
import type { hostState } from '../upgrade/handover.ts';
import { bridgeChanges, type HostChange, hostDiff, hostPlan, neededMark, routedPrefixes } from './host-plan.ts';
import type { Ip } from './ip.ts';
import { type FoundRule, findRules } from './leftovers.ts';
import type { Sysctl } from './sysctl.ts';

/** What a host is made from. */
export interface HostOptions {
  readonly ip: Ip;
  readonly sysctl: Sysctl;
  /** Whether no other tunnel of this host could depend on switches that we set. */
  readonly isAlone: () => boolean;
  /** Told of every change that was made or taken back, in the words of `[+]` and `[-]` lines. */
  readonly onChange: (change: string, done: 'made' | 'undone') => void;
  /** Told of what should be looked at but stops nothing. */
  readonly onWarning: (text: string) => void;
}

/** Where the search for a routing table of our own begins; the number doubles as firewall mark. */
const FIRST_TABLE = 4433;

const FAMILIES = [4, 6] as const;

/** What one run of ip(8) has changed. */
interface RunOutcome {
  readonly made: readonly HostChange[];
  readonly removed: readonly HostChange[];
  /** The line that was refused, and why. */
  readonly refused: string | undefined;
  readonly failure: string | undefined;
}

/** Switches that let packets of other hosts through (ip-sysctl). */
const FORWARDING = { 4: 'net.ipv4.ip_forward', 6: 'net.ipv6.conf.all.forwarding' } as const;

const UNORDERED =
  'packets of a flow that are marked differently (DSCP) may overtake each other: no queue could be set (is tc installed?)';

/** Lets the reverse-path check see our mark, so that answers are not taken for forged (ip-sysctl). */
const VALID_MARK = 'net.ipv4.conf.all.src_valid_mark';

/** The smallest MTU IPv6 works with (RFC 8200 §5). */
const IPV6_MIN_MTU = 1280;

/**
 * The host's side of a tunnel: addresses, routes, rules and switches. Every operation is all or nothing: when one line is
 * refused, those before it are taken back and the error says which it was.
 */
export class Host {
  readonly #options: HostOptions;
  #device = '';
  #freeTable = FIRST_TABLE;
  #applied: readonly HostChange[] = [];
  /** Rules that a daemon left which was killed: taken over, so that packets are kept in until the device is there. */
  #leftovers: readonly HostChange[] = [];
  /** Keys of rules that another daemon needs as we would. */
  #shared: ReadonlySet<string> = new Set();
  #mtu = 0;
  /** Switches that were set, with the values they had. */
  readonly #switched: { readonly name: string; readonly before: string }[] = [];

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** The device's MTU as last set. */
  get mtu(): number {
    return this.#mtu;
  }

  /** Finds what does not depend on a device. Comes before the sockets are opened, since they need the mark. */
  async prepare(settings: Settings): Promise<{ readonly mark: number | undefined }> {
    const rules = await this.#options.ip.query(['-4', 'rule', 'show']);
    const rules6 = await this.#options.ip.query(['-6', 'rule', 'show']);
    const found = [...findRules(4, rules), ...findRules(6, rules6)];
    const tables = [...new Set(found.flatMap(({ table }) => table ?? []))];
    const orphans = new Set<number>();
    for (const table of tables) if (await this.#isOrphan(table)) orphans.add(table);
    // What another daemon needs stays as it is; what nobody needs is ours, as the blackholes are, until we end.
    const others = tables.some((table) => !orphans.has(table));
    const isOurs = ({ table }: FoundRule): boolean => (table === undefined ? !others : orphans.has(table));
    this.#leftovers = found.filter(isOurs).map(({ change }) => change);
    this.#shared = new Set(found.filter((rule) => !isOurs(rule)).map(({ change }) => change.key));
    const taken = new Set([...`${rules}\n${rules6}`.matchAll(/lookup (\d+)/g)].map(([, table]) => Number(table)));
    while (taken.has(this.#freeTable)) this.#freeTable += 1;
    for (const table of orphans) this.#freeTable = table;
    return { mark: this.markFor(settings) };
  }

  /** Sets everything up for `device`. Throws `DT_HOST_SETUP` with nothing left behind. */
  async setUp(settings: Settings, device: string, mtu: number): Promise<void> {
    this.#device = device;
    const plan = this.#plan(settings);
    const link: HostChange = {
      key: `link ${device}`,
      family: 4,
      apply: `link set dev ${device} mtu ${this.#bounded(settings, mtu)} up`,
      undo: undefined,
      text: undefined,
    };
    this.#switchForwarding(settings);
    if (this.markFor(settings) !== undefined) this.#switch(VALID_MARK, '1');
    // Before the device is up: no packet sees another queue.
    if (!(await this.#options.ip.useOrderedQueue(device))) this.#options.onWarning(UNORDERED);
    try {
      // Addresses come first as well: routes need a device that is up, and take their source from an address.
      await this.#make([link, ...plan.filter(isAddress)]);
      const { add, remove } = hostDiff(this.#leftovers, plan);
      await this.#make(
        add.filter((change) => !isAddress(change)),
        remove,
      );
    } catch (error) {
      await this.#undo(plan.filter(isAddress).toReversed());
      this.#switchBack();
      throw error;
    }
    this.#mtu = this.#bounded(settings, mtu);
    this.#applied = plan;
    const addresses = settings.interface.addresses.map(({ address, length }) => `${address}/${length}`);
    this.#options.onChange(`device ${device}  mtu ${this.#mtu}  ${addresses.join(' ')}`, 'made');
    for (const change of plan) {
      if (change.text !== undefined && !isAddress(change)) this.#options.onChange(change.text, 'made');
    }
  }

  /**
   * Changes what differs for `settings`; `withheld` are prefixes that are to have no route for now. All or nothing.
   * Yields the call that goes back, should a later step of the same reload fail.
   */
  async change(settings: Settings, withheld: ReadonlySet<string> = new Set()): Promise<() => Promise<void>> {
    const before = this.#applied;
    const after = this.#plan(settings, withheld);
    if (this.markFor(settings) !== undefined) this.#switch(VALID_MARK, '1');
    await this.#replace(before, after);
    this.#switchForwarding(settings);
    return async () => {
      await this.#replace(after, before);
    };
  }

  /** The mark that our datagrams need for `settings`. */
  markFor(settings: Settings): number | undefined {
    return neededMark(settings, this.#freeTable);
  }

  /** Lets datagrams marked `mark` past our rules too, until the call that it yields. */
  async letPass(mark: number): Promise<() => Promise<void>> {
    const bridge = this.#applied.some(({ key }) => key.startsWith('rule ')) ? bridgeChanges(mark) : [];
    await this.#make(bridge);
    return () => this.#undo(bridge.toReversed());
  }

  /** What an operator should know about this host now; asked anew each time, so that it ends when it is mended. */
  remarks(settings: Settings): readonly string[] {
    return this.#closedSwitches(settings).map(
      (name) => `${name} is 0: packets of other hosts are not forwarded (sysctl -w ${name}=1)`,
    );
  }

  /** Gives the device another MTU. False: refused; the device keeps the one it has. */
  async setMtu(settings: Settings, mtu: number): Promise<boolean> {
    const wanted = this.#bounded(settings, mtu);
    if (wanted === this.#mtu) return true;
    const { failure } = await this.#options.ip.batch(4, [`link set dev ${this.#device} mtu ${wanted}`]);
    if (failure !== undefined) {
      this.#options.onWarning(`the device keeps MTU ${this.#mtu}: ${failure}`);
      return false;
    }
    this.#mtu = wanted;
    return true;
  }

  /** For another process, which will change it and take it back. */
  export(): z.input<typeof hostState> {
    const applied = this.#applied.map((change) => ({ ...change }));
    return {
      device: this.#device,
      freeTable: this.#freeTable,
      mtu: this.#mtu,
      applied,
      switched: [...this.#switched],
      shared: [...this.#shared],
    };
  }

  /** Takes over what another process has set up, without touching it. Yields the mark its sockets have. */
  continueFrom(state: z.output<typeof hostState>, settings: Settings): { readonly mark: number | undefined } {
    this.#device = state.device;
    this.#freeTable = state.freeTable;
    this.#mtu = state.mtu;
    this.#applied = state.applied;
    this.#switched.push(...state.switched);
    this.#shared = new Set(state.shared);
    return { mark: this.markFor(settings) };
  }

  /** Takes everything back, in reverse order. Never throws: what cannot be undone is told and left. */
  async tearDown(): Promise<void> {
    const undone = [...this.#applied].toReversed();
    this.#applied = [];
    await this.#undo(undone);
    this.#switchBack();
    for (const change of undone) {
      if (change.text !== undefined && !change.key.startsWith('address '))
        this.#options.onChange(change.text, 'undone');
    }
    this.#options.onChange(`device ${this.#device}`, 'undone');
  }

  /** Without the rules that other daemons share with us. */
  #plan(settings: Settings, withheld: ReadonlySet<string> = new Set()): readonly HostChange[] {
    const plan = hostPlan(settings, { device: this.#device, freeTable: this.#freeTable, withheld });
    return this.#shared.size === 0 ? plan : plan.filter(({ key }) => !this.#shared.has(key));
  }

  /** Whether nobody uses `table`, for which there are rules of ours: routes over a device go with its daemon. */
  async #isOrphan(table: number): Promise<boolean> {
    const routes = await Promise.all(
      FAMILIES.map((version) => this.#options.ip.query([`-${version}`, 'route', 'show', 'table', `${table}`])),
    );
    const lines = routes.flatMap((text) => text.split('\n')).filter((line) => line !== '');
    // Without FailClosed a daemon whose peers are down has no routes at all.
    if (lines.length === 0) return this.#options.isAlone();
    return lines.every((line) => line.startsWith('blackhole '));
  }

  async #replace(before: readonly HostChange[], after: readonly HostChange[]): Promise<void> {
    const { remove, add } = hostDiff(before, after);
    if (remove.length + add.length === 0) return;
    // One run of ip(8) does both, and both families: starting a program is what takes the time of a reload. New routes
    // come before old ones go, so that no packet falls between; keys never clash, since they differ.
    await this.#make(add, remove);
    this.#applied = after;
    for (const change of add) if (change.text !== undefined) this.#options.onChange(change.text, 'made');
    for (const change of remove) if (change.text !== undefined) this.#options.onChange(change.text, 'undone');
  }

  /** Makes `add` and takes `remove` back. When a line of `add` is refused, all is as before. */
  async #make(add: readonly HostChange[], remove: readonly HostChange[] = []): Promise<void> {
    const outcomes = await Promise.all(runsFor([...add, ...remove]).map((version) => this.#run(version, add, remove)));
    const failed = outcomes.find(({ failure }) => failure !== undefined);
    if (failed?.failure === undefined) return;
    await this.#undo(outcomes.flatMap(({ made }) => made).toReversed());
    await this.#make(outcomes.flatMap(({ removed }) => removed).toReversed());
    throw hostError(failed.refused ?? '', failed.failure);
  }

  async #run(
    version: 4 | 6 | undefined,
    add: readonly HostChange[],
    remove: readonly HostChange[],
  ): Promise<RunOutcome> {
    const adding = add.filter((change) => isOf(version, change));
    const removing = remove.filter((change) => isOf(version, change) && change.undo !== undefined);
    const lines = [...adding.map((change) => change.apply), ...removing.flatMap((change) => change.undo ?? [])];
    const { done, failure } = await this.#options.ip.batch(version, lines);
    if (failure !== undefined && done < adding.length) {
      return { made: adding.slice(0, done), removed: [], refused: adding[done]?.apply, failure };
    }
    // What would not go was the last thing that could fail: told, and the rest still goes.
    if (failure !== undefined) {
      this.#unwilling(removing[done - adding.length], failure);
      await this.#undo(removing.slice(done - adding.length + 1));
    }
    return { made: adding, removed: removing, refused: undefined, failure: undefined };
  }

  /** Takes `changes` back as they come; a line that is refused does not keep the others. */
  async #undo(changes: readonly HostChange[]): Promise<void> {
    await Promise.all(
      runsFor(changes).map(async (version) => {
        let left = changes.filter((change) => isOf(version, change) && change.undo !== undefined);
        while (left.length > 0) {
          const lines = left.flatMap((change) => change.undo ?? []);
          const { done, failure } = await this.#options.ip.batch(version, lines);
          if (failure === undefined) return;
          this.#unwilling(left[done], failure);
          left = left.slice(done + 1);
        }
      }),
    );
  }

  /** A change that cannot be taken back. Gone already is what was wanted: somebody, or the kernel, was faster. */
  #unwilling(change: HostChange | undefined, failure: string): void {
    if (/No such (process|file|device)|Cannot (find|assign)/.test(failure)) return;
    this.#options.onWarning(`cannot undo (ip ${change?.undo}): ${failure}`);
  }

  #bounded(settings: Settings, mtu: number): number {
    const ceiling = settings.interface.mtu === 'auto' ? mtu : Math.min(mtu, settings.interface.mtu);
    return ceiling < IPV6_MIN_MTU && carriesIpv6(settings) ? IPV6_MIN_MTU : ceiling;
  }

  /** Kernel switches that are off although packets of other hosts are to be forwarded. */
  #closedSwitches(settings: Settings): readonly string[] {
    if (settings.interface.forwarding === 'off') return [];
    const versions = new Set(routedPrefixes(settings).map((prefix) => family(prefix.address)));
    return [...versions]
      .map((version) => FORWARDING[version])
      .filter((name) => this.#options.sysctl.read(name) === '0');
  }

  #switchForwarding(settings: Settings): void {
    if (settings.interface.forwarding !== 'set') return;
    for (const name of this.#closedSwitches(settings)) this.#switch(name, '1');
  }

  #switch(name: string, value: string): void {
    const before = this.#options.sysctl.read(name);
    if (before === undefined || before === value) return;
    if (this.#options.sysctl.write(name, value)) {
      this.#switched.push({ name, before });
      this.#options.onChange(`sysctl ${name}=${value}`, 'made');
    } else {
      this.#options.onWarning(`cannot set ${name}=${value} from here: put it into /etc/sysctl.d`);
    }
  }

  #switchBack(): void {
    if (!this.#options.isAlone()) return;
    for (const { name, before } of this.#switched.splice(0).toReversed()) {
      if (this.#options.sysctl.write(name, before)) this.#options.onChange(`sysctl ${name}=${before}`, 'undone');
    }
  }
}

/** The runs of ip(8) that `changes` take: one, unless there are some that do not tell their family. */
function runsFor(changes: readonly HostChange[]): readonly (4 | 6 | undefined)[] {
  return changes.some(({ key }) => key.startsWith('rule ')) ? FAMILIES : [undefined];
}

function isOf(version: 4 | 6 | undefined, { family: own }: HostChange): boolean {
  return version === undefined || own === version;
}

function isAddress({ key }: HostChange): boolean {
  return key.startsWith('address ');
}

/** Below IPV6_MIN_MTU the kernel takes a device's IPv6 away, routes included: those to peers as well as addresses. */
function carriesIpv6({ interface: { addresses }, peers }: Settings): boolean {
  const prefixes = [...addresses, ...peers.flatMap(({ allowedIps }) => allowedIps)];
  return prefixes.some(({ address }) => family(address) === 6);
}

function hostError(line: string, failure: string): DtunnelError {
  const hint = HINTS.find(([pattern]) => pattern.test(failure))?.[1];
  const text = `ip ${line}: ${failure.replace(/\s*\n\s*/g, '; ')}`;
  return new DtunnelError('S014', text, hint === undefined ? {} : { hint });
}

/** What the kernel's refusals mean here. */
const HINTS: readonly (readonly [RegExp, string])[] = [
  [/Operation not permitted/, 'run as root, or give the process CAP_NET_ADMIN'],
  [/File exists/, 'something else has that route or address: remove it, or let both live with RouteMetric or Table'],
  [/disable_ipv6|IPv6 is disabled/, 'IPv6 is switched off on this machine: sysctl net.ipv6.conf.all.disable_ipv6=0'],
];
