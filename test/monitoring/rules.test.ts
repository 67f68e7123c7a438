import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { command, lacks } from '../support/command.ts';
import { PROMETHEUS, ruleExpressions } from './expressions.ts';

/** Every alert that is promised, with its severities. */
const ALERTS: Readonly<Record<string, readonly string[]>> = {
  DtunnelDown: ['critical'],
  DtunnelPeerDown: ['critical'],
  DtunnelPeerFlapping: ['warning'],
  DtunnelPathLossHigh: ['warning'],
  DtunnelPathRttHigh: ['warning'],
  DtunnelPathMtuShrunk: ['warning'],
  DtunnelCertificateExpiring: ['warning', 'critical'],
  DtunnelRekeyFailing: ['critical'],
  DtunnelReloadFailed: ['warning'],
  DtunnelHandshakeFlood: ['warning'],
  DtunnelDropsUnexpected: ['warning'],
  DtunnelUnknownPeerKnocking: ['info'],
  DtunnelRunningOnStandby: ['info'],
  DtunnelDebugSecretsOn: ['warning'],
  DtunnelBufferOverflow: ['warning'],
};

const rules = readFileSync(join(PROMETHEUS, 'dtunnel.rules.yml'), 'utf8');
const tests = readFileSync(join(PROMETHEUS, 'dtunnel.rules.test.yml'), 'utf8');

describe('alert rules', () => {
  it('are the promised ones, each with its severity', () => {
    const found: Record<string, string[]> = {};
    for (const [, name = '', severity = ''] of rules.matchAll(/- alert: (\w+)[\s\S]*?severity: (\w+)/g)) {
      found[name] = [...(found[name] ?? []), severity];
    }
    expect(found).toEqual(ALERTS);
  });

  it('tell in one line what is wrong, and which command comes first', () => {
    for (const [, body = ''] of rules.matchAll(/- alert: \w+\n([\s\S]*?)(?=\n\n|\n {6}- |$)/g)) {
      expect(body).toMatch(/summary: '.+'/);
      expect(body).toMatch(/description: '.+\. Run: \w+ .+'/);
    }
  });

  it.each(Object.keys(ALERTS))('%s is tested where it fires and where it does not', (alert) => {
    const expectations = [...tests.matchAll(/alertname: (\w+)\n\s+exp_alerts:( \[\])?/g)].filter((m) => m[1] === alert);
    expect(expectations.some((m) => m[2] === undefined)).toBe(true);
    expect(expectations.some((m) => m[2] !== undefined)).toBe(true);
  });

  it('yields an expression for every rule to the other tests', () => {
    const names = ruleExpressions().map((rule) => rule.where);
    expect(names.length).toBe([...rules.matchAll(/- (alert|record):/g)].length);
    for (const { where, expr } of ruleExpressions()) expect(expr.length, where).toBeGreaterThan(10);
  });
});

describe.skipIf(lacks('alert rules', { promtool: 'prometheus' }))('promtool', () => {
  it('accepts the rules', async () => {
    const { status, output } = await command('promtool', ['check', 'rules', 'dtunnel.rules.yml'], { cwd: PROMETHEUS });
    expect(status, output).toBe(0);
  });

  it('finds every alert fire and stay silent as its unit tests say', async () => {
    const { status, output } = await command('promtool', ['test', 'rules', 'dtunnel.rules.test.yml'], {
      cwd: PROMETHEUS,
    });
    expect(status, output).toBe(0);
  });

  it('accepts the scrape example', async () => {
    const args = ['check', 'config', 'prometheus.example.yml'];
    const { status, output } = await command('promtool', args, { cwd: PROMETHEUS });
    expect(status, output).toBe(0);
  });
});
