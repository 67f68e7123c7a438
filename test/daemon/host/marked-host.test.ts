import { describe, expect, it } from 'vitest';
import { parseSettings } from '../../../src/config/load.ts';
import type { Settings } from '../../../src/config/settings.ts';
import { Host } from '../../../src/daemon/host/host.ts';
import { changeMarkedHost } from '../../../src/daemon/host/marked-host.ts';
import { FakeIp, FakeSysctl } from '../../support/fake-ip.ts';

function settings(iface: string, allowedIps: string): Settings {
  const loaded = parseSettings(
    'x.conf',
    `[Interface]\nAddress = 172.31.0.2/30\nListenPort = 1\nCertificate = c\nPrivateKey = k\n${iface}\n[Peer]\nFingerprint = ${'aa'.repeat(32)}\nAllowedIPs = ${allowedIps}\n`,
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value.settings;
}

const KINDS = {
  plain: settings('', '10.1.0.0/16'),
  marked: settings('FwMark = 7', '10.1.0.0/16'),
  'marked otherwise': settings('FwMark = 8', '10.1.0.0/16'),
  'default route': settings('', '0.0.0.0/0, ::/0'),
  'default route, marked': settings('FwMark = 7', '0.0.0.0/0, ::/0'),
  'default route, marked otherwise': settings('FwMark = 8', '0.0.0.0/0, ::/0'),
  'default route of IPv4 alone': settings('FwMark = 7', '0.0.0.0/0'),
};
type Kind = keyof typeof KINDS;

/** Where a packet with `mark` that no specific route matches goes by the rules in place: policy routing in small. */
function wayOf(rules: readonly string[], mark: number): 'tunnel' | 'main' {
  const parsed = rules
    .map((rule) => /^rule pref (\d+) (.*)$/.exec(rule))
    .map((match) => ({ pref: Number(match?.[1]), selector: match?.[2] ?? '' }))
    .sort((a, b) => a.pref - b.pref);
  let from = 0;
  for (const { pref, selector } of parsed) {
    if (pref < from) continue;
    const over = /^fwmark (\d+) goto (\d+)$/.exec(selector);
    if (over !== null && Number(over[1]) === mark) from = Number(over[2]);
    const others = /^not fwmark (\d+) lookup/.exec(selector);
    if (others !== null && Number(others[1]) !== mark) return 'tunnel';
  }
  return 'main';
}

/** A host set up as `kind`, with what would happen to packets looked at after every single step. */
async function prepared(kind: Kind) {
  const ip = new FakeIp();
  const looks: { readonly own: string; readonly inner: string }[] = [];
  const plane = { mark: undefined as number | undefined, refuses: false };
  // FakeIp knows one set for both families: entries of IPv4 and IPv6 are told apart by what was asked last.
  const present = { 4: new Set<string>(), 6: new Set<string>() };
  let seen = 0;
  const look = (): void => {
    for (const line of ip.lines.slice(seen)) {
      const [, version = '', verb, rest = ''] = /^-([46]) rule (add|del) (.*)$/.exec(line) ?? [];
      if (version === '') continue;
      const rules = present[version === '4' ? 4 : 6];
      if (verb === 'add') rules.add(`rule ${rest}`);
      else rules.delete(`rule ${rest}`);
    }
    seen = ip.lines.length;
    for (const version of [4, 6] as const) {
      const rules = [...present[version]];
      looks.push({ own: wayOf(rules, plane.mark ?? 0), inner: version === 4 ? wayOf(rules, 0) : 'any' });
    }
  };
  ip.onLine = look;
  const host = new Host({
    ip,
    sysctl: new FakeSysctl({ 'net.ipv4.conf.all.src_valid_mark': '0' }),
    isAlone: () => true,
    onChange: () => undefined,
    onWarning: (text) => {
      throw new Error(text);
    },
  });
  plane.mark = (await host.prepare(KINDS[kind])).mark;
  await host.setUp(KINDS[kind], 'dt-x', 1420);
  looks.length = 0;
  const setMark = (mark: number | undefined): void => {
    if (plane.refuses) throw new Error('refused');
    plane.mark = mark;
    look();
  };
  return { ip, host, plane, looks, rules: () => JSON.stringify([...present[4], ...present[6]].sort()), setMark };
}

const PAIRS = (Object.keys(KINDS) as Kind[]).flatMap((from) =>
  (Object.keys(KINDS) as Kind[]).map((to) => [from, to] as const),
);

describe('a change of the mark on our datagrams', () => {
  it.each(PAIRS)(
    'from %s to %s leads no datagram into the tunnel and no packet past it, and back',
    async (from, to) => {
      const { host, plane, looks, rules, setMark } = await prepared(from);
      const before = rules();
      const goBack = await changeMarkedHost(host, { setMark }, KINDS[from], KINDS[to]);
      const fresh = await prepared(to);
      expect(plane.mark).toBe(fresh.plane.mark);
      expect(rules()).toBe(fresh.rules());
      await goBack();
      expect(rules()).toBe(before);
      expect(looks.map(({ own }) => own)).not.toContain('tunnel');
      const both = [from, to].every((kind) => kind.startsWith('default'));
      if (both) expect(looks.map(({ inner }) => inner)).not.toContain('main');
    },
  );

  it.each(['rule', 'route'])('that fails at a %s leaves everything as it was', async (what) => {
    for (const [from, to] of PAIRS) {
      const { ip, host, plane, looks, rules, setMark } = await prepared(from);
      const before = [rules(), plane.mark];
      ip.refuse = { containing: `${what} add`, saying: 'no', once: true };
      try {
        await changeMarkedHost(host, { setMark }, KINDS[from], KINDS[to]);
      } catch {
        expect([rules(), plane.mark], `${from} → ${to}`).toEqual(before);
      }
      expect(looks.map(({ own }) => own)).not.toContain('tunnel');
    }
  });

  it('that the kernel refuses leaves everything as it was', async () => {
    const { host, plane, rules, setMark } = await prepared('default route');
    const before = rules();
    plane.refuses = true;
    await expect(
      changeMarkedHost(host, { setMark }, KINDS['default route'], KINDS['default route, marked']),
    ).rejects.toThrow('refused');
    expect([rules(), plane.mark]).toEqual([before, 4433]);
  });
});
