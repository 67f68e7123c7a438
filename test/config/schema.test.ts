import { describe, expect, it } from 'vitest';
import { err, ok } from '../../src/base/result.ts';
import { type FileReader, loadSettings, NO_FILES, parseSettings } from '../../src/config/load.ts';
import type { Settings } from '../../src/config/settings.ts';

const PIN_A = 'a'.repeat(64);
const PIN_B = 'b'.repeat(64);

const INTERFACE = `[Interface]
Address = 172.31.0.1/30
Certificate = a.crt
PrivateKey = a.key
`;
const PEER = `[Peer]
Fingerprint = ${PIN_A}
AllowedIPs = 10.1.0.0/16
`;

/** The settings of a text that is right. */
function settings(text: string, environment: Readonly<Record<string, string>> = {}): Settings {
  const result = parseSettings('/etc/dtunnel/paris.conf', text, NO_FILES, (name) => environment[name]);
  if (!result.ok) throw new Error(result.error.items.map((item) => item.message).join('; '));
  return result.value.settings;
}

/** The codes of what is wrong with a text, warnings included. */
function codes(text: string, environment: Readonly<Record<string, string>> = {}): readonly string[] {
  const result = parseSettings('paris.conf', text, NO_FILES, (name) => environment[name]);
  return (result.ok ? result.value.warnings : result.error).items.map((item) => item.code);
}

describe('defaults', () => {
  it('are those of the reference', () => {
    expect(settings(`${INTERFACE}ListenPort = 4433\n${PEER}`)).toEqual({
      interface: {
        name: 'paris',
        addresses: [{ address: '172.31.0.1', length: 30 }],
        certificate: '/etc/dtunnel/a.crt',
        privateKey: '/etc/dtunnel/a.key',
        listenPort: 4433,
        listenAddresses: [],
        mtu: 'auto',
        table: 'auto',
        routeMetric: undefined,
        forwarding: 'check',
        failClosed: true,
        fwMark: undefined,
        dscp: 'clear',
        ecn: true,
        ciphers: 'auto',
        crypto: 'auto',
        rekeyAfter: 3_600_000,
        rekeyAfterData: 'auto',
        unknown: 'challenge',
        maxHandshakes: 'auto',
        metrics: { kind: 'tcp', host: '127.0.0.1', port: 9469 },
        metricsToken: undefined,
        metricsDetail: 'full',
        logLevel: 'info',
        logFormat: 'auto',
        lanes: 'auto',
        disableOffloads: [],
        realtime: false,
        onUp: undefined,
        onDown: undefined,
        onPeerState: undefined,
      },
      peers: [
        {
          name: 'aaaaaaaa',
          fingerprints: [PIN_A],
          endpoints: [],
          allowedIps: [{ address: '10.1.0.0', length: 16 }],
          priority: 100,
          failback: 60_000,
          persistentKeepalive: 'auto',
          deadAfter: 10_000,
          mtu: 'auto',
          dscp: 'clear',
          rekeyAfter: 3_600_000,
          expirePolicy: 'warn',
          rateLimit: undefined,
          allowLegacyPeer: false,
          enabled: true,
        },
      ],
    });
  });

  it('of a peer are those of the interface where it says so', () => {
    const [peer, own] = settings(
      `${INTERFACE}ListenPort = 1\nMTU = 1400\nDSCP = copy\nRekeyAfter = off\n${PEER}
       [Peer b]\nFingerprint = ${PIN_B}\nAllowedIPs = 10.2.0.0/16\nMTU = auto\nDSCP = 46\nRekeyAfter = 5m`,
    ).peers;
    expect(peer).toMatchObject({ mtu: 1400, dscp: 'copy', rekeyAfter: 'off' });
    expect(own).toMatchObject({ mtu: 'auto', dscp: 46, rekeyAfter: 300_000 });
  });
});

describe('ListenPort', () => {
  it('is chosen by the kernel when every peer can be called', () => {
    expect(settings(`${INTERFACE}${PEER}Endpoint = vpn.example.net:4433`).interface.listenPort).toBe(0);
    expect(settings(INTERFACE).interface.listenPort).toBe(0);
  });

  it('is required when a peer has to call, unless that peer is not enabled', () => {
    expect(codes(`${INTERFACE}${PEER}`)).toEqual(['C034']);
    expect(codes(`${INTERFACE}${PEER}Enabled = no`)).toEqual([]);
  });
});

describe('DeadAfter', () => {
  const PORT = `${INTERFACE}ListenPort = 1\n`;
  it('is 1.5 s with a second endpoint', () => {
    expect(settings(`${PORT}${PEER}Endpoint = a:1, b:1`).peers[0]?.deadAfter).toBe(1500);
    expect(settings(`${PORT}${PEER}Endpoint = a:1`).peers[0]?.deadAfter).toBe(10_000);
  });

  it('is 1.5 s for peers that back each other up, and for no others', () => {
    const third = `[Peer c]\nFingerprint = ${'c'.repeat(64)}\nAllowedIPs = 10.3.0.0/16\n`;
    const { peers } = settings(
      `${PORT}${PEER}[Peer b]\nFingerprint = ${PIN_B}\nAllowedIPs = 10.1.0.0/16\nPriority = 200\n${third}`,
    );
    expect(peers.map((peer) => peer.deadAfter)).toEqual([1500, 1500, 10_000]);
  });

  it('is what the file says', () => {
    expect(settings(`${PORT}${PEER}Endpoint = a:1, b:1\nDeadAfter = 3`).peers[0]?.deadAfter).toBe(3000);
  });
});

