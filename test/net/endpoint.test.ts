import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/net/address.ts';
import { endpointKey, endpointText, literalEndpoint, parseHostPort, sameEndpoint } from '../../src/net/endpoint.ts';

describe('host and port', () => {
  it.each([
    ['vpn.example.net:4433', 'vpn.example.net', 4433],
    ['VPN.Example.Net:1', 'vpn.example.net', 1],
    ['host_with_underscore:65535', 'host_with_underscore', 65535],
    ['203.0.113.10:4433', '203.0.113.10', 4433],
    ['[2001:DB8::1]:4433', '2001:db8::1', 4433],
    ['[::ffff:192.0.2.1]:4433', '192.0.2.1', 4433],
    ['xn--mnchen-3ya.example:4433', 'xn--mnchen-3ya.example', 4433],
    ['example.net.:4433', 'example.net.', 4433],
  ])('%s', (text, host, port) => {
    expect(parseHostPort(text)).toEqual({ host, port });
  });

  it.each([
    '',
    ':4433',
    'host',
    'host:',
    'host:0',
    'host:65536',
    'host:x',
    'host:4433 ',
    '2001:db8::1:4433',
    '[2001:db8::1]',
    '[]:1',
    '[host]:1',
    '300.1.1.1:4433',
    '1.2.3:4433',
    '10:4433',
    'a b:4433',
    '-leading:1',
    'a..b:1',
    `${'a'.repeat(64)}.net:1`,
    'host:044331',
    'http://host:1',
  ])('%j is none', (text) => {
    expect(parseHostPort(text)).toBeUndefined();
  });

  it('reads back as it is written', () => {
    for (const text of ['vpn.example.net:4433', '203.0.113.10:4433', '[2001:db8::1]:4433']) {
      const parsed = parseHostPort(text);
      expect(parsed && endpointText(parsed)).toBe(text);
    }
  });
});

describe('endpoints', () => {
  const v4 = parseHostPort('203.0.113.10:4433');
  const v6 = parseHostPort('[2001:db8::1]:4433');

  it('are what a literal address and port name', () => {
    expect(v4 && literalEndpoint(v4)).toEqual({ address: parseAddress('203.0.113.10'), port: 4433 });
    expect(literalEndpoint({ host: 'vpn.example.net', port: 4433 })).toBeUndefined();
  });

  it('have one key each', () => {
    const a = v4 && literalEndpoint(v4);
    const b = v6 && literalEndpoint(v6);
    if (a === undefined || b === undefined) throw new Error('both are literal');
    expect(endpointKey(a)).toBe('203.0.113.10:4433');
    expect(endpointKey(b)).toBe('[2001:db8::1]:4433');
    expect(sameEndpoint(a, { ...a })).toBe(true);
    expect(sameEndpoint(a, { ...a, port: 1 })).toBe(false);
    expect(sameEndpoint(a, { ...b })).toBe(false);
  });
});
