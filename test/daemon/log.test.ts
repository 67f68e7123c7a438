import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Duration } from '../../src/base/brand.ts';
import { prettyLine, toLogRecord } from '../../src/control/log-line.ts';
import { LogBudget } from '../../src/daemon/log-budget.ts';
import { LogFile } from '../../src/daemon/log-file.ts';
import { chooseLogFormat, type DaemonEvent, Log, type LogFormat } from '../../src/daemon/log.ts';
import { percentile, Recorder } from '../../src/daemon/recorder.ts';
import { EventMetrics } from '../../src/metrics/event-metrics.ts';
import type { TunnelEvent } from '../../src/tunnel/effects.ts';
import { association, at } from '../support/snapshots.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const UP: DaemonEvent = {
  event: 'peer.up',
  level: 'info',
  msg: 'peer up',
  peer: 'berlin',
  fields: { endpoint: '203.0.113.10:4433', handshakeMs: 31, cipher: 'AES128-GCM' },
};

function makeLog(format: LogFormat = 'json', level: 'debug' | 'info' = 'info') {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const suppressed: string[] = [];
  const log = new Log({
    tunnel: 'paris',
    level,
    format,
    colour: false,
    write: (line) => lines.push(line),
    clock: () => clock.now,
    wallClock: () => 1_795_389_247_120 + clock.now - 1000,
    onSuppressed: (event) => suppressed.push(event),
  });
  return { log, clock, lines, suppressed };
}

describe('a log line', () => {
  it('is one JSON document with the fixed vocabulary', () => {
    const { log, lines } = makeLog();
    log.log(UP);
    expect(lines[0]?.endsWith('\n')).toBe(true);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 30,
      time: 1_795_389_247_120,
      tunnel: 'paris',
      event: 'peer.up',
      peer: 'berlin',
      endpoint: '203.0.113.10:4433',
      handshakeMs: 31,
      cipher: 'AES128-GCM',
      msg: 'peer up',
    });
  });

  it('for the journal has a priority and leaves the time to it', () => {
    const { log, lines } = makeLog('journal');
    log.log(UP);
    log.log({ event: 'daemon.failed', level: 'error', msg: 'x' });
    expect(lines[0]).toMatch(/^<6>\{"level":30,"tunnel":"paris"/);
    expect(lines[0]).not.toContain('"time"');
    expect(lines[1]).toMatch(/^<3>/);
  });

  it('for people has columns', () => {
    const { log, lines } = makeLog('pretty');
    log.log(UP);
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:07\.120 INFO {2}paris\/berlin {2}peer\.up {11}203\.0\.113\.10:4433 {2}handshake 31 ms {2}AES128-GCM\n$/,
    );
  });

  it('says how many alike were left out', () => {
    const record = toLogRecord({
      level: 40,
      time: 0,
      event: 'handshake.refused',
      tunnel: 'paris',
      reason: 'unknown_fingerprint',
      fingerprint: '12:aa',
      remote: '198.51.100.99:5',
      suppressed: 118,
      msg: 'x',
    });
    expect(record && prettyLine(record, { colour: false, time: false })).toBe(
      'WARN  paris         handshake.refused unknown_fingerprint  12:aa  from 198.51.100.99:5 (118 more suppressed)',
    );
  });

  it('cannot be broken or made to drive the terminal by what it shows', () => {
    const record = { level: 30, time: 0, event: 'x', tunnel: 'p', msg: 'a\nb\r\u0007\u0000\u001b[2Jc' };
    expect(prettyLine(record, { colour: false, time: false })).toBe(
      'INFO  p             x                 a?b????[2Jc',
    );
  });
});

describe('the budget of lines', () => {
  it('lets twenty of a kind through at once and five a second after that', () => {
    const budget = new LogBudget();
    const taken = (ms: number): boolean => budget.take('x', at(ms)).allowed;
    expect(Array.from({ length: 30 }, () => taken(0)).filter(Boolean)).toHaveLength(20);
    expect(taken(199)).toBe(false);
    expect(taken(200)).toBe(true);
    expect(taken(201)).toBe(false);
    expect(Array.from({ length: 60 }, () => taken(60_000)).filter(Boolean)).toHaveLength(20);
  });

  it('never lets one kind hide another', () => {
    const { log, lines } = makeLog();
    for (let i = 0; i < 100; i++) log.log({ event: 'handshake.failed', level: 'warn', msg: 'x' });
    log.log(UP);
    expect(JSON.parse(lines.at(-1) ?? '').event).toBe('peer.up');
  });

  it('tells what was left out with the next line, or in a summary', () => {
    const { log, clock, lines, suppressed } = makeLog();
    const event: DaemonEvent = { event: 'handshake.failed', level: 'warn', msg: 'x' };
    for (let i = 0; i < 50; i++) log.log(event);
    expect(lines).toHaveLength(20);
    expect(suppressed).toHaveLength(30);
    clock.pass(1_000);
    log.log(event);
    expect(JSON.parse(lines.at(-1) ?? '').suppressed).toBe(30);
    for (let i = 0; i < 10; i++) log.log(event);
    log.summarize();
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ event: 'handshake.failed', suppressed: 6 });
    const told = lines.length;
    log.summarize();
    expect(lines).toHaveLength(told);
  });
});

describe('those who listen', () => {
  it('get lines as they are written and events whether written or not', () => {
    const { log } = makeLog();
    const lines: object[] = [];
    const events: object[] = [];
    const endLines = log.follow((line) => lines.push(line));
    log.events((event) => events.push(event));
    log.log(UP);
    log.log({ ...UP, event: 'rekey.done', level: 'debug' });
    expect(lines).toHaveLength(1);
    expect(events).toHaveLength(2);
    endLines();
    log.log(UP);
    expect(lines).toHaveLength(1);
    expect(log.recent()).toHaveLength(2);
  });
});

