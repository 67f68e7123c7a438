import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Fingerprint } from '../../src/base/brand.ts';
import { formatLastKnown, LastKnownFile, parseLastKnown } from '../../src/daemon/last-known.ts';
import type { Path } from '../../src/net/endpoint.ts';
import type { PeerSnapshot } from '../../src/tunnel/effects.ts';
import { peerSnapshot } from '../support/snapshots.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';
import { address } from '../support/world.ts';

const directory = useTemporaryDirectory();

const pin = (n: number): Fingerprint => n.toString(16).padStart(64, '0') as Fingerprint;

function met(n: number, remote: string, port: number, local?: string): PeerSnapshot {
  const lastKnown: Path = {
    remote: { address: address(remote), port },
    local: local === undefined ? undefined : address(local),
  };
  return peerSnapshot({ name: `p${n}`, fingerprint: pin(n), lastKnown });
}

const PEERS = [met(1, '198.51.100.7', 41641, '203.0.113.10'), met(2, '2001:db8::7', 4433), peerSnapshot()];

describe('the text of the places where peers were last met', () => {
  it('is one line each, with what is needed to call and nothing else', () => {
    expect(formatLastKnown(PEERS)).toBe(
      `dtunnel.last-known/1\n${pin(1)} 198.51.100.7:41641 203.0.113.10\n${pin(2)} [2001:db8::7]:4433 -\nend 2\n`,
    );
  });

  it('is read back as it was written', () => {
    const parsed = parseLastKnown(formatLastKnown(PEERS));
    expect(parsed.ok && [...parsed.value]).toEqual([
      [pin(1), PEERS[0]?.lastKnown],
      [pin(2), PEERS[1]?.lastKnown],
    ]);
  });

  it('is believed whole or not at all: any change of an octet is noticed or names other places', () => {
    const text = formatLastKnown(PEERS);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 0, maxLength: 2 }), (at, other) => {
        const parsed = parseLastKnown(text.slice(0, at) + other + text.slice(at + 1));
        if (parsed.ok) expect(parsed.value.size).toBe(2);
      }),
      { seed: 7, numRuns: 2000 },
    );
  });

  it.each([
    ['nothing', ''],
    ['another version', 'dtunnel.last-known/2\nend 0\n'],
    ['an end that was lost', `dtunnel.last-known/1\n${pin(1)} 192.0.2.1:1 -\n`],
    ['fewer entries than it says', 'dtunnel.last-known/1\nend 1\n'],
    ['a name instead of an address', `dtunnel.last-known/1\n${pin(1)} example.net:1 -\nend 1\n`],
    ['port 0', `dtunnel.last-known/1\n${pin(1)} 192.0.2.1:0 -\nend 1\n`],
    ['a fingerprint in capitals', `dtunnel.last-known/1\n${'AB'.repeat(32)} 192.0.2.1:1 -\nend 1\n`],
    ['a fingerprint twice', `dtunnel.last-known/1\n${pin(1)} 192.0.2.1:1 -\n${pin(1)} 192.0.2.1:1 -\nend 2\n`],
    ['one word too many', `dtunnel.last-known/1\n${pin(1)} 192.0.2.1:1 - -\nend 1\n`],
    ['a local name', `dtunnel.last-known/1\n${pin(1)} 192.0.2.1:1 here\nend 1\n`],
  ])('is refused with %s', (_, text) => {
    expect(parseLastKnown(text).ok).toBe(false);
  });
});

