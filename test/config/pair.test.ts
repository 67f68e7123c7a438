import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Fingerprint } from '../../src/base/brand.ts';
import { parseFingerprint } from '../../src/crypto/fingerprint.ts';
import { type Loaded, parseSettings } from '../../src/config/load.ts';
import { checkPair, type PairVerdict } from '../../src/config/pair.ts';

const read = (name: string): string => readFileSync(`config/examples/${name}.conf`, 'utf8');
const BERLIN = read('berlin');
const PARIS = read('paris');
const pinIn = (text: string): Fingerprint | undefined => parseFingerprint(/Fingerprint = (\S+)/.exec(text)?.[1] ?? '');
/** Each side's file holds the other's pin. */
const PINS = { berlin: pinIn(PARIS), paris: pinIn(BERLIN) };

function load(name: string, text: string): Loaded {
  const result = parseSettings(`${name}.conf`, text);
  if (!result.ok) throw new Error(result.error.items.map((item) => item.message).join('; '));
  return result.value;
}

function pair(
  berlin: string,
  paris: string,
  pins: Readonly<Partial<Record<'berlin' | 'paris', Fingerprint | undefined>>> = PINS,
): PairVerdict {
  return checkPair(
    { loaded: load('berlin', berlin), fingerprint: pins.berlin },
    { loaded: load('paris', paris), fingerprint: pins.paris },
  );
}

const found = (verdict: PairVerdict): readonly string[] =>
  verdict.diagnostics.items.map((item) => `${item.code} ${item.file}:${item.line} ${item.message}`);

describe('two ends', () => {
  it('of the documentation fit', () => {
    const verdict = pair(BERLIN, PARIS);
    expect(found(verdict)).toEqual([]);
    expect(verdict).toMatchObject({
      ok: true,
      fingerprintsChecked: true,
      reachable: ['berlin:4433'],
      mtu: ['auto', 'auto'],
    });
    expect(
      checkPair(
        { loaded: load('paris', PARIS), fingerprint: undefined },
        { loaded: load('berlin', BERLIN), fingerprint: undefined },
      ),
    ).toMatchObject({ ok: true, fingerprintsChecked: false });
  });

  it('must pin the certificate that the other has', () => {
    const verdict = pair(BERLIN, PARIS, { ...PINS, paris: '1'.repeat(64) as Fingerprint });
    expect(found(verdict)).toEqual(['C040 berlin.conf:10 berlin expects another certificate than paris has']);
    expect(verdict.diagnostics.items[0]?.help).toContain(`Fingerprint = 11:11`);
    expect(verdict.ok).toBe(false);
  });

  it('must have a peer for each other', () => {
    const others = BERLIN.replace('= paris', '= lyon').concat(
      `\n[Peer nice]\nFingerprint = ${'2'.repeat(64)}\nAllowedIPs = 10.8.0.0/16\n`,
    );
    const verdict = pair(others, PARIS, { ...PINS, paris: '1'.repeat(64) as Fingerprint });
    expect(found(verdict)).toContain('C040 berlin.conf:2 berlin has no peer that could be paris');
  });

  it('must let each other in', () => {
    const verdict = pair(BERLIN.replace('172.31.0.2/32, ', ''), PARIS);
    expect(found(verdict)).toEqual(['C041 berlin.conf:11 AllowedIPs of [Peer paris] leave out its Address 172.31.0.2']);
  });

  it('cannot both say that a network is behind the other', () => {
    const verdict = pair(BERLIN.replace('10.2.0.0/16\n', '10.2.0.0/16, 10.1.0.0/16\n'), PARIS);
    expect(found(verdict)).toEqual(['C041 berlin.conf:11 each side says that 10.1.0.0/16 is behind the other']);
  });

  it('need one that can be called', () => {
    const paris = PARIS.replace(/^Endpoint.*$/m, '').replace('[Peer]', 'ListenPort = 5000\n[Peer]');
    expect(found(pair(BERLIN, paris))).toEqual(['C042 berlin.conf:8 neither side can call the other']);
  });

  it('are reachable in both directions where both have endpoints', () => {
    const berlin = `${BERLIN}Endpoint = paris.example.net:5000\n`;
    const verdict = pair(berlin, PARIS.replace('[Peer]', 'ListenPort = 5000\n[Peer]'));
    expect(verdict.reachable).toEqual(['paris:5000', 'berlin:4433']);
    expect(found(verdict)).toEqual([]);
  });

  it('are warned of endpoints that nobody listens on', () => {
    const berlin = BERLIN.replace('ListenPort  = 4433', 'ListenPort  = 4434\nListenAddress = 203.0.113.10');
    const verdict = pair(berlin, PARIS);
    expect(verdict.ok).toBe(true);
    expect(found(verdict)).toEqual([
      'C102 paris.conf:11 endpoint vpn.berlin.example.net has port 4433, berlin listens on 4434',
      'C102 paris.conf:11 backup endpoint 198.51.100.7 has port 4433, berlin listens on 4434',
      "C102 paris.conf:11 backup endpoint 198.51.100.7 is not among berlin's ListenAddress values",
    ]);
    const random = `${BERLIN.replace(/^ListenPort.*\n/m, '')}Endpoint = paris.example.net:5000\n`;
    expect(found(pair(random, PARIS.replace('[Peer]', 'ListenPort = 5000\n[Peer]')))[0]).toBe(
      'C102 paris.conf:12 endpoint vpn.berlin.example.net cannot be called: berlin has no fixed ListenPort',
    );
  });

  it('are warned of MTUs that differ', () => {
    const verdict = pair(BERLIN.replace('[Peer]', 'MTU = 1400\n[Peer]'), PARIS.replace('[Peer]', 'MTU = 1300\n[Peer]'));
    expect(found(verdict)[0]).toMatch(/^C103 berlin.conf:8 MTU is 1400 on one side and 1300 on the other/);
    expect(verdict.mtu).toEqual(['1400', '1300']);
    expect(verdict.ok).toBe(true);
  });
});
