import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planChanges, renderPlan } from '../../src/config/diff.ts';
import { parseSettings } from '../../src/config/load.ts';
import { INTERFACE } from '../../src/config/interface-keys.ts';
import { PEER } from '../../src/config/peer-keys.ts';
import type { Settings } from '../../src/config/settings.ts';
import { arbitraryChange, arbitrarySettings } from '../support/arbitrary-settings.ts';

const PINS = ['a', 'b', 'c'].map((digit) => digit.repeat(64));

function settings(iface: string, ...peers: readonly string[]): Settings {
  const text = `[Interface]\nName = t\nAddress = 172.31.0.1/30\nCertificate = /a.crt\nPrivateKey = /a.key\n${iface}\n`;
  const result = parseSettings('t.conf', `${text}${peers.map((peer) => `[Peer]\n${peer}\n`).join('')}`);
  if (!result.ok) throw new Error(result.error.items.map((item) => item.message).join('; '));
  return result.value.settings;
}

const BERLIN = `Name = berlin\nFingerprint = ${PINS[0]}\nAllowedIPs = 10.1.0.0/16\nEndpoint = berlin.example.net:4433`;
const LYON = `Name = lyon\nFingerprint = ${PINS[1]}\nAllowedIPs = 10.2.0.0/16\nEndpoint = lyon.example.net:4433`;

function isField(text: string): text is keyof typeof INTERFACE {
  return text in INTERFACE;
}

describe('a plan', () => {
  it('looks as documented', () => {
    const from = settings('ListenPort = 41641', BERLIN);
    const to = settings('ListenPort = 4433', `${BERLIN}\nAllowedIPs = 10.9.0.0/16`, LYON);
    expect(renderPlan(planChanges(from, to))).toBe(
      [
        '  ~ interface    ListenPort  41641 → 4433    hitless (both sockets for 30 s)',
        '  ~ peer berlin  AllowedIPs  + 10.9.0.0/16   hitless',
        '  + peer lyon                                hitless',
        '',
      ].join('\n'),
    );
  });

  it('is empty exactly when nothing changed', () => {
    fc.assert(
      fc.property(arbitrarySettings(), (same) => {
        expect(planChanges(same, same)).toEqual({ changes: [], hitless: true });
      }),
      { seed: 1, numRuns: 100 },
    );
    fc.assert(
      fc.property(arbitraryChange(), ([from, to]) => {
        const { changes } = planChanges(from, to);
        expect(changes.length === 0).toBe(JSON.stringify(from) === JSON.stringify(to));
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it('names every field that can differ', () => {
    fc.assert(
      fc.property(arbitrarySettings(), arbitrarySettings(), (a, b) => {
        for (const field in INTERFACE) {
          if (!isField(field)) throw new Error(`${field} is no key of the table`);
          const to = { ...a, interface: { ...a.interface, [field]: b.interface[field] } };
          const differs = JSON.stringify(a.interface[field]) !== JSON.stringify(b.interface[field]);
          const keys = planChanges(a, to).changes.map((change) => change.key);
          expect(keys).toEqual(differs ? [INTERFACE[field].name] : []);
        }
      }),
      { seed: 3, numRuns: 50 },
    );
  });

  it('is hitless unless a key that is not hot changes', () => {
    const from = settings('', BERLIN);
    for (const [line, hitless] of [
      ['MTU = 1400', true],
      ['LogLevel = debug', true],
      ['Lanes = 2', false],
      ['Crypto = openssl', false],
      ['Realtime = on', false],
      ['DisableOffloads = udp-gro', false],
    ] as const) {
      expect(planChanges(from, settings(line, BERLIN)).hitless, line).toBe(hitless);
    }
    const plan = planChanges(from, settings('Lanes = 2', BERLIN));
    expect(renderPlan(plan)).toBe('  ~ interface  Lanes  auto → 2   needs a restart\n');
  });

  it('says a change of [Interface] once, although peers inherit it', () => {
    const plan = planChanges(settings('', BERLIN, LYON), settings('MTU = 1400', BERLIN, `${LYON}\nMTU = 1300`));
    expect(plan.changes.map(({ peer, key, text }) => [peer, key, text])).toEqual([
      [undefined, 'MTU', 'auto → 1400'],
      ['lyon', 'MTU', 'auto → 1300'],
    ]);
  });

  it('knows a peer by its certificate when it is renamed, and by its name when its certificate changes', () => {
    const renamed = planChanges(settings('', BERLIN), settings('', BERLIN.replace('berlin\n', 'hq\n')));
    expect(renamed.changes).toMatchObject([{ action: '~', peer: 'hq', key: 'Name', text: 'berlin → hq' }]);
    const repinned = planChanges(settings('', BERLIN), settings('', BERLIN.replace(PINS[0] ?? '', PINS[2] ?? '')));
    expect(repinned.changes).toMatchObject([{ action: '~', peer: 'berlin', key: 'Fingerprint' }]);
    expect(repinned.changes[0]?.text).toMatch(/^- aa:.* \+ cc:/);
    const swapped = planChanges(settings('', BERLIN, LYON), settings('', LYON, BERLIN));
    expect(swapped.changes).toEqual([]);
  });

  it('tells what goes', () => {
    expect(renderPlan(planChanges(settings('', BERLIN, LYON), settings('', BERLIN)))).toBe(
      '  - peer lyon   hitless (its session is closed)\n',
    );
  });

  it('never shows a token', () => {
    const from = settings('MetricsToken = first-secret-token', BERLIN);
    const plan = renderPlan(planChanges(from, settings('MetricsToken = second-secret-token', BERLIN)));
    expect(plan).toContain('MetricsToken  changed');
    expect(plan).not.toContain('secret');
  });

  it('has a key for each field of a peer', () => {
    const [peer] = settings('', BERLIN).peers;
    expect(Object.keys(PEER).toSorted()).toEqual(Object.keys(peer ?? {}).toSorted());
  });
});
