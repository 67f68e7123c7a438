import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderDiagnostics } from '../../src/cli/diagnostics.ts';
import { diagnosticJson } from '../../src/config/diagnostic.ts';
import { convertWireguard } from '../../src/config/from-wireguard.ts';
import { parseSettings } from '../../src/config/load.ts';
import { maskSecrets } from '../../src/config/secrets.ts';

const KEY = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const TOKEN = 'correct-horse-battery-staple';

describe('a shown line', () => {
  it.each([
    [`MetricsToken = ${TOKEN}`, `MetricsToken = ${'*'.repeat(28)}`],
    [`metricstoken=${TOKEN} # note`, `metricstoken=${'*'.repeat(35)}`],
    [`MetricsToken = "${TOKEN}`, `MetricsToken = ${'*'.repeat(29)}`],
    [`MetricsToken = \${TOKEN:-${TOKEN}}`, `MetricsToken = ${'*'.repeat(38)}`],
    [`PresharedKey = ${KEY}`, `PresharedKey = ${'*'.repeat(44)}`],
    [`PrivateKey = ${KEY}`, `PrivateKey = ${'*'.repeat(44)}`],
    [`PrivateKey = /${KEY.slice(1)}`, `PrivateKey = ${'*'.repeat(44)}`],
    [`PrivateKey = short`, `PrivateKey = *****`],
    [`Certificate = ${KEY}`, `Certificate = ${'*'.repeat(44)}`],
    [`Privatekye = ${KEY}`, `Privatekye = ${'*'.repeat(44)}`],
    [KEY, '*'.repeat(44)],
    ['MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg', '*'.repeat(48)],
  ])('%s is masked, character for character', (line, shown) => {
    expect(maskSecrets(line)).toBe(shown);
  });

  it.each([
    'PrivateKey = /etc/dtunnel/a-gateway-with-a-long-name.key',
    'PrivateKey = credential:paris.key',
    `PrivateKey = \${KEY_FILE}`,
    'PrivateKey = keys/paris.key',
    `MetricsToken = \${TOKEN}`,
    'MetricsToken = credential:token',
    `Fingerprint = ${'ab'.repeat(32)}`,
    'Fingerprint = SHA256:iRDZDF4sUFuFJr3MglkI/CYmSJB66IkaoNhUWHXIE2A',
    'AllowedIPs = 10.1.0.0/16, fd00:1234:5678:9abc:def0:1234:5678::/112',
    '[Peer berlin]',
    '# a comment',
  ])('%s is shown as it is', (line) => {
    expect(maskSecrets(line)).toBe(line);
  });
});

describe('what is said about a configuration', () => {
  /** A random key in the forms people paste. */
  const SECRET = fc
    .uint8Array({ minLength: 32, maxLength: 64 })
    .map((octets) => Buffer.from(octets).toString('base64'));
  const PLACE = fc.constantFrom(
    (secret: string) => `PrivateKey = ${secret}`,
    (secret: string) => `PrivateKey = "${secret}`,
    (secret: string) => `Certificate = ${secret}, ${secret}`,
    (secret: string) =>
      `PrivateKey = -----BEGIN PRIVATE KEY-----\n${secret}\n${secret.slice(0, 10)}\n-----END PRIVATE KEY-----`,
    (secret: string) => secret,
    (secret: string) => `${secret} = x`,
    (secret: string) => `PresharedKey = ${secret}`,
    (secret: string) => `Endpoint = ${secret}`,
    (secret: string) => `Name = ${secret}`,
    (secret: string) => `ListenPort = ${secret}`,
    (secret: string) => `OnUp = ${secret}`,
    (secret: string) => `MetricsToken = ${secret} ${secret}`,
    (secret: string) => `[Peer ${secret}]`,
    (secret: string) => `[${secret}]`,
  );

  it('never holds key material, wherever it was pasted', () => {
    fc.assert(
      fc.property(SECRET, PLACE, (secret, place) => {
        const result = parseSettings('x.conf', `[Interface]\n${place(secret)}\n`);
        const found = result.ok ? result.value.warnings : result.error;
        const said = renderDiagnostics(found) + JSON.stringify(found.items.map(diagnosticJson));
        for (let i = 0; i + 16 <= secret.length; i += 8) expect(said).not.toContain(secret.slice(i, i + 16));
      }),
      { seed: 21, numRuns: 1000 },
    );
  });

  it('nor does what is converted from WireGuard, comments included', () => {
    fc.assert(
      fc.property(SECRET, PLACE, (secret, place) => {
        const { text, todo } = convertWireguard(
          'wg0.conf',
          `[Interface]\n# PrivateKey = ${secret}\n${place(secret)}\n`,
          '/etc',
        );
        const kept = /^(?:Endpoint|ListenPort|Name)/m.test(place(secret));
        fc.pre(!kept);
        expect(text + todo.join('\n')).not.toContain(secret.slice(0, 24));
      }),
      { seed: 22, numRuns: 500 },
    );
  });
});