describe('the form of lines', () => {
  it.each([
    ['auto', true, false, 'pretty'],
    ['auto', false, false, 'json'],
    ['auto', false, true, 'journal'],
    ['json', true, false, 'json'],
    ['json', false, true, 'journal'],
    ['pretty', false, false, 'pretty'],
  ] as const)('%s, terminal %s, journal %s: %s', (configured, isTerminal, isJournal, format) => {
    expect(chooseLogFormat(configured, { isTerminal, isJournal })).toBe(format);
  });
});

describe('a log file', () => {
  const directory = useTemporaryDirectory();

  it('is bounded: it is put aside once, and what was put aside before goes', () => {
    const file = new LogFile(directory.path('x.log'));
    const line = `${'x'.repeat(1023)}\n`;
    for (let i = 0; i < 2500; i++) file.write(line);
    const sizes = ['x.log', 'x.log.1'].map((name) => statSync(directory.path(name)).size);
    for (const size of sizes) expect(size).toBeLessThanOrEqual(1024 * 1024);
    expect(existsSync(directory.path('x.log.2'))).toBe(false);
    expect(statSync(directory.path('x.log')).mode & 0o777).toBe(0o640);
  });

  it('keeps its descriptor while no new file can be made, and turns over once it can', () => {
    const file = new LogFile(directory.path('x.log'));
    const line = `${'x'.repeat(1023)}\n`;
    // As on a full disk: the new file cannot be made.
    mkdirSync(directory.path('x.log.new'));
    for (let i = 0; i < 1500; i++) file.write(line);
    // A descriptor closed too early would be this file's now, and the log would run into it.
    const bystander = openSync(directory.path('bystander'), 'w');
    for (let i = 0; i < 1500; i++) file.write(line);
    expect(readFileSync(directory.path('bystander'), 'utf8')).toBe('');
    closeSync(bystander);
    rmdirSync(directory.path('x.log.new'));
    for (let i = 0; i < 10; i++) file.write(line);
    expect(statSync(directory.path('x.log')).size).toBe(10 * line.length);
    expect(statSync(directory.path('x.log.1')).size).toBe(1024 * 1024);
  });

  it('is never written through a link', () => {
    writeFileSync(directory.path('precious'), 'x');
    symlinkSync(directory.path('precious'), directory.path('x.log'));
    expect(() => new LogFile(directory.path('x.log'))).toThrow(/ELOOP/);
    expect(readFileSync(directory.path('precious'), 'utf8')).toBe('x');
  });

  it('goes on where an earlier daemon stopped', () => {
    new LogFile(directory.path('x.log')).write('one\n');
    new LogFile(directory.path('x.log')).write('two\n');
    expect(readFileSync(directory.path('x.log'), 'utf8')).toBe('one\ntwo\n');
  });
});

describe('the recorder', () => {
  function recorder() {
    const events: DaemonEvent[] = [];
    const made = new Recorder({
      metrics: new EventMetrics('paris', 'full'),
      log: (event) => events.push(event),
      onPeerState: () => undefined,
      onProbe: () => undefined,
    });
    return { made, events };
  }
  const failed = (code: 'timeout' | 'unknown_fingerprint', peer: string | undefined = 'berlin'): TunnelEvent => ({
    kind: 'handshake-failed',
    peer,
    role: 'client',
    path: association().path,
    reason: { code, by: 'local', alert: undefined, seen: '12:aa', expected: '12:ab' },
    trigger: 'start',
    isRekey: false,
    retryIn: 500 as Duration,
  });

  it('makes a site that stays away worth a line at the 1st, 2nd, 4th, 8th … attempt', () => {
    const { made, events } = recorder();
    for (let i = 0; i < 1000; i++) made.record(failed('timeout'), at(i));
    expect(events.filter(({ level }) => level === 'warn').map(({ fields }) => fields?.['attempts'])).toEqual([
      undefined,
      2,
      4,
      8,
      16,
      32,
      64,
      128,
      256,
      512,
    ]);
  });

  it('begins again when the reason is another', () => {
    const { made, events } = recorder();
    for (const code of ['timeout', 'timeout', 'timeout', 'unknown_fingerprint'] as const)
      made.record(failed(code), at(0));
    expect(events.at(-1)).toMatchObject({ event: 'handshake.refused', level: 'warn' });
  });

  it('shows what was seen and what was expected', () => {
    const { made, events } = recorder();
    made.record(failed('unknown_fingerprint', undefined), at(0));
    expect(events[0]).toMatchObject({
      event: 'handshake.refused',
      msg: 'refused unknown certificate',
      fields: { reason: 'unknown_fingerprint', fingerprint: '12:aa', expected: '12:ab', remote: '203.0.113.10:4433' },
    });
  });

  it('remembers recent round trips only', () => {
    const { made } = recorder();
    for (let i = 1; i <= 500; i++)
      made.record({ kind: 'probe', peer: 'berlin', result: 'answered', rtt: i as Duration }, at(i));
    expect(made.rtts('berlin')).toHaveLength(128);
    expect(percentile(made.rtts('berlin'), 0.99)).toBe(499);
    made.keepOnly([]);
    expect(made.rtts('berlin')).toEqual([]);
  });
});

describe('percentile', () => {
  it.each([
    [[], 0.99, undefined],
    [[5], 0.99, 5],
    [[1, 2, 3, 4], 0.5, 2],
    [[4, 3, 2, 1], 1, 4],
  ] as const)('of %j at %d is %j', (samples, share, value) => {
    expect(percentile(samples, share)).toBe(value);
  });
});
