import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { Settings } from '../../../src/config/settings.ts';
import { parseSettings } from '../../../src/config/load.ts';
import { Host } from '../../../src/daemon/host/host.ts';
import { deviceMtu, HostSync, withheldPrefixes } from '../../../src/daemon/host/host-sync.ts';
import { hostDiff, hostPlan, routedPrefixes, ruledPrefixes } from '../../../src/daemon/host/host-plan.ts';
import { SystemIp } from '../../../src/daemon/host/ip.ts';
import { deviceName, planeOptions } from '../../../src/daemon/plane-options.ts';
import { prefixText } from '../../../src/net/prefix.ts';
import type { ProgramReport, ProgramRun } from '../../../src/plane/host.ts';
import { FakeIp, FakeSysctl } from '../../support/fake-ip.ts';
import { association, downPeer, peerSnapshot } from '../../support/snapshots.ts';

const FINGERPRINTS = ['aa'.repeat(32), 'bb'.repeat(32)];

function settings(options: { iface?: string; peers?: readonly string[] } = {}): Settings {
  const peers = (options.peers ?? ['AllowedIPs = 172.31.0.1/32, 10.1.0.0/16, fd99::/64']).map(
    (peer, i) => `[Peer]\nName = p${i}\nFingerprint = ${FINGERPRINTS[i]}\n${peer}\n`,
  );
  const iface = options.iface ?? 'Address = 172.31.0.2/30';
  const loaded = parseSettings(
    'paris.conf',
    `[Interface]\n${iface}\nListenPort = 4433\nCertificate = c\nPrivateKey = k\n${peers.join('')}`,
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value.settings;
}

const FACTS = { device: 'dt-paris', freeTable: 4433 };
const applied = (s: Settings): readonly string[] => hostPlan(s, FACTS).map(({ apply }) => apply);

function host(over: { ip?: FakeIp; sysctl?: FakeSysctl; alone?: boolean } = {}) {
  const ip = over.ip ?? new FakeIp();
  const sysctl = over.sysctl ?? new FakeSysctl();
  const changes: string[] = [];
  const warnings: string[] = [];
  const made = new Host({
    ip,
    sysctl,
    isAlone: () => over.alone ?? true,
    onChange: (change, done) => changes.push(`${done === 'made' ? '+' : '-'} ${change}`),
    onWarning: (text) => warnings.push(text),
  });
  return { host: made, ip, sysctl, changes, warnings };
}

describe('the plan of a host', () => {
  it('has addresses, routes for what no address covers, and blackholes below them', () => {
    expect(applied(settings())).toEqual([
      'address add 172.31.0.2/30 dev dt-paris',
      'route add 10.1.0.0/16 dev dt-paris',
      'route replace blackhole 10.1.0.0/16 metric 4294967000',
      'route add fd99::/64 dev dt-paris metric 1024',
      'route replace blackhole fd99::/64 metric 4294967000',
    ]);
  });

  it('obeys Table, RouteMetric and FailClosed', () => {
    expect(applied(settings({ iface: 'Address = 172.31.0.2/30\nTable = off' }))).toEqual([
      'address add 172.31.0.2/30 dev dt-paris',
    ]);
    const custom = settings({
      iface: 'Address = 172.31.0.2/30\nTable = 77\nRouteMetric = 50\nFailClosed = off',
      peers: ['AllowedIPs = 0.0.0.0/0'],
    });
    expect(applied(custom)).toEqual([
      'address add 172.31.0.2/30 dev dt-paris',
      'route add 0.0.0.0/0 dev dt-paris table 77 metric 50',
    ]);
  });

  it('routes a prefix of two peers once and one of a disabled peer not at all', () => {
    const two = settings({
      peers: ['AllowedIPs = 10.1.0.0/16\nPriority = 1', 'AllowedIPs = 10.1.0.0/16\nPriority = 2'],
    });
    expect(routedPrefixes(two).map(prefixText)).toEqual(['10.1.0.0/16']);
    const off = settings({ peers: ['AllowedIPs = 10.1.0.0/16\nEnabled = no'] });
    expect(routedPrefixes(off)).toEqual([]);
  });

  it('keeps our own datagrams out of the tunnel when a default route is claimed', () => {
    const all = settings({ peers: ['AllowedIPs = 0.0.0.0/0, ::/0, 10.9.0.0/16'] });
    expect(applied(all).filter((line) => line.startsWith('rule'))).toEqual([
      'rule add pref 32000 lookup main suppress_prefixlength 0',
      'rule add pref 32001 not fwmark 4433 lookup 4433',
      'rule add pref 32000 lookup main suppress_prefixlength 0',
      'rule add pref 32001 not fwmark 4433 lookup 4433',
    ]);
    expect(applied(all)).toContain('route add 0.0.0.0/0 dev dt-paris table 4433');
    expect(applied(all)).toContain('route add 10.9.0.0/16 dev dt-paris');
    const rules = hostPlan(all, FACTS).filter(({ key }) => key.startsWith('rule'));
    expect(rules.map(({ family }) => family)).toEqual([4, 4, 6, 6]);
  });

  it("does so as well for a prefix that holds the peer's own endpoint", () => {
    const around = settings({ peers: ['Endpoint = 203.0.113.10:4433\nAllowedIPs = 203.0.113.0/24, 10.1.0.0/16'] });
    expect(ruledPrefixes(around).map(prefixText)).toEqual(['203.0.113.0/24']);
  });

  it('changes only what differs, removing in reverse order', () => {
    const before = hostPlan(settings({ peers: ['AllowedIPs = 10.1.0.0/16, 10.2.0.0/16'] }), FACTS);
    const after = hostPlan(settings({ peers: ['AllowedIPs = 10.2.0.0/16, 10.3.0.0/16'] }), FACTS);
    const { remove, add } = hostDiff(before, after);
    expect(remove.map(({ key }) => key)).toEqual(['blackhole 10.1.0.0/16', 'route 10.1.0.0/16']);
    expect(add.map(({ key }) => key)).toEqual(['route 10.3.0.0/16', 'blackhole 10.3.0.0/16']);
  });
});

describe('a host', () => {
  it('is as before after set-up and tear-down', async () => {
    const sysctl = new FakeSysctl({ 'net.ipv4.ip_forward': '0', 'net.ipv6.conf.all.forwarding': '1' });
    const { host: made, ip, changes } = host({ sysctl });
    const s = settings({ iface: 'Address = 172.31.0.2/30\nForwarding = set' });
    await made.prepare(s);
    await made.setUp(s, 'dt-paris', 1420);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
    expect(ip.lines).toContain('-4 link set dev dt-paris mtu 1420 up');
    await made.tearDown();
    expect([...ip.present]).toEqual([]);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('0');
    expect(changes).toEqual([
      '+ sysctl net.ipv4.ip_forward=1',
      '+ device dt-paris  mtu 1420  172.31.0.2/30',
      '+ route 10.1.0.0/16 dev dt-paris',
      '+ route fd99::/64 dev dt-paris',
      '- sysctl net.ipv4.ip_forward=0',
      '- route fd99::/64 dev dt-paris',
      '- route 10.1.0.0/16 dev dt-paris',
      '- device dt-paris',
    ]);
  });

  it('leaves forwarding on while another tunnel may need it', async () => {
    const sysctl = new FakeSysctl({ 'net.ipv4.ip_forward': '0' });
    const { host: made } = host({ sysctl, alone: false });
    const s = settings({ iface: 'Address = 172.31.0.2/30\nForwarding = set' });
    await made.setUp(s, 'dt-paris', 1420);
    await made.tearDown();
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
  });

  it.each([
    ['address add', 0],
    ['route add 10.1.0.0/16', 1],
    ['blackhole 10.1.0.0/16', 2],
    ['route add fd99::/64', 3],
    ['blackhole fd99::/64', 4],
  ])('takes everything back when %s is refused', async (containing) => {
    const ip = new FakeIp();
    ip.refuse = { containing, saying: 'RTNETLINK answers: No' };
    const sysctl = new FakeSysctl({ 'net.ipv4.ip_forward': '0' });
    const { host: made, changes } = host({ ip, sysctl });
    const s = settings({ iface: 'Address = 172.31.0.2/30\nForwarding = set' });
    await expect(made.setUp(s, 'dt-paris', 1420)).rejects.toMatchObject({ code: 'S014' });
    expect([...ip.present]).toEqual([]);
    expect(sysctl.values.get('net.ipv4.ip_forward')).toBe('0');
    expect(changes.filter((change) => change.startsWith('+ route'))).toEqual([]);
  });

  it('takes a table that no rule uses yet, and marks sockets with it', async () => {
    const ip = new FakeIp();
    ip.rules = '32001:\tnot from all fwmark 0x1151 lookup 4433\n';
    ip.routes = 'default dev dt-other scope link\n';
    const { host: made } = host({ ip });
    expect(await made.prepare(settings({ peers: ['AllowedIPs = 0.0.0.0/0'] }))).toEqual({ mark: 4434 });
    expect(await made.prepare(settings())).toEqual({ mark: undefined });
  });

  it('takes over the rules of a daemon that was killed: packets are kept in all the while, and all is gone at the end', async () => {
    const everything = settings({ peers: ['AllowedIPs = 0.0.0.0/0'] });
    const ip = new FakeIp();
    ip.rules = [
      '0:\tfrom all lookup local',
      '31999:\tfrom all fwmark 0x7 goto 32002',
      '32000:\tfrom all lookup main suppress_prefixlength 0',
      '32001:\tnot from all fwmark 0x1151 lookup 4433',
      '32002:\tfrom all nop',
      '32766:\tfrom all lookup main\n',
    ].join('\n');
    ip.routes = 'blackhole default dev lo metric 4294967000 pref medium\n';
    const { host: made } = host({ ip });
    expect(await made.prepare(everything)).toEqual({ mark: 4433 });
    await made.setUp(everything, 'dt-paris', 1420);
    const rules = ip.lines.filter((line) => line.startsWith('-4 rule'));
    expect(rules).toEqual(['-4 rule del pref 32002 nop', '-4 rule del pref 31999 fwmark 7 goto 32002']);
    await made.tearDown();
    expect(ip.lines.filter((line) => line.startsWith('-4 rule del')).slice(2)).toEqual([
      '-4 rule del pref 32001 not fwmark 4433 lookup 4433',
      '-4 rule del pref 32000 lookup main suppress_prefixlength 0',
    ]);
  });

  it('shares with another daemon what both need, and leaves it to the other', async () => {
    const ip = new FakeIp();
    ip.rules = '32000:\tfrom all lookup main suppress_prefixlength 0\n32001:\tnot from all fwmark 0x1151 lookup 4433\n';
    ip.routes = 'default dev dt-other scope link\n';
    const everything = settings({ peers: ['AllowedIPs = 0.0.0.0/0'] });
    const { host: made } = host({ ip });
    await made.prepare(everything);
    await made.setUp(everything, 'dt-paris', 1420);
    await made.tearDown();
    expect(ip.lines.filter((line) => line.startsWith('-4 rule'))).toEqual([
      '-4 rule add pref 32001 not fwmark 4434 lookup 4434',
      '-4 rule del pref 32001 not fwmark 4434 lookup 4434',
    ]);
  });

  it('warns when packets of other hosts would not be forwarded, or a switch is locked', async () => {
    const checked = host({ sysctl: new FakeSysctl({ 'net.ipv4.ip_forward': '0' }) });
    expect(checked.host.remarks(settings())).toEqual([expect.stringContaining('net.ipv4.ip_forward is 0')]);
    expect(checked.host.remarks(settings({ peers: ['AllowedIPs = 172.31.0.1/32'] }))).toEqual([]);
    checked.sysctl.values.set('net.ipv4.ip_forward', '1');
    expect(checked.host.remarks(settings())).toEqual([]);
    const locked = host({ sysctl: new FakeSysctl({ 'net.ipv4.ip_forward': '0' }, ['net.ipv4.ip_forward']) });
    await locked.host.setUp(settings({ iface: 'Address = 172.31.0.2/30\nForwarding = set' }), 'dt-paris', 1420);
    expect(locked.warnings).toEqual([expect.stringContaining('/etc/sysctl.d')]);
  });

  it('goes back to what was when a later step of a reload fails', async () => {
    const { host: made, ip } = host();
    await made.setUp(settings(), 'dt-paris', 1420);
    const before = [...ip.present].sort();
    const undo = await made.change(settings({ peers: ['AllowedIPs = 10.5.0.0/16'] }));
    expect([...ip.present]).toContain('route 10.5.0.0/16 dev dt-paris');
    await undo();
    expect([...ip.present].sort()).toEqual(before);
  });

  it('puts back what it had removed in one family when the other refuses', async () => {
    const { host: made, ip } = host();
    await made.setUp(settings(), 'dt-paris', 1420);
    const before = [...ip.present].sort();
    ip.refuse = { containing: 'fd77::/64', saying: 'RTNETLINK answers: File exists' };
    const next = settings({ peers: ['AllowedIPs = 10.7.0.0/16, fd77::/64'] });
    await expect(made.change(next)).rejects.toMatchObject({
      code: 'S014',
      hint: expect.stringContaining('RouteMetric'),
    });
    expect([...ip.present].sort()).toEqual(before);
    ip.refuse = undefined;
    await made.change(next);
    expect([...ip.present]).toContain('route fd77::/64 dev dt-paris metric 1024');
    expect([...ip.present]).not.toContain('route 10.1.0.0/16 dev dt-paris');
  });

  it('changes the metric of routes there and back: an IPv6 route is never taken for another', async () => {
    const { host: made, ip } = host();
    await made.setUp(settings(), 'dt-paris', 1420);
    const before = [...ip.present].sort();
    await made.change(settings({ iface: 'Address = 172.31.0.2/30\nRouteMetric = 50' }));
    const routes = [...ip.present].filter((line) => line.startsWith('route fd99::/64'));
    expect(routes).toEqual(['route fd99::/64 dev dt-paris metric 50']);
    await made.change(settings());
    expect([...ip.present].sort()).toEqual(before);
  });

  it('asks ip(8) once for a change of both families, once for each when there are rules, and not at all for none', async () => {
    const { host: made, ip } = host();
    await made.setUp(settings(), 'dt-paris', 1420);
    const runs = ip.runs;
    await made.change(settings());
    expect(ip.runs).toBe(runs);
    await made.change(settings({ peers: ['AllowedIPs = 10.7.0.0/16, fd77::/64'] }));
    expect(ip.runs).toBe(runs + 1);
    await made.change(settings({ peers: ['AllowedIPs = 0.0.0.0/0, ::/0'] }));
    expect(ip.runs).toBe(runs + 3);
  });

  it('goes on when something old will not go, and says so', async () => {
    const { host: made, ip, warnings } = host();
    await made.setUp(settings(), 'dt-paris', 1420);
    ip.refuse = { containing: 'route del blackhole 10.1.0.0/16', saying: 'RTNETLINK answers: Busy' };
    await made.change(settings({ peers: ['AllowedIPs = 10.7.0.0/16'] }));
    expect(warnings).toEqual([expect.stringContaining('Busy')]);
    expect([...ip.present]).toContain('route 10.7.0.0/16 dev dt-paris');
    expect([...ip.present]).not.toContain('route 10.1.0.0/16 dev dt-paris');
  });

  it('is silent about what is gone already when it tears down', async () => {
    const { host: made, ip, warnings } = host();
    await made.setUp(settings(), 'dt-paris', 1420);
    ip.refuse = { containing: 'route del 10.1.0.0/16', saying: 'RTNETLINK answers: No such process' };
    await made.tearDown();
    expect(warnings).toEqual([]);
    expect([...ip.present]).toEqual(['route 10.1.0.0/16 dev dt-paris']);
  });

  it('gives the device its queue before it is up, and warns where none keeps order', async () => {
    const { host: made, ip, warnings } = host();
    await made.setUp(settings(), 'dt-paris', 1420);
    expect(ip.lines.slice(0, 2)).toEqual(['tc dt-paris', '-4 link set dev dt-paris mtu 1420 up']);
    expect(warnings).toEqual([]);
    ip.ordersQueues = false;
    await made.setUp(settings(), 'dt-rome', 1420);
    expect(warnings).toEqual([expect.stringContaining('tc')]);
  });

  it('keeps IPv6 alive and a configured ceiling', async () => {
    const { host: made, ip } = host();
    const s = settings({ iface: 'Address = fd00::1/64\nMTU = 1300' });
    await made.setUp(s, 'dt-paris', 1420);
    expect(made.mtu).toBe(1300);
    await made.setMtu(s, 900);
    expect(ip.lines.at(-1)).toBe('-4 link set dev dt-paris mtu 1280');
  });

  // The kernel took the routes away while the path MTU was being searched from 1200 octets upward, and nobody made them again.
  it('keeps IPv6 alive where only networks behind peers speak it', async () => {
    const { host: made } = host();
    const s = settings({ peers: ['AllowedIPs = fd10:1::/64'] });
    await made.setUp(s, 'dt-paris', 1420);
    await made.setMtu(s, 1154);
    expect(made.mtu).toBe(1280);
    const plain = host().host;
    const four = settings({ peers: ['AllowedIPs = 10.1.0.0/16'] });
    await plain.setUp(four, 'dt-paris', 1420);
    await plain.setMtu(four, 1154);
    expect(plain.mtu).toBe(1154);
  });
});

/** As `runProgram` of the addon, which test/native/programs.test.ts tests. */
async function run({ file, args, environment, input, timeoutMs }: ProgramRun): Promise<ProgramReport> {
  const { status, stdout, stderr } = spawnSync(file, args, {
    env: environment,
    input,
    timeout: timeoutMs,
    encoding: 'utf8',
  });
  return { status: status ?? -1, late: status === null, stdout, stderr };
}

describe('iproute2', () => {
  it('is named when it is missing (S013)', async () => {
    const { PATH } = process.env;
    const ip = new SystemIp(run, ['/nonexistent']);
    await expect(ip.batch(4, ['link show'])).rejects.toMatchObject({ code: 'S013' });
    await expect(ip.query(['link'])).rejects.toMatchObject({ code: 'S013' });
    await expect(ip.useOrderedQueue('dt-x')).resolves.toBe(false);
    expect(process.env['PATH']).toBe(PATH);
  });

  it('says what it said, and how it ended when it said nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dtunnel-ip-'));
    try {
      const program = (script: string): void => {
        writeFileSync(join(folder, 'ip'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      };
      const ip = new SystemIp(run, [folder]);
      program('cat >/dev/null; echo "RTNETLINK answers: File exists" >&2; echo "Command failed -:2" >&2; exit 1');
      expect(await ip.batch(4, ['a', 'b'])).toEqual({ done: 1, failure: 'RTNETLINK answers: File exists' });
      program('exit 7');
      expect(await ip.batch(6, ['a'])).toEqual({ done: 0, failure: 'ip ended with status 7' });
      program('echo "$*"; env | grep ^LC_ALL');
      expect(await ip.query(['rule'])).toBe('rule\nLC_ALL=C\n');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    { knows: 'fq_codel noqueue', asked: ['fq_codel'], ok: true },
    { knows: 'noqueue', asked: ['fq_codel', 'noqueue'], ok: true },
    { knows: 'pfifo', asked: ['fq_codel', 'noqueue'], ok: false },
  ])('sets the best queue that keeps order of a kernel with $knows', async ({ knows, asked, ok }) => {
    const folder = mkdtempSync(join(tmpdir(), 'dtunnel-tc-'));
    try {
      const script = `#!/bin/sh\necho "$*" >>${folder}/said\nfor k in ${knows}; do [ $k = "$6" ] && exit 0; done; exit 2\n`;
      writeFileSync(join(folder, 'tc'), script, { mode: 0o755 });
      await expect(new SystemIp(run, [folder, '/bin']).useOrderedQueue('dt-x')).resolves.toBe(ok);
      const lines = asked.map((kind) => `qdisc replace dev dt-x root ${kind}\n`);
      expect(readFileSync(join(folder, 'said'), 'utf8')).toBe(lines.join(''));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('derived values', () => {
  it('names devices within what the kernel takes', () => {
    expect(deviceName('paris')).toBe('dt-paris');
    expect(deviceName('123456789012345')).toBe('dt-123456789012');
  });

  it('gives the device the MTU of the widest path', () => {
    const wide = peerSnapshot({ association: association({ innerMtu: 8000 }) });
    expect(deviceMtu(settings(), [peerSnapshot(), wide], 1420)).toBe(8000);
    expect(deviceMtu(settings(), [downPeer()], 1300)).toBe(1300);
    expect(deviceMtu(settings(), [], 0)).toBe(1420);
  });

  it.each([
    { count: 100, looks: 3, later: 3 },
    { count: 1000, looks: 1, later: 2 },
  ])('looks at $count peers $looks times for three handshakes in a row', async ({ count, looks, later }) => {
    vi.useFakeTimers();
    try {
      const sync = new HostSync(host().host, () => undefined);
      const peers = Array.from({ length: count }, () => peerSnapshot());
      let seen = 0;
      for (let i = 0; i < 3; i++) {
        sync.adjust(() => {
          seen += 1;
          return { settings: settings(), peers };
        });
        await vi.advanceTimersByTimeAsync(1);
      }
      expect(seen).toBe(looks);
      // What came in the pause is not forgotten.
      await vi.advanceTimersByTimeAsync(1000);
      expect(seen).toBe(later);
      await sync.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  it('withholds only prefixes nobody serves', () => {
    const peersOfTwo = [
      'AllowedIPs = 10.1.0.0/16, 10.2.0.0/16\nPriority = 1',
      'AllowedIPs = 10.1.0.0/16\nPriority = 2',
    ];
    const two = settings({ iface: 'Address = 172.31.0.2/30\nFailClosed = off', peers: peersOfTwo });
    const peers = [
      { name: 'p0', up: false },
      { name: 'p1', up: true },
    ];
    expect([...withheldPrefixes(two, peers)]).toEqual(['10.2.0.0/16']);
    expect([...withheldPrefixes(settings({ peers: peersOfTwo }), peers)]).toEqual([]);
  });

  it('opens the plane as the settings say', () => {
    const s = settings({ iface: 'Address = 172.31.0.2/30\nListenAddress = 192.0.2.1\nLanes = 2\nCrypto = openssl' });
    expect(planeOptions(s, { lanes: 1, mark: 7 })).toMatchObject({
      listen: [{ address: '192.0.2.1', port: 4433 }],
      lanes: 2,
      crypto: 'openssl',
      fwMark: 7,
    });
  });
});