describe('the file', () => {
  const problems: string[] = [];
  const make = (local: readonly string[] = []): LastKnownFile =>
    new LastKnownFile({
      path: directory.path('hub.peers'),
      localAddresses: () => local.map(address),
      onProblem: (what, reason) => problems.push(`${what}: ${reason}`),
    });
  const content = (): string => readFileSync(directory.path('hub.peers'), 'utf8');

  beforeEach(() => {
    vi.useFakeTimers();
    problems.length = 0;
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('is written soon after a change, readable by its user alone, with nothing beside it', () => {
    const file = make();
    file.changed(() => PEERS);
    vi.advanceTimersByTime(50);
    expect(content()).toBe(formatLastKnown(PEERS));
    expect(lstatSync(directory.path('hub.peers')).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory.path())).toEqual(['hub.peers']);
  });

  it('is written once a second at most, and once in ten seconds with ten thousand peers that roam', () => {
    const few = make();
    let asked = 0;
    const roaming = (n: number) => (): PeerSnapshot[] => {
      asked++;
      return Array.from({ length: n }, (_, i) => met(i, '192.0.2.1', 1 + (asked % 60_000)));
    };
    for (let t = 0; t < 10_000; t += 10) {
      few.changed(roaming(3));
      vi.advanceTimersByTime(10);
    }
    expect(asked).toBeLessThanOrEqual(10);
    few.stop();
    asked = 0;
    const many = make();
    for (let t = 0; t < 30_000; t += 10) {
      many.changed(roaming(10_000));
      vi.advanceTimersByTime(10);
    }
    expect(asked).toBe(3);
  });

  it('is not written again when nothing is different', () => {
    const file = make();
    file.changed(() => PEERS);
    vi.advanceTimersByTime(50);
    const before = lstatSync(directory.path('hub.peers')).ino;
    vi.advanceTimersByTime(5000);
    file.changed(() => [...PEERS]);
    vi.advanceTimersByTime(5000);
    expect(lstatSync(directory.path('hub.peers')).ino).toBe(before);
  });

  it('holds what waits when the daemon stops', () => {
    const file = make();
    file.changed(() => PEERS);
    file.stop();
    expect(content()).toBe(formatLastKnown(PEERS));
  });

  it('says which local address to call from while this host has it', () => {
    writeFileSync(directory.path('hub.peers'), formatLastKnown(PEERS));
    expect(make(['203.0.113.10']).read().get(pin(1))?.local).toBe('203.0.113.10');
    expect(make(['203.0.113.11']).read().get(pin(1))?.local).toBeUndefined();
    expect(problems).toEqual([]);
  });

  it('is ignored with one line when it is damaged, a link, or no file; and is no problem when it is not there', () => {
    expect(make().read().size).toBe(0);
    expect(problems).toEqual([]);
    writeFileSync(directory.path('hub.peers'), formatLastKnown(PEERS).slice(0, -5));
    expect(make().read().size).toBe(0);
    expect(problems).toEqual(['ignored: it does not end as it should']);
    writeFileSync(directory.path('elsewhere'), formatLastKnown(PEERS));
    problems.length = 0;
    const linked = new LastKnownFile({
      path: directory.path('link.peers'),
      localAddresses: () => [],
      onProblem: (what, reason) => problems.push(`${what}: ${reason}`),
    });
    symlinkSync(directory.path('elsewhere'), directory.path('link.peers'));
    expect(linked.read().size).toBe(0);
    expect(problems).toHaveLength(1);
  });

  it('never writes through what lies in the way, and says once that it cannot be written', () => {
    writeFileSync(directory.path('precious'), 'kept');
    symlinkSync(directory.path('precious'), directory.path('hub.peers.tmp'));
    const file = make();
    file.changed(() => PEERS);
    vi.advanceTimersByTime(50);
    expect(readFileSync(directory.path('precious'), 'utf8')).toBe('kept');
    expect(content()).toBe(formatLastKnown(PEERS));

    const blocked = new LastKnownFile({
      path: directory.path('none/hub.peers'),
      localAddresses: () => [],
      onProblem: (what, reason) => problems.push(`${what}: ${reason}`),
    });
    for (let i = 0; i < 3; i++) {
      blocked.changed(() => [met(i, '192.0.2.1', 1)]);
      vi.advanceTimersByTime(2000);
    }
    expect(problems).toEqual(['unwritten: no such file or directory']);
    mkdirSync(directory.path('none'));
    blocked.changed(() => PEERS);
    vi.advanceTimersByTime(2000);
    expect(existsSync(directory.path('none/hub.peers'))).toBe(true);
  });
});