describe('overlapping prefixes', () => {
  const PORT = `${INTERFACE}ListenPort = 1\n${PEER}`;
  const other = (rest: string): string => `${PORT}[Peer b]\nFingerprint = ${PIN_B}\n${rest}`;

  it('of two peers are refused, the same and nested in either direction', () => {
    expect(codes(other('AllowedIPs = 10.1.0.0/16'))).toEqual(['C031']);
    expect(codes(other('AllowedIPs = 10.1.2.0/24'))).toEqual(['C031']);
    expect(codes(other('AllowedIPs = 10.0.0.0/8'))).toEqual(['C031']);
  });

  it('are accepted with priorities that differ, within one peer, and where a peer is not enabled', () => {
    expect(codes(other('AllowedIPs = 10.0.0.0/8\nPriority = 101'))).toEqual([]);
    expect(codes(other('AllowedIPs = 10.2.0.0/16, 10.2.3.0/24'))).toEqual([]);
    expect(codes(other('AllowedIPs = 10.1.0.0/16\nEnabled = no'))).toEqual([]);
  });

  it('of three peers need three priorities', () => {
    const third = `\n[Peer c]\nFingerprint = ${'c'.repeat(64)}\nAllowedIPs = 10.1.0.0/16\nPriority = 101`;
    expect(codes(other(`AllowedIPs = 10.1.0.0/16\nPriority = 101${third}`))).toEqual(['C031']);
    expect(codes(other(`AllowedIPs = 10.1.0.0/16\nPriority = 102${third}`))).toEqual([]);
  });

  it('of ten thousand peers are found without comparing all pairs', () => {
    const peers = Array.from({ length: 10_000 }, (_, i) => {
      const pin = i.toString(16).padStart(64, '0');
      return `[Peer p${i}]\nFingerprint = ${pin}\nAllowedIPs = 10.${i >> 8}.${i & 255}.0/24, fd00:${i.toString(16)}::/64\n`;
    });
    expect(settings(`${INTERFACE}ListenPort = 1\n${peers.join('')}`).peers).toHaveLength(10_000);
  });
});

describe('values', () => {
  it('are taken in every form of the grammar', () => {
    const { interface: iface, peers } = settings(
      `\uFEFF; a comment
      [interface]\r
      ADDRESS = 172.31.0.1/30 , fd31::1/126   # both\r
      Certificate = "/etc/my keys/a, b;#.crt"
      PrivateKey = credential:paris.key
      ListenPort = \${PORT:-4433}
      FwMark = 0xCA6C
      Ciphers = chacha20-poly1305, AES128-GCM
      RekeyAfterData = 64 gib
      Metrics = [::1]:9000
      OnUp = /usr/bin/logger -t dtunnel "is up; really" \${WHO}, now
      [PEER berlin] # named here
      Fingerprint = SHA256:iRDZDF4sUFuFJr3MglkI/CYmSJB66IkaoNhUWHXIE2A
      Endpoint = \${HOSTS}
      AllowedIPs = \${NETS}, 10.9.0.0/16
      AllowedIPs = fd01::/48
      PersistentKeepalive = 25
      RateLimit = 1.5gbit
      Failback = 0`,
      { WHO: 'nobody else', HOSTS: 'a:1, [2001:db8::1]:2', NETS: '10.1.0.0/16,10.2.0.0/16' },
    );
    expect(iface).toMatchObject({
      addresses: [
        { address: '172.31.0.1', length: 30 },
        { address: 'fd31::1', length: 126 },
      ],
      certificate: '/etc/my keys/a, b;#.crt',
      privateKey: 'credential:paris.key',
      listenPort: 4433,
      fwMark: 0xca6c,
      ciphers: ['chacha20-poly1305', 'aes-128-gcm'],
      rekeyAfterData: 64 * 2 ** 30,
      metrics: { kind: 'tcp', host: '::1', port: 9000 },
      onUp: ['/usr/bin/logger', '-t', 'dtunnel', 'is up; really', 'nobody else,', 'now'],
    });
    expect(peers[0]).toMatchObject({
      name: 'berlin',
      fingerprints: ['8910d90c5e2c505b8526bdcc825908fc262648907ae8891aa0d8545875c81360'],
      endpoints: [
        { host: 'a', port: 1 },
        { host: '2001:db8::1', port: 2 },
      ],
      allowedIps: [
        { address: '10.1.0.0', length: 16 },
        { address: '10.2.0.0', length: 16 },
        { address: '10.9.0.0', length: 16 },
        { address: 'fd01::', length: 48 },
      ],
      persistentKeepalive: 25_000,
      rateLimit: 1_500_000_000,
      failback: 0,
    });
  });

  it('are never taken from the environment as anything but values', () => {
    const hostile = { NAME: 'x # y', MORE: 'a"b', CONTROL: 'x\nPrivateKey = /tmp/k' };
    expect(codes(`${INTERFACE}Name = \${NAME}`, hostile)).toContain('C028');
    expect(codes(`${INTERFACE}Name = \${MORE}`, hostile)).toContain('C028');
    expect(codes(`${INTERFACE}Name = \${CONTROL}`, hostile)).toContain('C008');
  });

  it('count once when they are the same in different spellings', () => {
    const text = `${INTERFACE}ListenPort = 1\n${PEER}AllowedIPs = 10.1.255.255/16, fd00::/8, FD00:0::/8`;
    expect(settings(text).peers[0]?.allowedIps).toHaveLength(2);
    expect(codes(text)).toEqual(['C104', 'C101', 'C101']);
  });
});

