import type { HostChange } from './host-plan.ts';
import { RULE_BEHIND, RULE_STEP_OVER, RULE_SUPPRESS, RULE_TABLE } from './host-plan.ts';

/** A rule that is in place and of a form that only we make. */
export interface FoundRule {
  readonly change: HostChange;
  /** The table it leads to; undefined: none of ours. */
  readonly table: number | undefined;
}

/** Our rules in the output of `ip rule show` for one family: of this daemon before it was killed, or of another one. */
export function findRules(version: 4 | 6, output: string): readonly FoundRule[] {
  return output.split('\n').flatMap((line): FoundRule[] => {
    const [, prefText, text = ''] = /^(\d+):\s+(.*?)\s*$/.exec(line) ?? [];
    const pref = Number(prefText);
    if (pref === RULE_SUPPRESS && text === 'from all lookup main suppress_prefixlength 0') {
      return [found(version, pref, 'lookup main suppress_prefixlength 0')];
    }
    const [, mark, table] = /^not from all fwmark (0x[0-9a-f]+) lookup (\d+)$/.exec(text) ?? [];
    if (pref === RULE_TABLE && mark !== undefined) {
      return [found(version, pref, `not fwmark ${Number(mark)} lookup ${table}`, Number(table))];
    }
    const [, over] = /^from all fwmark (0x[0-9a-f]+) goto \d+/.exec(text) ?? [];
    if (pref === RULE_STEP_OVER && over !== undefined) {
      return [found(version, pref, `fwmark ${Number(over)} goto ${RULE_BEHIND}`)];
    }
    return pref === RULE_BEHIND && text === 'from all nop' ? [found(version, pref, 'nop')] : [];
  });
}

function found(version: 4 | 6, pref: number, selector: string, table?: number): FoundRule {
  const change: HostChange = {
    key: `rule ${version} ${selector}`,
    family: version,
    apply: `rule add pref ${pref} ${selector}`,
    undo: `rule del pref ${pref} ${selector}`,
    text: undefined,
  };
  return { change, table };
}
