import type { BatchOutcome, Ip } from '../../src/daemon/host/ip.ts';
import type { Sysctl } from '../../src/daemon/host/sysctl.ts';

/** iproute2 that only remembers: what is set up, and what was asked in order. */
export class FakeIp implements Ip {
  /** Every line that was carried out, with the family it was asked for. */
  readonly lines: string[] = [];
  /** What is in place: `add`ed and not `del`eted, without verb. */
  readonly present = new Set<string>();
  /** A line that contains this is refused with these words. */
  refuse: { readonly containing: string; readonly saying: string; readonly once?: boolean } | undefined;
  /** Told after every line. */
  onLine: (family: 4 | 6) => void = () => undefined;
  /** Batches that were not empty: programs that a real one would have started. */
  runs = 0;
  /** Whether a queue that keeps order can be had. */
  ordersQueues = true;
  /** Routes of the table that is asked for. */
  routes = '';
  rules = '0:\tfrom all lookup local\n32766:\tfrom all lookup main\n';

  async batch(asked: 4 | 6 | undefined, lines: readonly string[]): Promise<BatchOutcome> {
    if (lines.length > 0) this.runs += 1;
    for (const [done, line] of lines.entries()) {
      if (this.refuse !== undefined && line.includes(this.refuse.containing)) {
        const { saying, once } = this.refuse;
        if (once === true) this.refuse = undefined;
        return { done, failure: saying };
      }
      const family = asked ?? familyOf(line);
      this.lines.push(`-${family} ${line}`);
      this.#apply(family, line);
      this.onLine(family);
    }
    return { done: lines.length, failure: undefined };
  }

  async query(args: readonly string[]): Promise<string> {
    return args.includes('route') ? this.routes : this.rules;
  }

  async useOrderedQueue(device: string): Promise<boolean> {
    this.lines.push(`tc ${device}`);
    return this.ordersQueues;
  }

  #apply(family: 4 | 6, line: string): void {
    const match = /^(address|route|rule) (add|replace|del) (.*)$/.exec(line);
    if (match === null) return;
    const [, object, verb, rest = ''] = match;
    const entry = `${object} ${rest.replace(/ nodad$/, '')}`;
    if (verb === 'del') this.present.delete(family === 6 ? this.#firstOf(entry) : entry);
    else this.present.add(entry);
  }

  /** IPv6: a removal that names no metric takes the route with the lowest one (ip6_route_del). */
  #firstOf(entry: string): string {
    if (entry.includes(' metric ')) return entry;
    const metric = (text: string): number => Number(/ metric (\d+)/.exec(text)?.[1] ?? 1024);
    const alike = [...this.present].filter((text) => text === entry || text.startsWith(`${entry} metric `));
    return alike.sort((a, b) => metric(a) - metric(b))[0] ?? entry;
  }
}

/** What ip(8) makes of a line whose family was not asked for. It takes a rule for one of IPv4, whoever it was meant for. */
function familyOf(line: string): 4 | 6 {
  if (line.startsWith('rule ')) throw new Error(`a rule does not tell its family: ${line}`);
  return /^\w+ \w+ (blackhole )?\S*:/.test(line) ? 6 : 4;
}

/** Kernel switches in a map; `locked` ones cannot be written. */
export class FakeSysctl implements Sysctl {
  readonly values: Map<string, string>;
  readonly locked: ReadonlySet<string>;

  constructor(values: Readonly<Record<string, string>> = {}, locked: readonly string[] = []) {
    this.values = new Map(Object.entries(values));
    this.locked = new Set(locked);
  }

  read(name: string): string | undefined {
    return this.values.get(name);
  }

  write(name: string, value: string): boolean {
    if (this.locked.has(name) || !this.values.has(name)) return false;
    this.values.set(name, value);
    return true;
  }
}