describe('files', () => {
  const tree = (entries: Readonly<Record<string, string | undefined>>): FileReader => ({
    read: (path) => {
      const text = entries[path];
      return text === undefined ? err('no such file or directory') : ok(new TextEncoder().encode(text));
    },
    list: (pattern) => {
      if (!pattern.includes('*')) return ok([pattern]);
      const start = pattern.slice(0, pattern.indexOf('*'));
      return ok(Object.keys(entries).filter((path) => path.startsWith(start)));
    },
  });
  const main = `Include = peers.d/*.conf\n${INTERFACE}ListenPort = 1\n`;

  it('add the peers of included ones in order, relative to the main one', () => {
    const files = tree({
      '/etc/dtunnel/hub.conf': main,
      '/etc/dtunnel/peers.d/a.conf': PEER,
      '/etc/dtunnel/peers.d/b.conf': `[Peer b]\nFingerprint = ${PIN_B}\nAllowedIPs = 10.2.0.0/16`,
    });
    const result = loadSettings('/etc/dtunnel/hub.conf', files, () => undefined);
    expect(result.ok && result.value.settings.peers.map((peer) => peer.name)).toEqual(['aaaaaaaa', 'b']);
    expect(result.ok && result.value.settings.interface).toMatchObject({
      name: 'hub',
      certificate: '/etc/dtunnel/a.crt',
    });
    expect(result.ok && result.value.files).toEqual([
      '/etc/dtunnel/hub.conf',
      '/etc/dtunnel/peers.d/a.conf',
      '/etc/dtunnel/peers.d/b.conf',
    ]);
  });

  it('are read once although two patterns name them', () => {
    const files = tree({ 'hub.conf': `Include = peers.d/a.conf, peers.d/*.conf\n${main}`, 'peers.d/a.conf': PEER });
    const result = loadSettings('hub.conf', files, () => undefined);
    expect(result.ok && result.value.settings.peers).toHaveLength(1);
  });

  it('that cannot be read, are no UTF-8 or are too large are findings without a line', () => {
    const found = (reader: FileReader): readonly (string | undefined)[] => {
      const result = loadSettings('x.conf', reader, () => undefined);
      return result.ok ? [] : result.error.items.flatMap((item) => [item.code, item.file, item.line?.toString()]);
    };
    expect(found(NO_FILES)).toEqual(['C001', 'x.conf', undefined]);
    expect(found({ ...NO_FILES, read: () => ok(Uint8Array.from([0x5b, 0xff, 0x5d])) })).toEqual([
      'C002',
      'x.conf',
      undefined,
    ]);
    expect(found({ ...NO_FILES, read: () => ok(new Uint8Array(16 * 2 ** 20 + 1)) })).toEqual([
      'C009',
      'x.conf',
      undefined,
    ]);
  });
});

describe('suggestions', () => {
  it.each([
    ['Adress', 'Address'],
    ['LisenPort', 'ListenPort'],
    ['Certifcate', 'Certificate'],
    ['listn-port', 'ListenPort'],
    ['Inclde', 'Include'],
  ])('%s: did you mean %s', (written, meant) => {
    const result = parseSettings('x.conf', `${INTERFACE}${written} = x`);
    const labels = result.ok ? [] : result.error.items.flatMap((item) => item.labels.map((label) => label.text));
    expect(labels).toContain(`did you mean '${meant}'?`);
  });

  it('are not made where nothing is near', () => {
    for (const written of ['x', 'Zzzzzz', 'Hello', 'A'.repeat(1000)]) {
      const result = parseSettings('x.conf', `${INTERFACE}${written} = x`);
      const labels = result.ok ? [] : result.error.items.flatMap((item) => item.labels.map((label) => label.text));
      expect(labels.filter((label) => label.startsWith('did you mean'))).toEqual([]);
      expect(labels).toContain('not a key');
    }
  });
});
